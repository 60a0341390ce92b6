"""Pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnet.backends.device.arrays import KERNELS, c_empty, empty, kernel
from fastnet.backends.device.compiler import launch
from fastnet.backends.device.rows import blocks_of_rows, tile
from fastnet.geometry import Pool2dGeometry
from fastnet.types import Activation, Array

_U8, _I32 = np.dtype(np.uint8), np.dtype(np.int32)
_WIDEST = 32  # columns of a block where its rows share the work of each


def index_arrays(shape: Sequence[int], taps: int) -> tuple[Array | None, Array | None]:
    """Uninitialised arrays for the positions of maxima in windows of `taps` pixels: bytes or 32-bit numbers."""
    return (empty(shape, _U8), None) if taps < 256 else (None, empty(shape, _I32))


def _window(g: Pool2dGeometry) -> tuple[int, ...]:
    """A max pooling's parameters behind C in csrc/cuda/pool.cu."""
    return g.H, g.W, g.R, g.S, g.P, g.Q, *g.stride, g.padding[0], g.padding[2], *g.dilation


def _average(g: Pool2dGeometry) -> tuple[int, ...]:
    """The same of an average pooling."""
    return g.H, g.W, g.R, g.S, g.P, g.Q, *g.stride, *g.padding, int(g.count_include_pad), g.divisor or 0


def _max_pool(
    x: Array, y: Array, index: tuple[Array | None, Array | None], relu: bool, N: int, C: int, g: Pool2dGeometry
) -> None:
    outputs = N * g.P * g.Q
    launch("pool", "max_pool", x.dtype, *blocks_of_rows(outputs, C), x, y, *index, int(relu), outputs, C, *_window(g))


def _max_pool_backward(
    dy: Array, index: tuple[Array | None, Array | None], dx: Array, N: int, C: int, g: Pool2dGeometry
) -> None:
    pixels = N * g.H * g.W
    launch("pool", "max_pool_backward", dy.dtype, *blocks_of_rows(pixels, C), dy, *index, dx, pixels, C, *_window(g))


@kernel
def max_pool2d(x: Array, geometry: Pool2dGeometry, activation: Activation | None = None) -> tuple[Array, Any]:
    g = geometry
    y, index = empty(g.y_shape, x.dtype), index_arrays(g.y_shape, g.R * g.S)
    _max_pool(x, y, index, activation is not None, g.N, g.C, g)
    return y, (index, g)


@kernel
def max_pool2d_backward(dy: Array, saved: Any, needs: Sequence[bool] = (True,)) -> Array:
    index, g = saved
    dx = empty(g.x_shape, dy.dtype)
    _max_pool_backward(dy, index, dx, g.N, g.C, g)
    return dx


# ---------------------------------------------------------------- planes in C order: images of one channel


@kernel
def max_pool2d_planes(x: Array, geometry: Pool2dGeometry, ties: str) -> tuple[Array, Any]:
    g, y = geometry, c_empty(geometry.y_shape, x.dtype)
    _max_pool(x, y, (None, None), False, g.N * g.C, 1, g)
    return y, (x, g, ties)


@kernel
def max_pool2d_planes_backward(dy: Array, saved: Any, needs: Sequence[bool] = (True,)) -> Array:
    x, g, ties = saved
    planes, largest, dx = g.N * g.C, c_empty(dy.shape, dy.dtype), c_empty(x.shape, dy.dtype)
    if ties == "first":
        index = index_arrays((dy.size,), g.R * g.S)
        _max_pool(x, largest, index, False, planes, 1, g)
        _max_pool_backward(dy, index, dx, planes, 1, g)
        return dx
    _max_pool(x, largest, (None, None), False, planes, 1, g)
    shares, pixels, window = dy, planes * g.H * g.W, _window(g)
    if ties == "split":
        shares = c_empty(dy.shape, dy.dtype)
        blocks = blocks_of_rows(dy.size, 1)
        launch("pool", "split_shares", dy.dtype, *blocks, dy, x, largest, shares, dy.size, *window)
    blocks = blocks_of_rows(pixels, 1)
    launch("pool", "shared_backward", dy.dtype, *blocks, shares, x, largest, dx, pixels, *window)
    return dx


# ---------------------------------------------------------------- means


@kernel
def avg_pool2d(x: Array, geometry: Pool2dGeometry) -> tuple[Array, Pool2dGeometry]:
    g, y = geometry, empty(geometry.y_shape, x.dtype)
    outputs = g.N * g.P * g.Q
    launch("pool", "avg_pool", x.dtype, *blocks_of_rows(outputs, g.C), x, y, outputs, g.C, *_average(g))
    return y, g


@kernel
def avg_pool2d_backward(dy: Array, saved: Pool2dGeometry, needs: Sequence[bool] = (True,)) -> Array:
    g, dx = saved, empty(saved.x_shape, dy.dtype)
    pixels = g.N * g.H * g.W
    launch("pool", "avg_pool_backward", dy.dtype, *blocks_of_rows(pixels, g.C), dy, dx, pixels, g.C, *_average(g))
    return dx


@kernel
def global_avg_pool2d(x: Array) -> tuple[Array, Pool2dGeometry]:
    return channel_means(x), Pool2dGeometry.make(x.shape, x.shape[2:], op="global_avg_pool2d")


def channel_means(x: Array) -> Array:
    """The mean of each channel of each image, (N, C, 1, 1)."""
    (N, C, H, W), y = x.shape, empty((*x.shape[:2], 1, 1), x.dtype)
    threads, across = tile(H * W, C, _WIDEST)
    if y.size:
        launch("pool", "global_avg_pool", x.dtype, (N, across), threads, x, y, H * W, C)
    return y


KERNELS["global_avg_pool2d_backward"] = avg_pool2d_backward
