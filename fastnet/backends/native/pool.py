"""Pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnet.backends import _native
from fastnet.backends.native.arrays import KERNELS, c_empty, empty, kernel
from fastnet.geometry import Pool2dGeometry
from fastnet.ops import Stream
from fastnet.ops.checks import TIES
from fastnet.ops.fractional import reach
from fastnet.ops.taps import area
from fastnet.types import Activation, Array, DType

_U8, _I32, _I64 = np.dtype(np.uint8), np.dtype(np.int32), np.dtype(np.int64)


def pooled(g: Pool2dGeometry, dtype: DType) -> tuple[Array, Array]:
    """Uninitialised arrays for the maxima and their positions in the windows."""
    return empty(g.y_shape, dtype), empty(g.y_shape, _U8 if g.R * g.S < 256 else _I32)


@kernel
def max_pool2d(x: Array, geometry: Pool2dGeometry, activation: Activation | None = None) -> tuple[Array, Any]:
    y, index = pooled(geometry, x.dtype)
    _native.max_pool(geometry.packed, x, activation is not None, y, index)
    return y, (index, geometry)


@kernel
def max_pool2d_backward(dy: Array, saved: Any, needs: Sequence[bool] = (True,)) -> Array:
    index, g = saved
    dx = empty(g.x_shape, dy.dtype)
    _native.max_pool_backward(g.packed, dy, index, dx)
    return dx


@kernel
def max_pool2d_planes(x: Array, geometry: Pool2dGeometry, ties: str) -> tuple[Array, Any]:
    y = c_empty(geometry.y_shape, x.dtype)
    _native.max_pool_planes(geometry.packed, x, y)
    return y, (x, geometry, ties)


@kernel
def max_pool2d_planes_backward(dy: Array, saved: Any, needs: Sequence[bool] = (True,)) -> Array:
    x, g, ties = saved
    dx = c_empty(g.x_shape, dy.dtype)
    _native.max_pool_planes_backward(g.packed, TIES.index(ties), x, dy, dx)
    return dx


@kernel
def adaptive_max_pool2d(x: Array, size: tuple[int, int]) -> tuple[Array, Any]:
    rows, columns = area(x.shape[2], size[0]), area(x.shape[3], size[1])
    N, C = x.shape[:2]
    y, index = empty((N, C, *size), x.dtype), empty((N, C, *size), _I32)
    _native.adaptive_max(N, C, rows.packed, columns.packed, x, y, index)
    return y, (index, rows, columns)


@kernel
def adaptive_max_pool2d_backward(dy: Array, saved: Any, needs: Sequence[bool] = (True,)) -> Array:
    index, rows, columns = saved
    N, C = dy.shape[:2]
    dx = empty((N, C, rows.size, columns.size), dy.dtype)
    _native.adaptive_max_backward(N, C, rows.transposed.packed, columns.transposed.packed, dy, index, dx)
    return dx


@kernel
def fractional_max_pool2d(
    x: Array,
    size: tuple[int, int],
    window: tuple[int, int] | None = None,
    overlapping: bool = True,
    random: bool = False,
    stream: Stream | None = None,
) -> tuple[Array, Any]:
    (N, C, H, W), (P, Q) = x.shape, size
    position, windows = None if stream is None else stream.position, window or (0, 0)
    rows, columns = c_empty((N, P, 2), _I64), c_empty((N, Q, 2), _I64)
    _native.fractional_spans(N, H, P, windows[0], overlapping, random, position, rows)
    _native.fractional_spans(N, W, Q, windows[1], overlapping, random, position, columns)
    R, S = reach(H, P, windows[0], overlapping), reach(W, Q, windows[1], overlapping)
    y, index = empty((N, C, P, Q), x.dtype), empty((N, C, P, Q), _U8 if R * S < 256 else _I32)
    _native.fractional_max(N, C, H, W, P, Q, R, S, rows, columns, x, y, index)
    return y, (x.shape, (R, S), rows, columns, index)


@kernel
def fractional_max_pool2d_backward(dy: Array, saved: Any, needs: Sequence[bool] = (True,)) -> Array:
    shape, (R, S), rows, columns, index = saved
    (N, C, H, W), (P, Q), dx = shape, dy.shape[2:], empty(shape, dy.dtype)
    _native.fractional_max_backward(N, C, H, W, P, Q, R, S, rows, columns, dy, index, dx)
    return dx


@kernel
def avg_pool2d(x: Array, geometry: Pool2dGeometry) -> tuple[Array, Pool2dGeometry]:
    y = empty(geometry.y_shape, x.dtype)
    _native.avg_pool(geometry.packed, x, y)
    return y, geometry


@kernel
def avg_pool2d_backward(dy: Array, saved: Pool2dGeometry, needs: Sequence[bool] = (True,)) -> Array:
    dx = empty(saved.x_shape, dy.dtype)
    _native.avg_pool_backward(saved.packed, dy, dx)
    return dx


@kernel
def global_avg_pool2d(x: Array) -> tuple[Array, Pool2dGeometry]:
    return avg_pool2d(x, Pool2dGeometry.make(x.shape, x.shape[2:], op="global_avg_pool2d"))


KERNELS["global_avg_pool2d_backward"] = avg_pool2d_backward
