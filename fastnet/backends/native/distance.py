"""Distances of rows, and the smallest of them."""

from __future__ import annotations

import numpy as np

from fastnet.backends import _native
from fastnet.backends.native.arrays import c_order, empty, kernel
from fastnet.types import Array


@kernel
def l1_distances(a: Array, b: Array) -> Array:
    y = empty((len(a), len(b)), a.dtype)
    _native.l1_distances(len(a), len(b), a.shape[1], a, b, y)
    return y


def smallest(x: Array, k: int) -> Array:
    index = np.empty((len(x), k), np.int64)
    _native.smallest(len(x), x.shape[1], k, c_order(x), index)
    return index
