"""Local response norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnet.backends.device.arrays import empty, extents, kernel
from fastnet.backends.device.compiler import launch
from fastnet.backends.device.rows import blocks_of_rows
from fastnet.types import Array


@kernel
def local_response_norm(x: Array, size: int, alpha: float, beta: float, k: float) -> tuple[Array, Any]:
    (N, pixels, C), y = extents(x.shape), empty(x.shape, x.dtype)
    numbers = N * pixels, C, size, alpha / size, float(beta), float(k)
    launch("response_norm", "response_norm", x.dtype, *blocks_of_rows(N * pixels, C), x, y, *numbers)
    return y, (x, size, alpha, beta, k)


@kernel
def local_response_norm_backward(dy: Array, saved: Any, needs: Sequence[bool]) -> Array:
    x, size, alpha, beta, k = saved
    (N, pixels, C), dx, terms = extents(x.shape), empty(x.shape, x.dtype), empty(x.shape, x.dtype)
    blocks, numbers = blocks_of_rows(N * pixels, C), (N * pixels, C, size, alpha / size, float(beta))
    launch("response_norm", "response_terms", x.dtype, *blocks, dy, x, dx, terms, *numbers, float(k))
    launch("response_norm", "response_backward", x.dtype, *blocks, x, terms, dx, *numbers)
    return dx
