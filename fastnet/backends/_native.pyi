"""The compiled extension (`_native.pyx`): takes addresses, checks nothing; only fastnet calls it.

tests/backends/test_native_stub.py compares this file with the sources.
"""

from collections.abc import Sequence
from typing import Any

from fastnet.types import Array

# What normalises: the fields of fn_norm, images, pixels, channels, mean, inverse_std, gamma, beta, relu.
_Norm = tuple[int, int, int, Array, Array, Array | None, Array | None, int]

# What kernels do before they store: the fields of fn_epilogue, scale, shift, slopes, add, before, activation, a, b.
_Epilogue = tuple[Array | None, Array | None, Array | None, Array | None, Array | None, int, float, float]

# The arrays of an optimiser's update, for each parameter: w, the gradient, and the state.
_Updates = list[tuple[Array | None, ...]]

ELEMENTWISE: tuple[str, ...]
ACTIVATIONS: dict[str, int]
STEP_KINDS: dict[str, int]
INPUT: int
OUTPUT: int
NOWHERE: int

class Block:
    """Memory from the caching allocator, with the buffer protocol."""

    def __init__(self, size: int, address: int = 0) -> None: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

class Plan:
    """The steps of an inference plan, ready to run."""

    def __init__(self, dtype: int, batch: int, arena: int, steps: Sequence[dict[str, Any]]) -> None: ...
    def run(self, N: int, x: Array, y: Array) -> None: ...

DO_ALLOC: int
DO_CALL: int
DO_FREE: int
DO_BEGIN: int
DO_END: int
SUMS_BLOCK: int

class Recorded:
    """Kernel calls that run again."""

    def __init__(
        self,
        actions: list[tuple[int, int]],
        calls: list[tuple[int, int, int, int]],
        words: list[int | bytes],
        references: list[tuple[int, int, int]],
        sizes: list[int],
        given: int,
        results: int,
    ) -> None: ...
    def run(self, arrays: list[Array], wanted: list[int]) -> tuple[list[float], list[Block]]: ...

def set_recorder(new: Any) -> None: ...
def alike(updates: _Updates) -> bool: ...

# ---- settings

def layout(array: Array) -> int: ...
def threads() -> int: ...
def set_threads(count: int) -> None: ...
def run_alone() -> None: ...
def threading() -> str: ...
def isa() -> str: ...
def set_isa(name: str | None) -> bool: ...
def isas() -> tuple[str, ...]: ...
def conv_algorithm() -> int: ...
def set_conv_algorithm(algorithm: int) -> None: ...
def conv_forms() -> list[str]: ...
def compiler() -> str: ...
def order_version() -> int: ...
def speed() -> dict[str, int]: ...
def set_speed(**values: int) -> None: ...
def reset_speed(first_cache: int = -1, second_cache: int = -1) -> None: ...
def lanes(dtype: int) -> int: ...
def fma_peak(dtype: int = 0, seconds: float = 0.2) -> float: ...
def set_poison(on: bool) -> None: ...
def set_guard(on: bool) -> bool: ...
def empty_cache() -> None: ...
def reset_peak() -> None: ...
def memory_stats() -> dict[str, int]: ...

# ---- kernels, as csrc/kernels.def declares them

def map_forward(kernel: int, n: int, a: float, b: float, x: Array, y: Array) -> None: ...
def map_backward(kernel: int, n: int, a: float, b: float, dy: Array, saved: Array, dx: Array) -> None: ...
def gemm(
    M: int,
    N: int,
    K: int,
    a: Array,
    a_row: int,
    a_col: int,
    b: Array,
    b_row: int,
    b_col: int,
    end: _Epilogue,
    c: Array,
) -> None: ...
def column_sum(rows: int, columns: int, x: Array, sum: Array) -> None: ...
def l1_distances(M: int, N: int, D: int, a: Array, b: Array, distance: Array) -> None: ...
def smallest(rows: int, columns: int, k: int, x: Array, index: Array) -> None: ...
def conv_forward(g: bytes, x: Array, w: Array, end: _Epilogue, y: Array) -> None: ...
def conv_grad_input(g: bytes, dy: Array, w: Array, add: Array | None, dx: Array) -> None: ...
def conv_transpose(g: bytes, x: Array, w: Array, bias: Array | None, y: Array) -> None: ...
def conv_grad_weight(g: bytes, x: Array, dy: Array, dw: Array) -> None: ...
def im2col(g: bytes, x: Array, columns: Array) -> None: ...
def col2im(g: bytes, columns: Array, x: Array) -> None: ...
def max_pool(g: bytes, x: Array, relu: bool, y: Array, index: Array | None) -> None: ...
def max_pool_backward(g: bytes, dy: Array, index: Array, dx: Array) -> None: ...
def max_pool_planes(g: bytes, x: Array, y: Array) -> None: ...
def max_pool_planes_backward(g: bytes, ties: int, x: Array, dy: Array, dx: Array) -> None: ...
def avg_pool(g: bytes, x: Array, y: Array) -> None: ...
def avg_pool_backward(g: bytes, dy: Array, dx: Array) -> None: ...
def resample(N: int, C: int, rows: bytes, columns: bytes, outside: float, x: Array, y: Array) -> None: ...
def adaptive_max(N: int, C: int, rows: bytes, columns: bytes, x: Array, y: Array, index: Array | None) -> None: ...
def adaptive_max_backward(N: int, C: int, rows: bytes, columns: bytes, dy: Array, index: Array, dx: Array) -> None: ...
def fractional_spans(
    N: int,
    size: int,
    outputs: int,
    window: int,
    overlapping: bool,
    random: bool,
    position: Array | None,
    spans: Array,
) -> None: ...
def fractional_max(
    N: int,
    C: int,
    H: int,
    W: int,
    P: int,
    Q: int,
    R: int,
    S: int,
    rows: Array,
    columns: Array,
    x: Array,
    y: Array,
    index: Array,
) -> None: ...
def fractional_max_backward(
    N: int,
    C: int,
    H: int,
    W: int,
    P: int,
    Q: int,
    R: int,
    S: int,
    rows: Array,
    columns: Array,
    dy: Array,
    index: Array,
    dx: Array,
) -> None: ...
def shuffle_pixels(N: int, C: int, H: int, W: int, r: int, inverse: bool, x: Array, y: Array) -> None: ...
def image_crop(N: int, C: int, H: int, W: int, P: int, Q: int, at: Array, fill: Array, x: Array, y: Array) -> None: ...
def image_resize(
    N: int, C: int, H: int, W: int, P: int, Q: int, boxes: Array, tables: Array, x: Array, y: Array
) -> None: ...
def image_warp(
    N: int, C: int, H: int, W: int, P: int, Q: int, bilinear: bool, maps: Array, fill: Array, x: Array, y: Array
) -> None: ...
def image_adjust(
    N: int,
    C: int,
    H: int,
    W: int,
    steps: int,
    operations: Array,
    strengths: Array,
    maps: Array,
    bilinear: bool,
    fill: Array,
    x: Array,
    y: Array,
) -> None: ...
def image_lookup(planes: int, pixels: int, tables: Array, x: Array, y: Array) -> None: ...
def image_gray(N: int, pixels: int, x: Array, y: Array) -> None: ...
def image_blur(
    N: int, C: int, H: int, W: int, R: int, S: int, rows: Array, columns: Array, x: Array, y: Array
) -> None: ...
def norm_moments(images: int, pixels: int, C: int, x: Array, mean: Array, var: Array) -> None: ...
def norm_inverse_std(C: int, eps: float, var: Array, inverse_std: Array) -> None: ...
def norm_track(C: int, momentum: float, factor: float, statistic: Array, running: Array) -> None: ...
def norm_apply(n: _Norm, x: Array, end: _Epilogue, y: Array) -> None: ...
def norm_sums(
    n: _Norm, dy: Array, x: Array, y: Array | None, gated: Array | None, dgamma: Array, dbeta: Array
) -> None: ...
def norm_backward(n: _Norm, dy: Array, x: Array, dgamma: Array | None, dbeta: Array | None, dx: Array) -> None: ...
def group_norm(
    images: int,
    pixels: int,
    C: int,
    groups: int,
    by_pixel: int,
    by_channel: int,
    eps: float,
    x: Array,
    gamma: Array | None,
    beta: Array | None,
    end: _Epilogue,
    y: Array,
    mean: Array | None,
    var: Array | None,
) -> None: ...
def group_norm_backward(
    images: int,
    pixels: int,
    C: int,
    groups: int,
    by_pixel: int,
    by_channel: int,
    eps: float,
    relu: bool,
    dy: Array,
    x: Array,
    gamma: Array | None,
    beta: Array | None,
    mean: Array,
    var: Array,
    dx: Array | None,
    dgamma: Array | None,
    dbeta: Array | None,
) -> None: ...
def response_norm(rows: int, C: int, size: int, alpha: float, beta: float, k: float, x: Array, y: Array) -> None: ...
def response_norm_backward(
    rows: int, C: int, size: int, alpha: float, beta: float, k: float, dy: Array, x: Array, dx: Array
) -> None: ...
def conv_norm_forward(g: bytes, x: Array, w: Array, bias: Array | None, y: Array, mean: Array, var: Array) -> None: ...
def conv_norm_backward(
    g: bytes,
    n: _Norm,
    x: Array,
    w: Array,
    dy: Array,
    y: Array | None,
    dgamma: Array | None,
    dbeta: Array | None,
    add: Array | None,
    dx: Array | None,
    dw: Array | None,
) -> None: ...
def conv_pool_forward(
    g: bytes, pool: bytes, x: Array, w: Array, bias: Array | None, relu: bool, y: Array, index: Array | None
) -> None: ...
def conv_maxout_forward(
    g: bytes, pieces: int, x: Array, w: Array, bias: Array | None, y: Array, index: Array
) -> None: ...
def conv_maxout_backward(
    g: bytes,
    pieces: int,
    x: Array,
    w: Array,
    dy: Array,
    index: Array,
    add: Array | None,
    dx: Array | None,
    dw: Array | None,
    db: Array | None,
) -> None: ...
def conv_pool_backward(
    g: bytes,
    pool: bytes,
    x: Array,
    w: Array,
    dy: Array,
    index: Array,
    add: Array | None,
    dx: Array | None,
    dw: Array | None,
    db: Array | None,
) -> None: ...
def add(n: int, a: Array, b: Array, y: Array) -> None: ...
def prelu(rows: int, C: int, x: Array, slopes: Array, y: Array) -> None: ...
def prelu_backward(
    rows: int, C: int, dy: Array, x: Array, slopes: Array, dx: Array | None, dslopes: Array | None
) -> None: ...
def maxout(rows: int, C: int, pieces: int, x: Array, y: Array, index: Array | None) -> None: ...
def maxout_backward(rows: int, C: int, pieces: int, dy: Array, index: Array, dx: Array) -> None: ...
def scalar_affine(n: int, x: Array, w: Array | None, b: Array | None, y: Array) -> None: ...
def scalar_affine_backward(
    n: int, dy: Array, x: Array | None, w: Array | None, dx: Array | None, dw: Array | None, db: Array | None
) -> None: ...
def uniform(n: int, seed: int, offset: int, out: Array) -> None: ...
def stream_words(streams: int, blocks: int, key: int, upper: int, first: int, numbers: Array, out: Array) -> None: ...
def dropout(
    blocks: int,
    repeats: int,
    width: int,
    p: float,
    scale: float,
    position: Array,
    x: Array,
    y: Array,
    keep: Array,
) -> None: ...
def dropout_backward(
    blocks: int, repeats: int, width: int, scale: float, dy: Array, keep: Array, dx: Array
) -> None: ...
def softmax(rows: int, C: int, logarithm: bool, x: Array, y: Array) -> None: ...
def softmax_backward(rows: int, C: int, logarithm: bool, dy: Array, y: Array, dx: Array) -> None: ...
def softmax_loss(
    N: int,
    C: int,
    scores: Array,
    labels: Array,
    weight: Array | None,
    ignored: int,
    smoothing: float,
    dscores: Array,
) -> float: ...
def soft_label_loss(
    N: int, C: int, scores: Array, targets: Array, weight: Array | None, smoothing: float, dscores: Array
) -> float: ...
def target_loss(kind: int, n: int, a: float, scores: Array, targets: Array, dscores: Array) -> float: ...
def svm_loss(
    N: int,
    C: int,
    scores: Array,
    labels: Array,
    weight: Array | None,
    ignored: int,
    margin: float,
    squared: bool,
    dscores: Array,
) -> float: ...
def sgd_step(
    updates: _Updates,
    lr: float,
    momentum: float,
    dampening: float,
    nesterov: bool,
    of_steps: bool,
    weight_decay: float,
) -> None: ...
def adagrad_step(updates: _Updates, lr: float, eps: float, eps_inside: bool, weight_decay: float) -> None: ...
def rmsprop_step(
    updates: _Updates,
    lr: float,
    alpha: float,
    eps: float,
    eps_inside: bool,
    momentum: float,
    weight_decay: float,
) -> None: ...
def adadelta_step(updates: _Updates, lr: float, rho: float, eps: float, weight_decay: float) -> None: ...
def adam_step(
    updates: _Updates,
    t: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    eps_inside: bool,
    bias_correction: bool,
    weight_decay: float,
    decoupled: bool,
) -> None: ...
def nadam_step(
    updates: _Updates,
    t: int,
    lr: float,
    mu: float,
    next_mu: float,
    product: float,
    beta1: float,
    beta2: float,
    eps: float,
    eps_inside: bool,
    weight_decay: float,
    decoupled: bool,
) -> None: ...
def average_step(updates: _Updates, decay: float) -> None: ...
def add_penalty(updates: _Updates, l1: float, l2: float) -> None: ...
def power_sums(n: int, x: Array) -> tuple[float, float]: ...
def block_sums(updates: Sequence[tuple[Array, Array]]) -> None: ...
def limit_norms(updates: _Updates, rows: int, after: int, limit: float) -> None: ...
def rescale(updates: _Updates, factor: float) -> None: ...
def clip(updates: _Updates, size: float) -> None: ...
def to_channels_last(N: int, C: int, pixels: int, x: Array, y: Array) -> None: ...
def to_channels_first(N: int, C: int, pixels: int, x: Array, y: Array) -> None: ...
def copy_rows(
    rows: int, width: int, src: Array, src_first: int, src_stride: int, dst: Array, dst_first: int, dst_stride: int
) -> None: ...
def subsample(N: int, C: int, H: int, W: int, stride: int, channels: int, x: Array, y: Array) -> None: ...
def subsample_backward(N: int, C: int, H: int, W: int, stride: int, channels: int, dy: Array, dx: Array) -> None: ...
def fill(n: int, value: float, y: Array) -> None: ...
def round_doubles(n: int, x: Array, y: Array) -> None: ...
