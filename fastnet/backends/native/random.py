"""Random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnet.backends import _native
from fastnet.backends.native.arrays import c_empty, empty, kernel
from fastnet.ops import Stream
from fastnet.ops.random import kept_scale, unit_extents
from fastnet.types import Array, DTypeLike

_U8 = np.dtype(np.uint8)


@kernel
def random_uniform(shape: Sequence[int], dtype: DTypeLike, seed: int, offset: int) -> Array:
    out = empty(tuple(shape), np.dtype(dtype))
    _native.uniform(out.size, seed, offset, out)
    return out


@kernel
def dropout(x: Array, p: float, stream: Stream, unit: str = "element", inverted: bool = True) -> tuple[Array, Any]:
    return _dropped(x, empty(x.shape, x.dtype), p, stream, unit_extents(x.shape, unit), kept_scale(p, inverted))


def _dropped(
    x: Array, y: Array, p: float, stream: Stream, extents: tuple[int, int, int], scale: float
) -> tuple[Array, Any]:
    blocks, _, width = extents
    keep = empty((blocks * width,), _U8)
    _native.dropout(*extents, p, scale, stream.position, x, y, keep)
    return y, (keep, extents, scale)


@kernel
def dropout_backward(dy: Array, saved: Any, needs: Sequence[bool] = (True,)) -> Array:
    keep, (blocks, repeats, width), scale = saved
    dx = empty(dy.shape, dy.dtype)
    _native.dropout_backward(blocks, repeats, width, scale, dy, keep, dx)
    return dx


@kernel
def drop_weights(w: Array, p: float, stream: Stream) -> tuple[Array, Any]:
    extents = unit_extents(w.shape, "element")
    return _dropped(w, c_empty(w.shape, w.dtype), p, stream, extents, kept_scale(p, True))


@kernel
def drop_weights_backward(dy: Array, saved: Any, needs: Sequence[bool] = (True,)) -> Array:
    keep, (blocks, repeats, width), scale = saved
    dw = c_empty(dy.shape, dy.dtype)
    _native.dropout_backward(blocks, repeats, width, scale, dy, keep, dw)
    return dw
