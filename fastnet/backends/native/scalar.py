"""The affine map with two numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnet.backends import _native
from fastnet.backends.native.arrays import c_empty, empty, kernel
from fastnet.types import Array


@kernel
def scalar_affine(x: Array, w: Array | None, b: Array | None) -> tuple[Array, Any]:
    y = empty(x.shape, x.dtype)
    _native.scalar_affine(x.size, x, w, b, y)
    return y, (x, w)


@kernel
def scalar_affine_backward(dy: Array, saved: Any, needs: Sequence[bool]) -> tuple[Array | None, ...]:
    x, w = saved
    dx = empty(dy.shape, dy.dtype) if needs[0] else None
    dw, db = (c_empty((1,), dy.dtype) if need else None for need in needs[1:])
    _native.scalar_affine_backward(dy.size, dy, x if needs[1] else None, w, dx, dw, db)
    return dx, dw, db
