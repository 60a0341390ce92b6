"""Matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnet.backends import _native
from fastnet.backends.native.arrays import empty, kernel
from fastnet.backends.native.elementwise import activate, activation_gradient
from fastnet.types import Activation, Array


def _gemm(a: Array, transpose_a: bool, b: Array, transpose_b: bool, bias: Array | None = None) -> Array:
    M, K = a.shape[::-1] if transpose_a else a.shape
    N = b.shape[0] if transpose_b else b.shape[1]
    y = empty((M, N), a.dtype)
    (a_row, a_col), (b_row, b_col) = (1, M) if transpose_a else (K, 1), (1, K) if transpose_b else (N, 1)
    _native.gemm(M, N, K, a, a_row, a_col, b, b_row, b_col, bias, y)
    return y


@kernel
def matmul(a: Array, b: Array, transpose_a: bool, transpose_b: bool) -> Array:
    return _gemm(a, transpose_a, b, transpose_b)


@kernel
def linear(x: Array, w: Array, b: Array | None, activation: Activation | None = None) -> tuple[Array, Any]:
    y, kept = activate(_gemm(x, False, w, True, b), activation)
    return y, (x, w, kept, activation)


@kernel
def linear_backward(dy: Array, saved: Any, needs: Sequence[bool]) -> tuple[Array | None, ...]:
    x, w, kept, activation = saved
    dy = activation_gradient(dy, kept, activation)
    db = None
    if needs[2]:
        db = empty(w.shape[:1], x.dtype)
        _native.column_sum(len(x), len(w), dy, db)
    return (
        _gemm(dy, False, w, False) if needs[0] else None,
        _gemm(dy, True, x, False) if needs[1] else None,
        db,
    )
