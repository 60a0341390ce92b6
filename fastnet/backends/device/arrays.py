"""Arrays of the device: activations channels-last, weights in C order, as the native backend has them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import cupy

from fastnet.types import Array, DTypeLike

KERNELS: dict[str, Callable[..., Any]] = {}

_Function = TypeVar("_Function", bound=Callable[..., Any])


def kernel(function: _Function) -> _Function:
    """Decorator: registers the function as the kernel of the op, or of the gradient ("<op>_backward"), of its name."""
    KERNELS[function.__name__] = function
    return function


def empty(shape: Sequence[int], dtype: DTypeLike) -> Array:
    """An uninitialised array; channels-last if it has 3 or 4 axes, (N, C, L) or (N, C, H, W)."""
    if len(shape) in (3, 4):
        return _channels_second(cupy.empty((shape[0], *shape[2:], shape[1]), dtype))
    return c_empty(shape, dtype)


def c_empty(shape: Sequence[int], dtype: DTypeLike) -> Array:
    """An uninitialised array in C order."""
    array: Array = cupy.empty(tuple(shape), dtype)
    return array


def dense(x: Array) -> Array:
    """x in the kernels' memory order for activations; copied only if it differs."""
    if x.ndim in (3, 4):
        return _channels_second(cupy.ascontiguousarray(x.transpose(0, *range(2, x.ndim), 1)))
    return c_order(x)


def c_order(x: Array) -> Array:
    """x in C order, the kernels' memory order for weights; copied only if it differs."""
    array: Array = cupy.ascontiguousarray(x) if x.ndim else x
    return array


def put_back(given: Iterable[Array | None], dense: Iterable[Array | None]) -> None:
    """Copy arrays that a kernel has updated in C order into those that were given, where these are others."""
    for array, updated in zip(given, dense, strict=True):
        if array is not None and array is not updated:
            array[...] = updated


def extents(shape: Sequence[int]) -> tuple[int, int, int]:
    """(N, C), (N, C, L) or (N, C, H, W) as images, pixels, channels."""
    return shape[0], math.prod(shape[2:]), shape[1]


def _channels_second(x: Array) -> Array:
    return x.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))
