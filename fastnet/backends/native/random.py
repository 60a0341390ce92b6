"""Random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnet.backends import _native
from fastnet.backends.native.arrays import empty, kernel
from fastnet.ops import Stream
from fastnet.types import Array, DTypeLike

_U8 = np.dtype(np.uint8)


@kernel
def random_uniform(shape: Sequence[int], dtype: DTypeLike, seed: int, offset: int) -> Array:
    out = empty(tuple(shape), np.dtype(dtype))
    _native.uniform(out.size, seed, offset, out)
    return out


@kernel
def dropout(x: Array, p: float, stream: Stream) -> tuple[Array, Any]:
    y, keep = empty(x.shape, x.dtype), empty(x.shape, _U8)
    _native.dropout(x.size, p, stream.position, x, y, keep)
    return y, (keep, p)


@kernel
def dropout_backward(dy: Array, saved: Any, needs: Sequence[bool] = (True,)) -> Array:
    keep, p = saved
    dx = empty(dy.shape, dy.dtype)
    _native.dropout_backward(dy.size, p, dy, keep, dx)
    return dx
