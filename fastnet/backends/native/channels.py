"""PReLU, alone and as the end of other ops, and maxout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastnet.backends import _native
from fastnet.backends.native.arrays import KERNELS, empty, extents, kernel
from fastnet.backends.native.epilogue import per_channel
from fastnet.ops.fused_prelu import AFTER
from fastnet.types import Array


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


def ends_in_prelu(host: str, before: Callable[[Any], Array]) -> None:
    """Make the kernels of the op that is `host` with a PReLU from the host's own.

    The host's takes ``slopes=``, and ``before(saved)`` finds PReLU's argument in what it saves.
    """
    inner, inner_gradient = KERNELS[host], KERNELS[f"{host}_backward"]

    def forward(*arrays: Any, **attributes: Any) -> tuple[Array, Any]:
        y, saved = inner(*arrays[:-1], slopes=arrays[-1], **attributes)
        return y, (saved, arrays[-1])

    def backward(dy: Array, saved: Any, needs: Sequence[bool], **more: Any) -> tuple[Array | None, ...]:
        saved, slopes = saved
        inside = any(needs[:-1])
        between, dslopes = prelu_backward(dy, (before(saved), slopes), (inside, needs[-1]))
        if not inside:
            return *(None,) * len(needs[:-1]), dslopes
        return *inner_gradient(between, saved, needs[:-1], **more), dslopes

    KERNELS[AFTER[host]], KERNELS[f"{AFTER[host]}_backward"] = forward, backward


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
