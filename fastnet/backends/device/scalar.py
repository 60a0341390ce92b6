"""The affine map with two numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnet.backends.device.arrays import c_empty, empty, kernel
from fastnet.backends.device.compiler import launch, spread
from fastnet.types import Array

_THREADS, _BLOCKS = 256, 1024  # of the sums


@kernel
def scalar_affine(x: Array, w: Array | None, b: Array | None) -> tuple[Array, Any]:
    y = empty(x.shape, x.dtype)
    launch("scalar", "scalar_forward", x.dtype, *spread(x.size), x, w, b, y, x.size)
    return y, (x, w)


@kernel
def scalar_affine_backward(dy: Array, saved: Any, needs: Sequence[bool]) -> tuple[Array | None, ...]:
    x, w = saved
    dx = empty(dy.shape, dy.dtype) if needs[0] else None
    dw, db = (c_empty((1,), dy.dtype) if need else None for need in needs[1:])
    blocks = min(spread(dy.size, _THREADS)[0], _BLOCKS)
    sums = c_empty((blocks, 2), np.float64) if any(needs[1:]) else None
    x = x if needs[1] else None
    launch("scalar", "scalar_backward", dy.dtype, blocks, _THREADS, dy, x, w, dx, sums, dy.size)
    if sums is not None:
        launch("scalar", "scalar_sums", dy.dtype, 1, _THREADS, sums, blocks, dw, db)
    return dx, dw, db
