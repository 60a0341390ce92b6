"""Conversion of users' arguments: arrays of any library become arrays of the backend, of one dtype."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from fastnet.arrays import as_array, elsewhere, on_host
from fastnet.backends import current
from fastnet.types import Array, ArrayLike, DType

__all__ = ["Batch", "arrays_of", "enter_contiguous", "follows", "gradient_of", "images"]

Enter = Callable[[str, Any, DType], Array]
_Function = TypeVar("_Function", bound=Callable[..., Any])


def follows(function: _Function) -> _Function:
    """Decorator: on a GPU, results are NumPy arrays unless an argument is an array of the device."""

    @wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        result = function(*given, **named)
        return _download(result) if elsewhere() and not elsewhere(*given, *named.values()) else result

    return call  # type: ignore[return-value]


def _download(result: Any) -> Any:
    """A result, which may hold the function ``backward``, with NumPy arrays."""
    if isinstance(result, tuple):
        return tuple(map(_download, result))
    if callable(result):
        return follows(result)
    return on_host(result) if elsewhere(result) else result


def arrays_of(op: str, enter: Enter | None = None, **given: ArrayLike | None) -> list[Any]:
    """The backend's arrays of one dtype; None stays None.  ``enter(name, array, dtype)`` chooses their memory order."""
    strong: list[DType] = []
    found: dict[str, Any] = {}
    for name, value in given.items():
        if value is None and name not in ("x", "weight", "columns", "a", "b", "dy"):
            found[name] = None
            continue
        array: Any = as_array(value, f"{op}: {name}")
        if array.dtype.itemsize > 8:
            raise TypeError(f"{op}: {name} must hold real numbers of at most 64 bits, got dtype {array.dtype}")
        if not isinstance(value, (int, float, list, tuple)) and array.dtype.kind == "f" and array.dtype.itemsize >= 4:
            strong.append(np.dtype(array.dtype.type))
        found[name] = array
    dtype = strong[0] if strong else np.dtype(np.float32)
    if any(other != dtype for other in strong):
        listing = ", ".join(f"{name} {array.dtype}" for name, array in found.items() if array is not None)
        raise TypeError(f"{op}: float32 and float64 arrays may not be mixed, got {listing}; cast with .astype(...)")
    enter = enter or _enter
    return [None if array is None else enter(name, array, dtype) for name, array in found.items()]


def _enter(name: str, array: Any, dtype: DType) -> Array:
    """Weights in C order, activations in the backend's order."""
    ops = current()
    entered: Array = ops.xp.asarray(array, dtype, order="C") if name == "weight" else ops.asarray(array, dtype)
    return entered


def enter_contiguous(name: str, array: Any, dtype: DType) -> Array:
    """Everything in C order."""
    entered: Array = current().contiguous(array, dtype)
    return entered


def gradient_of(op: str, dy: ArrayLike, y: Array, enter: Enter | None = None) -> Array:
    """dy as the backend's array in y's dtype; ValueError unless it has y's shape."""
    gradient = (enter or _enter)("dy", as_array(dy, f"{op}: dy"), y.dtype)
    if tuple(gradient.shape) != tuple(y.shape):
        raise ValueError(f"{op}: dy must have the output's shape {tuple(y.shape)}, got {tuple(gradient.shape)}")
    return gradient


class Batch:
    """x (N, C, H, W), or one image (C, H, W), which gets a batch axis that its results lose.

    With `channels`, the number that the weights expect, an array of three axes must be (C, H, W) without doubt: its
    first axis has this number, its last does not.  Without, images that look channels-last, as those of files are,
    are refused.
    """

    def __init__(self, op: str, x: Array, channels: int | None = None) -> None:
        self.single = x.ndim == 3
        if self.single:
            first, _, last = x.shape
            if channels is None:
                doubtful = last in (1, 3, 4) and first not in (1, 3, 4)
            else:
                doubtful = first != channels or last == channels
            if doubtful:
                raise ValueError(
                    f"{op}: x must have shape (N, C, H, W), got {tuple(x.shape)} (a single image needs a leading batch "
                    "axis: x[None]; one with channels last, x.transpose(2, 0, 1)[None])"
                )
        self.images = self.put(x)

    def put(self, array: Array) -> Array:
        """The array with a batch axis."""
        return array[None] if self.single else array

    def take(self, array: Array) -> Array:
        """A result without the axis that :meth:`put` added."""
        return array[0] if self.single else array


def images(op: str, x: Array) -> Array:
    """x; ValueError unless it has shape (N, C, H, W)."""
    if x.ndim != 4:
        hint = " (a single image needs a leading batch axis: x[None])" if x.ndim == 3 else ""
        raise ValueError(f"{op}: x must have shape (N, C, H, W), got {tuple(x.shape)}{hint}")
    return x
