"""Arrays of others as NumPy arrays: the one place where they are converted.

Anything with ``__array__``, ``__dlpack__`` or the buffer protocol works: PyTorch tensors (also those that require a
gradient, lie on another device, or are bfloat16), JAX and CuPy arrays, PIL images, pandas frames, memory maps,
``array.array``, and lists of these.  What has no real numbers, or hides some, is refused by name.

Where ops read them (`as_array`), arrays of the backend in use stay what they are; elsewhere (`on_host`) all are NumPy.
"""

from __future__ import annotations

from typing import Any
from weakref import getweakrefcount

import numpy as np

from fastnet.types import Array

__all__ = ["as_array", "elsewhere", "isfinite", "keep", "on_host", "owns_memory", "same_bits"]

_REAL = "fiub"  # kinds of NumPy's dtypes
_ADDED = 2  # dtype.isbuiltin of types that another library registers: ml_dtypes' bfloat16, float8, int4, as in JAX
_PLAIN = {bool, int, float, list, tuple, np.ndarray}  # what lists that NumPy converts as a whole hold
_kept: tuple[type, ...] = ()  # array types of the backend in use, other than NumPy's
_FAILURES = (TypeError, ValueError, RuntimeError, NotImplementedError, BufferError)  # of others' conversions


def keep(types: tuple[type, ...]) -> None:
    """Set the array types, beside NumPy's, that :func:`as_array` returns as they are."""
    global _kept
    _kept = types


def isfinite(array: Array) -> Any:
    """Which elements of a NumPy array are neither NaN nor infinite."""
    return np.isfinite(array)


def elsewhere(*given: Any) -> bool:
    """Whether one of the arrays, or without arguments those of the backend, are not NumPy's."""
    return any(isinstance(each, _kept) for each in given) if given else bool(_kept)


def owns_memory(array: Array) -> bool:
    """Whether who refers to a NumPy array's memory refers to the array, and does not so weakly."""
    return type(array) is np.ndarray and array.flags.owndata and not getweakrefcount(array)


def same_bits(one: Array, other: Array) -> bool:
    """Whether two NumPy arrays have one shape, dtype and content, bit by bit: NaN is itself, and 0.0 not -0.0."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.dtype.itemsize not in (1, 2, 4, 8):  # extended precision
        return one.tobytes() == other.tobytes()
    bits = np.dtype(f"u{one.dtype.itemsize}")
    return np.array_equal(one.view(bits), other.view(bits))


def on_host(given: Any, name: str = "the array") -> Array:
    """As :func:`as_array`, but always a NumPy array."""
    array = as_array(given, name)
    return _convert(array, name) if isinstance(array, _kept) else array


def as_array(given: Any, name: str = "the array") -> Array:
    """`given` as an array of real numbers, NumPy's or the backend's, without a copy where possible.

    A memory map stays one.

    Parameters
    ----------
    given : array or array-like
    name : str
        What it is, for the error: "conv2d: x".

    Raises
    ------
    TypeError
        It is not an array of real numbers: another type, text, complex numbers, Python objects; a masked array with
        masked elements; an image of palette numbers.
    ValueError
        A list whose elements differ in shape.
    """
    array: Array = given
    if type(given) in (np.ndarray, np.memmap) and array.dtype.kind in _REAL and array.dtype.isbuiltin != _ADDED:
        return array
    if not isinstance(given, _kept):
        array = _convert(given, name)
    if array.dtype.isbuiltin == _ADDED:
        return array.astype(np.float32)
    if array.dtype.kind in _REAL:
        return array
    if array.dtype.kind == "O" and array.ndim == 0:
        hint = "; its .toarray() is one" if hasattr(given, "toarray") else ""
        raise TypeError(f"{name} must be an array of real numbers, got {_described(given)}{hint}")
    hint = ""
    if array.dtype.kind == "O" and hasattr(given, "to_numpy"):
        hint = '; .to_numpy("float32") of the columns that hold numbers is such an array'
    raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}{hint}")


def _described(given: Any) -> str:
    return "None" if given is None else f"{type(given).__module__}.{type(given).__name__}".removeprefix("builtins.")


def _convert(given: Any, name: str) -> np.ndarray:
    """`given` as an array of any dtype."""
    if isinstance(given, np.ma.MaskedArray) and np.ma.is_masked(given):
        raise TypeError(f"{name} is a masked array with masked elements; replace them: .filled(value)")
    if getattr(given, "mode", None) in ("P", "PA") and hasattr(given, "getpalette"):
        raise TypeError(f'{name} is an image of palette numbers (mode {given.mode}), not of colours; .convert("RGB")')
    if isinstance(given, (str, dict, set, frozenset)):
        raise TypeError(f"{name} must be an array of real numbers, got {_described(given)}")
    if isinstance(given, (list, tuple)) and any(type(each) not in _PLAIN for each in given):
        return _stacked([on_host(each, f"{name}[{n}]") for n, each in enumerate(given)], name)
    try:
        if hasattr(given, "detach") and hasattr(given, "cpu"):
            return _from_torch(given.detach().cpu())
        if hasattr(given, "__cuda_array_interface__") and hasattr(given, "get"):  # CuPy's
            return np.asarray(given.get())
        if hasattr(given, "__dlpack__") and not hasattr(given, "__array__"):
            return np.from_dlpack(given)
        return np.asarray(given)
    except _FAILURES as error:
        if isinstance(given, (list, tuple)):
            if all(type(each) is np.ndarray for each in given):
                return _stacked(list(given), name)
            raise ValueError(
                f"{name} must be an array of real numbers, got a {type(given).__name__}: {error}"
            ) from error
        raise TypeError(f"{name}: {_described(given)} cannot be converted to a NumPy array: {error}") from error


def _from_torch(tensor: Any) -> np.ndarray:
    try:
        return np.asarray(tensor)
    except TypeError:  # bfloat16 and the like, which NumPy lacks; sparse and quantised tensors fail again
        return np.asarray(tensor.float())


def _stacked(arrays: list[Array], name: str) -> np.ndarray:
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1:
        hint = (
            "; bring images to one size: data.OneSize, augment.Resize" if {len(each) for each in shapes} == {3} else ""
        )
        raise ValueError(f"{name}: the arrays of a list must have one shape, got {shapes[0]} and {shapes[1]}{hint}")
    return np.stack(arrays)
