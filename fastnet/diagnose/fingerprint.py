"""Fingerprints: hashes of what kernels compute, to be compared between threads, instruction sets, compilers, machines.

Inputs are Philox's numbers, so that nothing depends on NumPy's generators or a C library.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fastnet import backends, losses, models, optim
from fastnet.algorithms import get_conv_algorithm, set_conv_algorithm
from fastnet.backends import philox
from fastnet.geometry import Conv2dGeometry, Pool2dGeometry

__all__ = ["Fingerprint", "fingerprint", "variants", "kernels_as"]

THREADS = (1, 2, 3, 7)
FUSED = ("avx512", "avx2", "neon")  # instruction sets with fused multiply-add: they round alike
TRAINING = "20 training steps of ResNet-20"

# x, weight, stride, padding, dilation, groups
_DIRECT = [
    ((8, 16, 13, 14), (33, 16, 3, 3), 1, 1, 1, 1),
    ((6, 3, 31, 31), (25, 3, 3, 3), 2, 1, 1, 1),
    ((5, 33, 9, 9), (70, 33, 1, 1), 1, 0, 1, 1),
    ((7, 12, 11, 12), (18, 4, 3, 3), 2, (1, 0, 2, 1), 1, 3),
    ((4, 3, 33, 31), (8, 3, 7, 7), 1, 3, 1, 1),
    ((7, 1, 28, 28), (6, 1, 5, 5), 1, 2, 1, 1),
    ((3, 64, 8, 8), (64, 64, 3, 3), 1, 2, 2, 1),
    ((9, 24, 12, 11), (24, 1, 3, 3), 2, 1, 1, 24),
]
_WINOGRAD = [((4, 16, 13, 14), (33, 16, 3, 3), 1, 1, 1, 1), ((3, 70, 9, 9), (64, 70, 3, 3), 1, (1, 0, 2, 1), 1, 1)]


@dataclass(frozen=True)
class Fingerprint:
    """What one variant computed: a hash (16 hexadecimal digits) for each group of ops and for a training run."""

    isa: str
    threads: int
    dtype: str
    hashes: dict[str, str]

    @property
    def whole(self) -> str:
        """One hash of all."""
        return _digest([f"{name} {value}".encode() for name, value in self.hashes.items()])


def variants() -> list[tuple[str, int]]:
    """(instruction set, threads) that must give the same bits here, the instruction set in use first.

    Without fused multiply-add, rounding is another: "portable" is compared with itself alone.
    """
    _native = _kernels()
    current = _native.isa()
    fused = [isa for isa in FUSED if _native.isa_supported(isa)] if current in FUSED else [current]
    return [(isa, threads) for isa in sorted(fused, key=lambda isa: isa != current) for threads in THREADS]


def fingerprint(isa: str | None = None, threads: int | None = None, dtype: str = "float32") -> Fingerprint:
    """Hash what all ops and a training run compute.

    Parameters
    ----------
    isa : str, optional
        An instruction set that this CPU has; default: the one in use.
    threads : int, optional
        Default: the number in use.
    dtype : "float32" or "float64"

    Raises
    ------
    RuntimeError
        There are no compiled kernels.
    ValueError
        An instruction set that is not there.
    """
    with kernels_as(isa, threads) as ops:
        hashes = {TRAINING: _of_training(dtype)}
        for name, arrays in _results(ops, np.dtype(dtype)):
            hashes[name] = _of_arrays(arrays)
        return Fingerprint(_kernels().isa(), ops.threads, dtype, hashes)


@contextlib.contextmanager
def kernels_as(isa: str | None = None, threads: int | None = None) -> Iterator:
    """The native backend with this instruction set and number of threads, for the length of the block."""
    _native = _kernels()
    before = _native.isa(), _native.threads()
    if isa is not None and not _native.set_isa(isa):
        raise ValueError(f"the instruction set {isa!r} is not available here")
    try:
        _native.set_threads(threads or before[1])
        with backends.use_backend("native") as ops:
            yield ops
    finally:
        _native.set_isa(before[0])
        _native.set_threads(before[1])


def _kernels():
    if not backends.NativeOps:
        raise RuntimeError(f"there are no compiled kernels here ({backends.why_not_native})")
    from fastnet.backends import _native

    return _native


# ---------------------------------------------------------------- hashes and numbers


def _digest(pieces) -> str:
    sha = hashlib.sha256()
    for piece in pieces:
        sha.update(piece)
    return sha.hexdigest()[:16]


def _of_arrays(arrays) -> str:
    """Of the numbers in C order, whatever their layout."""
    return _digest(np.ascontiguousarray(array).tobytes() for array in arrays)


def _numbers(shape, dtype, stream: int) -> np.ndarray:
    """Uniform in [-1, 1), with as many bits as the dtype has."""
    count = math.prod(shape)
    if dtype == np.float32:
        return (2 * philox.uniform(stream, 0, count, dtype) - 1).reshape(shape)
    high, low = philox.words(stream, 0, 2 * count).astype(np.float64).reshape(2, count)
    return (((high * 2**20 + low // 2**12) - 2**51) * 2.0**-51).reshape(shape)


def _labels(count: int, classes: int, stream: int) -> np.ndarray:
    return (philox.words(stream, 0, count) % classes).astype(np.int64)


# ---------------------------------------------------------------- what is computed


def _known(model):
    """The model with weights that do not depend on NumPy's generators: uniform, of variance 2 / fan-in."""
    state = model.state_dict()
    for stream, value in enumerate(state.values()):
        if value.ndim > 1:
            limit = value.dtype.type(math.sqrt(6 / math.prod(value.shape[1:])))
            value[...] = _numbers(value.shape, value.dtype, stream) * limit
    model.load_state_dict(state)
    return model


def _of_training(dtype: str, steps: int = 20, images: int = 16) -> str:
    """The weights, statistics and losses of a training run."""
    model = _known(models.create("resnet20", 10, dtype=dtype))
    sgd = optim.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=1e-4)
    found = []
    for step in range(steps):
        x = _numbers((images, *model.input_shape), np.dtype(dtype), 1000 + step)
        model.zero_grad()
        scores, backward = model.forward(x, training=True)
        loss, dscores = losses.softmax_cross_entropy(scores, _labels(images, 10, 2000 + step))
        backward(dscores, input_gradient=False)
        sgd.step(model.parameters())
        found.append(np.float64(loss))
    return _of_arrays([*found, *model.state_dict().values()])


def _results(ops, dtype) -> Iterator[tuple[str, list]]:
    """(name, arrays) of every op."""
    before = get_conv_algorithm()
    try:
        for algorithm, cases in (("direct", _DIRECT), ("winograd", _WINOGRAD)):
            set_conv_algorithm(algorithm)
            yield f"convolution, {algorithm}", [array for case in cases for array in _convolution(ops, dtype, *case)]
    finally:
        set_conv_algorithm(before)
    yield "convolution, fused", list(_fused(ops, dtype))
    yield "networks in one call", list(_plans(ops, dtype))
    x, dy = _numbers((9, 33, 17, 16), dtype, 1), _numbers((9, 33, 17, 16), dtype, 2)
    yield "linear", [array for sizes in ((127, 600, 65), (1, 3000, 40)) for array in _linear(ops, dtype, *sizes)]
    yield "batch norm", list(_batch_norm(ops, dtype, x, dy))
    yield "pooling", list(_pooling(ops, dtype, x))
    for op in ("relu", "leaky_relu", "sigmoid", "tanh"):
        y, saved = getattr(ops, op)(8 * x)
        yield op, [y, getattr(ops, f"{op}_backward")(dy, saved)]
    y, saved = ops.dropout(x, 0.3, 5, 7)
    yield "random numbers", [ops.random_uniform((50001,), dtype, 3, 5), y, ops.dropout_backward(dy, saved)]
    yield "losses", list(_losses(ops, dtype))
    yield "optimisers", list(_optimisers(ops, dtype))
    total = x.copy()
    ops.accumulate(total, dy)
    yield "sums and copies", [total, ops.add(x, dy), ops.flatten(x), ops.concat([x, dy]), *ops.split(x, (16, 17))]


def _convolution(ops, dtype, x_shape, w_shape, stride, padding, dilation, groups):
    x, w, b = (_numbers(shape, dtype, i) for i, shape in enumerate((x_shape, w_shape, w_shape[:1])))
    geometry = Conv2dGeometry.make(x_shape, w_shape, stride, padding, dilation, groups)
    y, saved = ops.conv2d(x, w, b, geometry)
    columns = ops.im2col(x, geometry)
    return [y, *ops.conv2d_backward(_numbers(y.shape, dtype, 3), saved), columns, ops.col2im(columns, geometry)]


def _fused(ops, dtype):
    for case in (_DIRECT[0], _DIRECT[1], _DIRECT[7], *_WINOGRAD):
        geometry = Conv2dGeometry.make(*case)
        shapes = (*case[:2], case[1][:1], case[1][:1], geometry.y_shape, geometry.x_shape)
        x, w, scale, shift, dy, dx = (_numbers(shape, dtype, i) for i, shape in enumerate(shapes))
        y, saved = ops.conv2d(x, w, shift, geometry, relu=True)
        yield from (y, *ops.conv2d_backward(dy, saved, add=dx))
        yield ops.conv2d_scaled(x, w, geometry, scale, shift, add=dy, relu=True)


def _plans(ops, dtype):
    for name in ("lenet5", "resnet20"):
        model = _known(models.create(name, 10, dtype=dtype.name))
        plan = model.compile(4)
        x = _numbers((7, *model.input_shape), dtype, 1)
        yield from (plan(x), model(x))


def _linear(ops, dtype, M, K, N):
    x, w, b = (_numbers(shape, dtype, i) for i, shape in enumerate(((M, K), (N, K), (N,))))
    for relu in (False, True):
        y, saved = ops.linear(x, w, b, relu=relu)
        yield from (y, *ops.linear_backward(_numbers(y.shape, dtype, 3), saved))


def _batch_norm(ops, dtype, x, dy):
    gamma, beta, mean, var = (_numbers((x.shape[1],), dtype, i) for i in (3, 4, 5, 6))
    for training in (True, False):
        y, saved = ops.batch_norm(x, gamma, beta, mean, abs(var), training)
        yield from (y, *ops.batch_norm_backward(dy, saved), mean)
        y, saved = ops.batch_norm_relu(x, gamma, beta, mean, abs(var), training, add=dy)
        yield from (y, *ops.batch_norm_relu_backward(dy, saved))


def _pooling(ops, dtype, x):
    for arguments in ((2,), (3, 2, 1), (3, 1, 1)):
        for op in ("max_pool2d", "avg_pool2d"):
            y, saved = getattr(ops, op)(x, Pool2dGeometry.make(x.shape, *arguments))
            yield from (y, getattr(ops, f"{op}_backward")(_numbers(y.shape, dtype, 2), saved))
        y, saved = ops.max_pool2d(x, Pool2dGeometry.make(x.shape, *arguments), relu=True)
        yield from (y, ops.max_pool2d_backward(y, saved))
        y, saved = ops.max_pool2d_planes(x, Pool2dGeometry.make(x.shape, *arguments), "split")
        yield from (y, ops.max_pool2d_planes_backward(y, saved))


def _losses(ops, dtype):
    scores, labels = 4 * _numbers((999, 37), dtype, 1), _labels(999, 37, 2)
    for op in ("softmax_cross_entropy", "svm_loss"):
        loss, gradient = getattr(ops, op)(scores, labels)
        yield from (np.float64(loss), gradient)


def _optimisers(ops, dtype):
    for name, slots, settings in (
        ("sgd", 1, {"momentum": 0.9, "nesterov": True}),
        ("adagrad", 1, {}),
        ("rmsprop", 1, {}),
        ("adam", 2, {"t": 3}),
    ):
        w, g, *state = (abs(_numbers((70001,), dtype, i)) for i in range(2 + slots))
        getattr(ops, f"{name}_step")(w, g, *state, lr=0.01, weight_decay=0.1, **settings)
        yield from (w, *state)
