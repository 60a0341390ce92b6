"""Convolution and transposed convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnet.backends.device.arrays import KERNELS, c_empty, empty, kernel
from fastnet.backends.device.columns import channel_sums
from fastnet.backends.device.compiler import launch, spread
from fastnet.backends.device.cudnn import FORWARD, INPUT, WEIGHT, fastest
from fastnet.backends.device.dense import gemm
from fastnet.backends.device.elementwise import activation_gradient
from fastnet.backends.device.ending import NOTHING, Ending, finish, kept_before
from fastnet.backends.device.rows import blocks_of_rows
from fastnet.backends.device.tiles import THREADS, cut
from fastnet.backends.device.winograd import fits, winograd
from fastnet.geometry import Conv2dGeometry
from fastnet.types import Activation, Array

_LIMIT = 2**31
_TAPS, _FILTERS, _STRIP = 9, 32, 4  # of csrc/cuda/depthwise.cu
_DEPTHWISE_PIXELS, _DEPTHWISE_PARTS = 512, 256


def _sizes(g: Conv2dGeometry) -> tuple[int, ...]:
    """A kernel's GEOMETRY_ARGUMENTS."""
    top, _, left, _ = g.padding
    return (*(g.N, g.C, g.H, g.W, g.K, g.R, g.S, g.P, g.Q), *g.stride, top, left, *g.dilation, g.groups)


def _check(g: Conv2dGeometry) -> None:
    """Raise ValueError where an index of a kernel would not fit 32 bits."""
    inputs, outputs = g.H * g.W, g.P * g.Q
    phase = max(1, (g.H // g.stride[0]) * (g.W // g.stride[1]))
    read = max(_in_a_tile(g.N, outputs) * inputs * g.C, _in_a_tile(g.N, phase) * outputs * g.K)
    sizes = {
        "weights": g.K * g.C // g.groups * g.R * g.S,
        "pixels": g.N * max(inputs, outputs),
        f"elements in {_in_a_tile(g.N, min(outputs, phase))} images": read,
    }
    for what, count in sizes.items():
        if count >= _LIMIT:
            raise ValueError(f"conv2d: on the GPU up to 2**31 - 1 {what}, got {count}; use smaller batches or layers")


def _in_a_tile(images: int, pixels: int) -> int:
    """How many images a tile's rows may belong to."""
    return min(images, 2 + 255 // max(1, pixels))


def _depthwise(g: Conv2dGeometry) -> bool:
    return g.groups == g.C and (g.C > 1 or g.K == 1)


def _depthwise_weights(g: Conv2dGeometry, w: Array) -> Array:
    laid = c_empty((w.size,), w.dtype)
    launch("depthwise", "depthwise_weights", w.dtype, *spread(w.size), w, laid, g.K, g.R * g.S)
    return laid


def _pointwise(g: Conv2dGeometry) -> bool:
    """Whether it is a product of matrices as they are in memory: pixels by channels, and the weights."""
    return g.groups == g.R == g.S == 1 and g.stride == (1, 1) and not any(g.padding)


def _pixels(x: Array) -> Array:
    """An array in the kernels' order as a matrix, pixels by channels; the same memory."""
    matrix: Array = x.transpose(0, *range(2, x.ndim), 1).reshape(-1, x.shape[1])
    return matrix


def _gather(g: Conv2dGeometry, x: Array, w: Array, gradient: bool, end: Ending, y: Array) -> None:
    """The implicit product of the forward pass, or of the input gradient."""
    laid = c_empty((w.size,), w.dtype)
    taps, channels, filters = g.R * g.S, g.C // g.groups, g.K // g.groups
    launch("conv", "conv_weights", w.dtype, *spread(w.size), w, laid, g.K, channels, taps, g.groups, int(gradient))
    if gradient:
        rows = g.N * -(-g.H // g.stride[0]) * -(-g.W // g.stride[1])
        phases = g.stride[0] * g.stride[1]
        way = cut(rows, channels, g.groups * phases, filters * -(-taps // phases), x.dtype)
    else:
        way = cut(g.N * g.P * g.Q, filters, g.groups, channels * taps, x.dtype)
    scratch = c_empty((way.parts * y.size,), y.dtype) if way.parts > 1 else None
    given = *_sizes(g), x, laid, scratch, way.parts, int(gradient), *end.arguments(y)
    launch("conv", f"conv_gather_{way.tile}", x.dtype, way.blocks, THREADS, *given, shared=way.shared)
    if scratch is not None:
        finish(scratch, way.parts, end, y)


def forward(g: Conv2dGeometry, x: Array, w: Array, end: Ending, y: Array) -> None:
    """y (N, K, P, Q) of x (N, C, H, W)."""
    _check(g)
    if y.size:
        fastest(FORWARD, _forward, g, x, w, end, y)


def _forward(g: Conv2dGeometry, x: Array, w: Array, end: Ending, y: Array) -> None:
    if _depthwise(g):
        blocks, threads = blocks_of_rows(g.N * g.P * -(-g.Q // _STRIP), g.K)
        laid = _depthwise_weights(g, w)
        launch("depthwise", "depthwise_forward", x.dtype, blocks, threads, *_sizes(g), x, laid, *end.arguments(y))
    elif _pointwise(g):
        gemm(_pixels(x), False, w.reshape(g.K, g.C), True, end, _pixels(y))
    elif fits(g):
        winograd(g, x, w, False, end, y)
    else:
        _gather(g, x, w, False, end, y)


def input_gradient(g: Conv2dGeometry, dy: Array, w: Array, end: Ending, dx: Array) -> None:
    """dx (N, C, H, W) of dy (N, K, P, Q)."""
    _check(g)
    if dx.size:
        fastest(INPUT, _input_gradient, g, dy, w, end, dx)


def _input_gradient(g: Conv2dGeometry, dy: Array, w: Array, end: Ending, dx: Array) -> None:
    if _depthwise(g):
        blocks, threads = blocks_of_rows(g.N * g.H * g.W, g.C)
        laid = _depthwise_weights(g, w)
        launch("depthwise", "depthwise_input", dy.dtype, blocks, threads, *_sizes(g), dy, laid, *end.arguments(dx))
    elif _pointwise(g):
        gemm(_pixels(dy), False, w.reshape(g.K, g.C), False, end, _pixels(dx))
    elif fits(g):
        winograd(g, dy, w, True, end, dx)
    else:
        _gather(g, dy, w, True, end, dx)


def weight_gradient(g: Conv2dGeometry, x: Array, dy: Array) -> Array:
    """dw (K, C / groups, R, S), in C order."""
    _check(g)
    dw = c_empty(g.w_shape, x.dtype)
    fastest(WEIGHT, _weight_gradient, g, x, dy, NOTHING, dw)
    return dw


def _weight_gradient(g: Conv2dGeometry, x: Array, dy: Array, end: Ending, dw: Array) -> None:
    if _pointwise(g) and not _depthwise(g):
        gemm(_pixels(dy), True, _pixels(x), False, end, dw.reshape(g.K, g.C))
        return
    taps, channels, filters, pixels = g.R * g.S, g.C // g.groups, g.K // g.groups, g.N * g.P * g.Q
    if _depthwise(g):
        parts = max(1, min(pixels // _DEPTHWISE_PIXELS, _DEPTHWISE_PARTS))
        scratch = c_empty((parts * dw.size,), dw.dtype)
        blocks = -(-g.K // _FILTERS), -(-taps // _TAPS), parts
        launch("depthwise", "depthwise_weight", x.dtype, blocks, THREADS, *_sizes(g), x, dy, scratch)
        groups, filters = 1, g.K
    else:
        way = cut(taps * channels, filters, g.groups, pixels, x.dtype)
        parts, groups = way.parts, g.groups
        scratch = c_empty((parts * dw.size,), dw.dtype)
        given = *_sizes(g), x, dy, scratch, parts
        launch("conv_weight", f"conv_weight_{way.tile}", x.dtype, way.blocks, THREADS, *given, shared=way.shared)
    sizes = parts, groups, taps, channels, filters
    launch("conv_weight", "conv_weight_sum", x.dtype, *spread(dw.size), scratch, dw, *sizes)


@kernel
def conv2d(
    x: Array, w: Array, b: Array | None, geometry: Conv2dGeometry, activation: Activation | None = None
) -> tuple[Array, Any]:
    y = empty(geometry.y_shape, x.dtype)
    before = kept_before(y, activation)
    forward(geometry, x, w, Ending(shift=b, before=before, activation=activation), y)
    kept = y if before is None and activation else before
    return y, (x, w, geometry, kept, activation)


@kernel
def conv2d_backward(dy: Array, saved: Any, needs: Sequence[bool], add: Array | None = None) -> tuple[Array | None, ...]:
    x, w, g, kept, activation = saved
    dy = activation_gradient(dy, kept, activation)
    dx = empty(g.x_shape, dy.dtype) if needs[0] else None
    if dx is not None:
        input_gradient(g, dy, w, Ending(add=add), dx)
    return dx, weight_gradient(g, x, dy) if needs[1] else None, channel_sums(dy) if needs[2] else None


@kernel
def conv_transpose2d(x: Array, w: Array, b: Array | None, geometry: Conv2dGeometry) -> tuple[Array, Any]:
    y = empty(geometry.x_shape, x.dtype)
    input_gradient(geometry, x, w, Ending(shift=b), y)
    return y, (x, w, geometry)


@kernel
def conv_transpose2d_backward(dy: Array, saved: Any, needs: Sequence[bool]) -> tuple[Array | None, ...]:
    x, w, g = saved
    dx = empty(g.y_shape, dy.dtype) if needs[0] else None
    if dx is not None:
        forward(g, dy, w, NOTHING, dx)
    return dx, weight_gradient(g, dy, x) if needs[1] else None, channel_sums(dy) if needs[2] else None


@kernel
def conv2d_scaled(
    x: Array,
    w: Array,
    scale: Array | None,
    shift: Array | None,
    slopes: Array | None,
    add: Array | None,
    geometry: Conv2dGeometry,
    activation: Activation | None = None,
) -> Array:
    y = empty(geometry.y_shape, x.dtype)
    forward(geometry, x, w, Ending(scale, shift, add, activation=activation), y)
    bent: Array = y if slopes is None else KERNELS["prelu"](y, slopes)[0]
    return bent


@kernel
def im2col(x: Array, geometry: Conv2dGeometry) -> Array:
    g = geometry
    columns = c_empty((g.N, g.C * g.R * g.S, g.P * g.Q), x.dtype)
    launch("im2col", "im2col", x.dtype, *spread(columns.size), *_sizes(g), x, columns)
    return columns


@kernel
def col2im(columns: Array, geometry: Conv2dGeometry) -> Array:
    x = empty(geometry.x_shape, columns.dtype)
    launch("im2col", "col2im", columns.dtype, *spread(x.size), *_sizes(geometry), columns, x)
    return x
