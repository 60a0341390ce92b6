"""Sums of columns, in double: the gradients of biases and slopes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastnet.backends.device.arrays import c_empty
from fastnet.backends.device.compiler import launch
from fastnet.backends.device.rows import parts_of_rows, tile_of_parts
from fastnet.types import Array, DTypeLike

__all__ = ["channel_sums", "column_totals"]


def channel_sums(x: Array) -> Array:
    """The sum over everything but channels of x, (N, C, H, W), (N, C, L) or (N, C)."""
    columns, rows = x.shape[1], x.shape[0] * math.prod(x.shape[2:])
    blocks, threads = parts_of_rows(rows, columns)
    sums: Any = c_empty((blocks[0], columns), np.float64)
    launch("columns", "column_parts", x.dtype, blocks, threads, x, sums, rows, columns)
    return column_totals(sums, x.dtype)


def column_totals(sums: Array, dtype: DTypeLike) -> Array:
    """The sums of columns of `sums` (parts, columns), which are in double, in `dtype`."""
    (parts, columns), y = sums.shape, c_empty(sums.shape[1:], dtype)
    launch("columns", "column_totals", dtype, *tile_of_parts(parts, columns), sums, y, parts, columns)
    return y
