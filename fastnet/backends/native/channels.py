"""PReLU and maxout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnet.backends import _native
from fastnet.backends.native.arrays import empty, extents, kernel
from fastnet.types import Array


def per_channel(slopes: Array, channels: int) -> Array:
    """PReLU's slopes, one for each channel."""
    if slopes.size == channels:
        return slopes
    each = empty((channels,), slopes.dtype)
    _native.copy_rows(channels, 1, slopes, 0, 0, each, 0, 1)
    return each


@kernel
def prelu(x: Array, w: Array) -> tuple[Array, Any]:
    images, pixels, C = extents(x.shape)
    y = empty(x.shape, x.dtype)
    _native.prelu(images * pixels, C, x, per_channel(w, C), y)
    return y, (x, w)


@kernel
def prelu_backward(dy: Array, saved: Any, needs: Sequence[bool]) -> tuple[Array | None, Array | None]:
    x, w = saved
    images, pixels, C = extents(x.shape)
    dx = empty(x.shape, x.dtype) if needs[0] else None
    dw = dslopes = empty((C,), x.dtype) if needs[1] else None
    _native.prelu_backward(images * pixels, C, dy, x, per_channel(w, C), dx, dslopes)
    if dslopes is not None and w.size != C:
        dw = empty((1,), x.dtype)
        _native.column_sum(C, 1, dslopes, dw)
    return dx, dw


@kernel
def maxout(x: Array, pieces: int) -> tuple[Array, Any]:
    images, pixels, C = extents(x.shape)
    y = empty((x.shape[0], C // pieces, *x.shape[2:]), x.dtype)
    index = empty(y.shape, np.dtype(np.uint8))
    _native.maxout(images * pixels, C // pieces, pieces, x, y, index)
    return y, (index, pieces)


@kernel
def maxout_backward(dy: Array, saved: Any, needs: Sequence[bool] = (True,)) -> Array:
    index, pieces = saved
    images, pixels, C = extents(dy.shape)
    dx = empty((dy.shape[0], C * pieces, *dy.shape[2:]), dy.dtype)
    _native.maxout_backward(images * pixels, C, pieces, dy, index, dx)
    return dx
