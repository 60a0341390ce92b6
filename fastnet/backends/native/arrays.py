"""Arrays of the native backend: memory from the caching allocator, activations channels-last."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from fastnet.arrays import as_array
from fastnet.backends import _native
from fastnet.ops.checks import FLOATS
from fastnet.types import Array, DType, DTypeLike

KERNELS: dict[str, Callable[..., Any]] = {}


_Function = TypeVar("_Function", bound=Callable[..., Any])


def kernel(function: _Function) -> _Function:
    """Decorator: registers the function as the kernel of the op, or of the gradient ("<op>_backward"), of its name."""
    KERNELS[function.__name__] = function
    return function


def empty(shape: Sequence[int], dtype: DType) -> Array:
    """An uninitialised array; channels-last if it has 3 or 4 axes, (N, C, L) or (N, C, H, W)."""
    item = dtype.itemsize
    block: Any = _native.Block(math.prod(shape) * item)  # NumPy's types list the standard library's buffers only
    if len(shape) == 4:
        _, C, H, W = shape
        return np.ndarray(shape, dtype, block, 0, (H * W * C * item, item, W * C * item, C * item))
    if len(shape) == 3:
        _, C, L = shape
        return np.ndarray(shape, dtype, block, 0, (L * C * item, item, C * item))
    return np.ndarray(shape, dtype, block)


def c_empty(shape: Sequence[int], dtype: DType) -> Array:
    """An uninitialised array in C order."""
    block: Any = _native.Block(math.prod(shape) * dtype.itemsize)
    return np.ndarray(shape, dtype, block)


def dense(x: Array) -> Array:
    """x in the kernels' memory order for activations; copied only if it differs."""
    order = _native.layout(x)
    if order & 1:
        return x
    y = empty(x.shape, x.dtype)
    if order & 2 and x.dtype in FLOATS:
        N, pixels, C = extents(x.shape)
        _native.to_channels_last(N, C, pixels, x, y)
    else:
        y[...] = x
    return y


def c_order(x: Array) -> Array:
    """x in the kernels' memory order for weights; copied only if it is not in C order."""
    order = _native.layout(x)
    if order & 2:
        return x
    y = c_empty(x.shape, x.dtype)
    if order & 1 and x.dtype in FLOATS:
        N, pixels, C = extents(x.shape)
        _native.to_channels_first(N, C, pixels, x, y)
    else:
        y[...] = x
    return y


def asarray(x: Any, dtype: DTypeLike | None = None) -> Array:
    """Any array of real numbers, converted to an activation."""
    x = np.asarray(as_array(x))
    if dtype is None:
        native = x.dtype.newbyteorder("=")
        dtype = native if native in FLOATS else FLOATS[0]
    dtype = np.dtype(dtype)
    if x.dtype == dtype and x.dtype.isnative:
        return dense(x) if x.ndim else x
    if x.ndim == 0:
        scalar: Array = x.astype(dtype)
        return scalar
    y = empty(x.shape, dtype)
    y[...] = x
    return y


def contiguous(x: Any, dtype: DTypeLike | None = None) -> Array:
    """Any array in C order."""
    x = np.asarray(as_array(x))
    dtype = x.dtype.newbyteorder("=") if dtype is None else np.dtype(dtype)
    if x.dtype == dtype and x.dtype.isnative:
        return c_order(x)
    y = c_empty(x.shape, dtype)
    y[...] = x
    return y


def extents(shape: Sequence[int]) -> tuple[int, int, int]:
    """(N, C), (N, C, L) or (N, C, H, W) as images, pixels, channels."""
    return shape[0], math.prod(shape[2:]), shape[1]
