"""Kernels that move elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fastnet.backends.device.arrays import c_empty, c_order, empty, extents, kernel
from fastnet.backends.device.compiler import MOST_ACROSS, launch, spread
from fastnet.types import Array, Shape

_TILE, _TILE_ROWS = 32, 8  # of csrc/cuda/shape.cu


def _transpose(x: Array, y: Array, n: int, rows: int, columns: int) -> Array:
    """y: x's n matrices, transposed."""
    if x.size:
        grid = -(-columns // _TILE), -(-rows // _TILE), min(n, MOST_ACROSS)
        launch("shape", "transpose", x.dtype, grid, (_TILE, _TILE_ROWS), x, y, n, rows, columns)
    return y


def _copy(x: Array, x_start: int, y: Array, y_start: int, width: int) -> None:
    """Copy `width` channels of x, from x_start on, to those of y from y_start on."""
    N, pixels, C = extents(x.shape)
    n = N * pixels * width
    if n:
        launch("shape", "copy_columns", x.dtype, *spread(n), x, y, n, width, x_start, C, y_start, y.shape[1])


@kernel
def concat(*arrays: Array) -> tuple[Array, list[int]]:
    first, channels, start = arrays[0], [x.shape[1] for x in arrays], 0
    y = empty((first.shape[0], sum(channels), *first.shape[2:]), first.dtype)
    for x, width in zip(arrays, channels, strict=True):
        _copy(x, 0, y, start, width)
        start += width
    return y, channels


@kernel
def concat_backward(dy: Array, saved: list[int], needs: Sequence[bool] | None = None) -> tuple[Array, ...]:
    return tuple(split(dy, saved))


@kernel
def split(x: Array, channels: Sequence[int]) -> list[Array]:
    start, pieces = 0, []
    for width in channels:
        piece = empty((x.shape[0], width, *x.shape[2:]), x.dtype)
        _copy(x, start, piece, 0, width)
        pieces.append(piece)
        start += width
    return pieces


@kernel
def flatten(x: Array) -> tuple[Array, Shape]:
    shape = x.shape[0], math.prod(x.shape[1:])
    if x.ndim not in (3, 4) or x.flags.c_contiguous:
        return c_order(x).reshape(shape), x.shape
    N, pixels, C = extents(x.shape)
    return _transpose(x, c_empty(shape, x.dtype), N, pixels, C), x.shape


@kernel
def flatten_backward(dy: Array, saved: Shape, needs: Sequence[bool] | None = None) -> Array:
    if len(saved) not in (3, 4):
        return dy.reshape(saved)
    N, pixels, C = extents(saved)
    return _transpose(dy, empty(saved, dy.dtype), N, C, pixels)


@kernel
def unflatten(x: Array, shape: Sequence[int]) -> tuple[Array, None]:
    return flatten_backward(x, (x.shape[0], *shape)), None


@kernel
def unflatten_backward(dy: Array, saved: None, needs: Sequence[bool] | None = None) -> Array:
    return flatten(dy)[0]


@kernel
def subsample(x: Array, stride: int, channels: int) -> tuple[Array, Any]:
    N, C, H, W = x.shape
    y = empty((N, channels, -(-H // stride), -(-W // stride)), x.dtype)
    sizes = stride, (channels - C) // 2, H, W, C, *y.shape[2:], channels
    launch("shape", "subsample_forward", x.dtype, *spread(y.size), x, y, y.size, *sizes)
    return y, (x.shape, sizes)


@kernel
def subsample_backward(dy: Array, saved: Any, needs: Sequence[bool] | None = None) -> Array:
    shape, sizes = saved
    dx = empty(shape, dy.dtype)
    launch("shape", "subsample_backward", dy.dtype, *spread(dx.size), dy, dx, dx.size, *sizes)
    return dx


def _shuffle(x: Array, y: Array, large: Array, small: Array, factor: int) -> None:
    H, W = small.shape[2:]
    sizes = factor, H, W, large.shape[1], int(y is large)
    launch("shape", "shuffle_pixels", x.dtype, *spread(x.size), x, y, x.size, *sizes)


@kernel
def pixel_shuffle(x: Array, factor: int) -> tuple[Array, int]:
    N, C, H, W = x.shape
    y = empty((N, C // factor**2, H * factor, W * factor), x.dtype)
    _shuffle(x, y, y, x, factor)
    return y, factor


@kernel
def pixel_unshuffle(x: Array, factor: int) -> tuple[Array, int]:
    N, C, H, W = x.shape
    y = empty((N, C * factor**2, H // factor, W // factor), x.dtype)
    _shuffle(x, y, x, y, factor)
    return y, factor


@kernel
def pixel_shuffle_backward(dy: Array, saved: int, needs: Sequence[bool] | None = None) -> Array:
    return pixel_unshuffle(dy, saved)[0]


@kernel
def pixel_unshuffle_backward(dy: Array, saved: int, needs: Sequence[bool] | None = None) -> Array:
    return pixel_shuffle(dy, saved)[0]
