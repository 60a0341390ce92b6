"""Softmax and its logarithm."""

from __future__ import annotations

from collections.abc import Sequence

from fastnet.backends.device.arrays import empty, extents, kernel
from fastnet.backends.device.compiler import launch, spread
from fastnet.types import Array

__all__ = ["lane_bits"]


def lane_bits(C: int) -> int:
    """The logarithm of how many adjacent threads read a row of C elements: a power of two, at most a warp."""
    return min(max(C - 1, 0).bit_length(), 5)


def _forward(x: Array, logarithm: bool) -> tuple[Array, Array]:
    (N, pixels, C), y = extents(x.shape), empty(x.shape, x.dtype)
    rows, bits = N * pixels, lane_bits(C)
    launch("softmax", "softmax_forward", x.dtype, *spread(rows << bits), x, y, rows, C, bits, int(logarithm))
    return y, y


def _backward(dy: Array, y: Array, logarithm: bool) -> Array:
    (N, pixels, C), dx = extents(y.shape), empty(y.shape, y.dtype)
    rows, bits = N * pixels, lane_bits(C)
    launch("softmax", "softmax_backward", dy.dtype, *spread(rows << bits), dy, y, dx, rows, C, bits, int(logarithm))
    return dx


@kernel
def softmax(x: Array) -> tuple[Array, Array]:
    return _forward(x, False)


@kernel
def softmax_backward(dy: Array, saved: Array, needs: Sequence[bool] = (True,)) -> Array:
    return _backward(dy, saved, False)


@kernel
def log_softmax(x: Array) -> tuple[Array, Array]:
    return _forward(x, True)


@kernel
def log_softmax_backward(dy: Array, saved: Array, needs: Sequence[bool] = (True,)) -> Array:
    return _backward(dy, saved, True)
