"""Matrix products: cuBLAS, or our own kernels, which a stream that is captured into a graph needs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import cupy

from fastnet.backends.device import precision
from fastnet.backends.device.arrays import c_empty, kernel
from fastnet.backends.device.columns import channel_sums
from fastnet.backends.device.compiler import launch
from fastnet.backends.device.elementwise import activation_gradient
from fastnet.backends.device.ending import NOTHING, Ending, finish, kept_before
from fastnet.backends.device.graph import repeatable
from fastnet.backends.device.tiles import THREADS, cut
from fastnet.types import Activation, Array

__all__ = ["gemm"]


def _ours() -> bool:
    """Whether our kernels multiply: CuPy's cuBLAS cannot be captured."""
    return repeatable() or os.environ.get("FASTNET_GPU_GEMM") == "own"


def gemm(a: Array, transpose_a: bool, b: Array, transpose_b: bool, end: Ending, y: Array) -> None:
    """y = end(a b), of matrices or, without an end, of batches of them (B, rows, columns), all in C order."""
    M, N = y.shape[-2:]
    D, batch = a.shape[-2 if transpose_a else -1], y.shape[0] if y.ndim == 3 else 1
    if not y.size:
        return
    way = cut(M, N, batch, D, y.dtype)
    scratch = c_empty((way.parts * y.size,), y.dtype) if way.parts > 1 else None
    left, right = (1, M) if transpose_a else (D, 1), (1, D) if transpose_b else (N, 1)
    given = M, N, D, batch, a, *left, M * D, b, *right, D * N, scratch, way.parts, *end.arguments(y)
    launch("gemm", f"gemm_{way.tile}", y.dtype, way.blocks, THREADS, *given, shared=way.shared)
    if scratch is not None:
        finish(scratch, way.parts, end, y)


def _product(a: Array, transpose_a: bool, b: Array, transpose_b: bool, end: Ending, y: Array) -> Array:
    """y = end(a b); either matrix may be given transposed."""
    if _ours():
        gemm(a, transpose_a, b, transpose_b, end, y)
        return y
    left, right = a.T if transpose_a else a, b.T if transpose_b else b
    if end is NOTHING:
        with precision.chosen():
            cupy.matmul(left, right, out=y)
    elif y.size:
        with precision.chosen():
            product = cupy.matmul(left, right)
        finish(product, 1, end, y)
    return y


@kernel
def matmul(a: Array, b: Array, transpose_a: bool, transpose_b: bool) -> Array:
    y = c_empty((a.shape[bool(transpose_a)], b.shape[not transpose_b]), a.dtype)
    return _product(a, bool(transpose_a), b, bool(transpose_b), NOTHING, y)


@kernel
def linear(x: Array, w: Array, b: Array | None, activation: Activation | None = None) -> tuple[Array, Any]:
    y = c_empty((len(x), len(w)), x.dtype)
    before = kept_before(y, activation)
    end = NOTHING if b is None and activation is None else Ending(shift=b, before=before, activation=activation)
    _product(x, False, w, True, end, y)
    kept = y if before is None and activation else before
    return y, (x, w, kept, activation)


@kernel
def linear_backward(dy: Array, saved: Any, needs: Sequence[bool]) -> tuple[Array | None, ...]:
    x, w, kept, activation = saved
    dy = activation_gradient(dy, kept, activation)
    return (
        _product(dy, False, w, False, NOTHING, c_empty(x.shape, x.dtype)) if needs[0] else None,
        _product(dy, True, x, False, NOTHING, c_empty(w.shape, w.dtype)) if needs[1] else None,
        channel_sums(dy) if needs[2] else None,
    )
