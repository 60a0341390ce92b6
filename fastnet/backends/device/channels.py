"""PReLU and maxout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnet.backends.device.arrays import c_empty, empty, kernel
from fastnet.backends.device.columns import column_totals
from fastnet.backends.device.compiler import launch, spread
from fastnet.backends.device.rows import blocks_of_rows, parts_of_rows
from fastnet.types import Array

_AHEAD = 4  # of csrc/cuda/channels.cu


@kernel
def prelu(x: Array, w: Array) -> tuple[Array, Any]:
    y, rows, C = empty(x.shape, x.dtype), x.size // w.size, w.size  # one slope: a column of all elements
    launch("channels", "prelu_forward", x.dtype, *blocks_of_rows(rows, C, _AHEAD), x, w, y, rows, C)
    return y, (x, w)


@kernel
def prelu_backward(dy: Array, saved: Any, needs: Sequence[bool]) -> tuple[Array | None, Array | None]:
    x, w = saved
    dx, rows, C = empty(x.shape, x.dtype) if needs[0] else None, x.size // w.size, w.size
    grid, threads = parts_of_rows(rows, C)
    sums = c_empty((grid[0], C), np.float64) if needs[1] else None
    launch("channels", "prelu_backward", x.dtype, grid, threads, dy, x, w, dx, sums, rows, C)
    return dx, None if sums is None else column_totals(sums, x.dtype)


@kernel
def maxout(x: Array, pieces: int) -> tuple[Array, Any]:
    y = empty((x.shape[0], x.shape[1] // pieces, *x.shape[2:]), x.dtype)
    index = empty(y.shape, np.uint8)
    launch("channels", "maxout_forward", x.dtype, *spread(y.size), x, y, index, y.size, pieces)
    return y, (index, pieces)


@kernel
def maxout_backward(dy: Array, saved: Any, needs: Sequence[bool] = (True,)) -> Array:
    index, pieces = saved
    dx = empty((dy.shape[0], dy.shape[1] * pieces, *dy.shape[2:]), dy.dtype)
    launch("channels", "maxout_backward", dy.dtype, *spread(dx.size), dy, index, dx, dx.size, pieces)
    return dx
