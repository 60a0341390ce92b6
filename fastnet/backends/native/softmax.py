"""Softmax and its logarithm."""

from __future__ import annotations

from collections.abc import Sequence

from fastnet.backends import _native
from fastnet.backends.native.arrays import empty, extents, kernel
from fastnet.types import Array


def _forward(x: Array, logarithm: bool) -> tuple[Array, Array]:
    (N, pixels, C), y = extents(x.shape), empty(x.shape, x.dtype)
    _native.softmax(N * pixels, C, logarithm, x, y)
    return y, y


def _backward(dy: Array, y: Array, logarithm: bool) -> Array:
    (N, pixels, C), dx = extents(y.shape), empty(y.shape, y.dtype)
    _native.softmax_backward(N * pixels, C, logarithm, dy, y, dx)
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
