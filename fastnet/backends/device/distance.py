"""Distances of rows, and the smallest of them."""

from __future__ import annotations

import numpy as np

from fastnet.backends.device.arrays import c_empty, c_order, kernel
from fastnet.backends.device.compiler import launch
from fastnet.types import Array

__all__ = ["smallest"]

_TILE, _THREADS = 64, 256  # TILE of csrc/cuda/distance.cu; of both kernels


@kernel
def l1_distances(a: Array, b: Array) -> Array:
    M, N, y = len(a), len(b), c_empty((len(a), len(b)), a.dtype)
    if y.size:
        grid = -(-N // _TILE), -(-M // _TILE)
        launch("distance", "l1_distances", a.dtype, grid, _THREADS, a, b, y, M, N, a.shape[1])
    return y


def smallest(x: Array, k: int) -> Array:
    """Positions (M, k) of the k smallest elements of each row, ascending; of equals, the first."""
    index = c_empty((len(x), k), np.int64)
    if index.size:
        launch("distance", "smallest", x.dtype, len(x), _THREADS, c_order(x), index, x.shape[1], k)
    return index
