"""Sums of columns, in double: the gradients of biases."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastnet.backends.device.arrays import c_empty
from fastnet.backends.device.compiler import launch
from fastnet.backends.device.rows import parts_of_rows, tile_of_parts
from fastnet.types import Array

__all__ = ["channel_sums"]


def channel_sums(x: Array) -> Array:
    """The sum over everything but channels of x, (N, C, H, W), (N, C, L) or (N, C)."""
    columns, y = x.shape[1], c_empty((x.shape[1],), x.dtype)
    rows = x.shape[0] * math.prod(x.shape[2:])
    blocks, threads = parts_of_rows(rows, columns)
    sums: Any = c_empty((blocks[0], columns), np.float64)
    launch("columns", "column_parts", x.dtype, blocks, threads, x, sums, rows, columns)
    launch("columns", "column_totals", x.dtype, *tile_of_parts(blocks[0], columns), sums, y, blocks[0], columns)
    return y
