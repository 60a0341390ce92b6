"""Kernels that move elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fastnet.backends import _native
from fastnet.backends.native.arrays import c_order, dense, empty, kernel
from fastnet.types import Array, Shape


@kernel
def concat(*arrays: Array) -> tuple[Array, list[int]]:
    first, channels = arrays[0], [x.shape[1] for x in arrays]
    total, start = sum(channels), 0
    y = empty((first.shape[0], total, *first.shape[2:]), first.dtype)
    rows = first.shape[0] * math.prod(first.shape[2:])
    for x, width in zip(arrays, channels, strict=True):
        _native.copy_rows(rows, width, x, 0, width, y, start, total)
        start += width
    return y, channels


@kernel
def concat_backward(dy: Array, saved: list[int], needs: Sequence[bool] | None = None) -> tuple[Array, ...]:
    return tuple(split(dy, saved))


@kernel
def split(x: Array, channels: Sequence[int]) -> list[Array]:
    rows, start, pieces = x.shape[0] * math.prod(x.shape[2:]), 0, []
    for width in channels:
        piece = empty((x.shape[0], width, *x.shape[2:]), x.dtype)
        _native.copy_rows(rows, width, x, start, x.shape[1], piece, 0, width)
        pieces.append(piece)
        start += width
    return pieces


@kernel
def flatten(x: Array) -> tuple[Array, Shape]:
    shape = x.shape[0], math.prod(x.shape[1:])
    if x.ndim != 4 or _native.layout(x) & 2:
        return c_order(x).reshape(shape), x.shape
    y = empty(shape, x.dtype)
    N, C, H, W = x.shape
    _native.to_channels_first(N, C, H * W, x, y)
    return y, x.shape


@kernel
def flatten_backward(dy: Array, saved: Shape, needs: Sequence[bool] | None = None) -> Array:
    return dense(dy.reshape(saved))


@kernel
def unflatten(x: Array, shape: Sequence[int]) -> tuple[Array, None]:
    return dense(x.reshape(x.shape[0], *shape)), None


@kernel
def unflatten_backward(dy: Array, saved: None, needs: Sequence[bool] | None = None) -> Array:
    return flatten(dy)[0]


@kernel
def subsample(x: Array, stride: int, channels: int) -> tuple[Array, Any]:
    N, C, H, W = x.shape
    y = empty((N, channels, -(-H // stride), -(-W // stride)), x.dtype)
    _native.subsample(N, C, H, W, stride, channels, x, y)
    return y, (x.shape, stride)


@kernel
def subsample_backward(dy: Array, saved: Any, needs: Sequence[bool] | None = None) -> Array:
    (N, C, H, W), stride = saved
    dx = empty((N, C, H, W), dy.dtype)
    _native.subsample_backward(N, C, H, W, stride, dy.shape[1], dy, dx)
    return dx


@kernel
def pixel_shuffle(x: Array, factor: int) -> tuple[Array, int]:
    N, C, H, W = x.shape
    y = empty((N, C // factor**2, H * factor, W * factor), x.dtype)
    _native.shuffle_pixels(N, y.shape[1], H, W, factor, False, x, y)
    return y, factor


@kernel
def pixel_unshuffle(x: Array, factor: int) -> tuple[Array, int]:
    N, C, H, W = x.shape
    y = empty((N, C * factor**2, H // factor, W // factor), x.dtype)
    _native.shuffle_pixels(N, C, H // factor, W // factor, factor, True, x, y)
    return y, factor


@kernel
def pixel_shuffle_backward(dy: Array, saved: int, needs: Sequence[bool] | None = None) -> Array:
    return pixel_unshuffle(dy, saved)[0]


@kernel
def pixel_unshuffle_backward(dy: Array, saved: int, needs: Sequence[bool] | None = None) -> Array:
    return pixel_shuffle(dy, saved)[0]
