"""Matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnet.backends import _native
from fastnet.backends.native.arrays import empty, kernel
from fastnet.backends.native.channels import ends_in_prelu
from fastnet.backends.native.elementwise import activation_gradient
from fastnet.backends.native.epilogue import NOTHING, Epilogue, ending, kept_before
from fastnet.types import Activation, Array


def _gemm(a: Array, transpose_a: bool, b: Array, transpose_b: bool) -> Array:
    y = empty((a.shape[transpose_a], b.shape[not transpose_b]), a.dtype)
    _product(a, transpose_a, b, transpose_b, NOTHING, y)
    return y


def _product(a: Array, transpose_a: bool, b: Array, transpose_b: bool, end: Epilogue, y: Array) -> None:
    (M, N), K = y.shape, a.shape[not transpose_a]
    (a_row, a_col), (b_row, b_col) = (1, M) if transpose_a else (K, 1), (1, K) if transpose_b else (N, 1)
    _native.gemm(M, N, K, a, a_row, a_col, b, b_row, b_col, end, y)


@kernel
def matmul(a: Array, b: Array, transpose_a: bool, transpose_b: bool) -> Array:
    return _gemm(a, transpose_a, b, transpose_b)


@kernel
def linear(
    x: Array, w: Array, b: Array | None, activation: Activation | None = None, slopes: Array | None = None
) -> tuple[Array, Any]:
    y = empty((len(x), len(w)), x.dtype)
    before = kept_before(y, activation, slopes)
    _product(x, False, w, True, ending(len(w), activation, slopes, shift=b, before=before), y)
    kept = y if before is None and activation else before
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


ends_in_prelu("linear", lambda saved: saved[2])
