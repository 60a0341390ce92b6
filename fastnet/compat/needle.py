"""CMU 10-414/714 "Deep Learning Systems": needle's CPU backend, homework 3 and 4, without a C++ compiler.

This module stands in for the extension ``needle.backend_ndarray.ndarray_backend_cpu``, which students write in C++:
flat float32 arrays, strides and offsets counted in elements, results written to `out`.  To run the homework on it, add
this before the first import of needle, in a notebook's first cell or in ``tests/conftest.py``::

    import fastnet.compat.needle
    fastnet.compat.needle.install()

What the extension leaves unchecked raises ValueError here: views that exceed their array, sizes that do not match.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from fastnet.functional import matmul as _matmul

__device_name__ = "cpu"
__tile_size__ = 8

_ITEM = 4  # bytes in a float32


def install(package: str = "needle") -> None:
    """Serve this module as ``<package>.backend_ndarray.ndarray_backend_cpu``.

    Raises
    ------
    ImportError
        If `package` has been imported with another backend, whose arrays are incompatible.
    """
    name, module = f"{package}.backend_ndarray.ndarray_backend_cpu", sys.modules[__name__]
    if f"{package}.backend_ndarray" in sys.modules and sys.modules.get(name) is not module:
        raise ImportError(
            f"{package} is already imported; restart Python and call fastnet.compat.needle.install() first"
        )
    sys.modules[name] = module


class Array:
    """`size` float32 elements, uninitialised."""

    __slots__ = ("_data",)

    def __init__(self, size: int):
        if int(size) < 0:
            raise ValueError(f"Array: size must be 0 or more, got {size}")
        self._data = np.empty(int(size), np.float32)

    @property
    def size(self) -> int:
        return self._data.size

    def ptr(self) -> int:
        """The address of the first element."""
        return self._data.ctypes.data


def _view(op: str, array: Array, shape, strides, offset) -> np.ndarray:
    shape, strides = tuple(map(int, shape)), tuple(map(int, strides))
    try:
        return np.ndarray(shape, np.float32, array._data, int(offset) * _ITEM, [_ITEM * stride for stride in strides])
    except ValueError:
        raise ValueError(
            f"{op}: shape {shape} with strides {strides} and offset {offset} exceeds an array of {array.size} elements"
        ) from None


def _same_sizes(op: str, **arrays: Array) -> None:
    if len({array.size for array in arrays.values()}) > 1:
        listing = ", ".join(f"{name} has {array.size}" for name, array in arrays.items())
        raise ValueError(f"{op}: arrays must have the same number of elements; {listing}")


def _matrix(op: str, name: str, array: Array, shape) -> np.ndarray:
    if array.size != math.prod(shape):
        raise ValueError(f"{op}: {name} must have {shape} = {math.prod(shape)} elements, got {array.size}")
    return array._data.reshape(shape)


# ---------------------------------------------------------------- copies


def to_numpy(a: Array, shape: Sequence[int], strides: Sequence[int], offset: int) -> np.ndarray:
    """Copy a view of `a` to a new NumPy array."""
    return _view("to_numpy", a, shape, strides, offset).copy()


def from_numpy(a: ArrayLike, out: Array) -> None:
    """Copy a NumPy array, in C order, to `out`."""
    a = np.asarray(a)
    if a.size != out.size:
        raise ValueError(f"from_numpy: out must have the array's {a.size} elements, got {out.size}")
    out._data.reshape(a.shape)[...] = a


def fill(out: Array, val: float) -> None:
    """Set all elements to `val`."""
    out._data.fill(val)


def compact(a: Array, out: Array, shape: Sequence[int], strides: Sequence[int], offset: int) -> None:
    """Copy a view of `a`, given by strides and offset, to the compact array `out`."""
    _matrix("compact", "out", out, tuple(shape))[...] = _view("compact", a, shape, strides, offset)


def ewise_setitem(a: Array, out: Array, shape: Sequence[int], strides: Sequence[int], offset: int) -> None:
    """Copy the compact array `a` to a view of `out`, given by strides and offset."""
    _view("ewise_setitem", out, shape, strides, offset)[...] = _matrix("ewise_setitem", "a", a, tuple(shape))


def scalar_setitem(
    size: int, val: float, out: Array, shape: Sequence[int], strides: Sequence[int], offset: int
) -> None:
    """Set a view of `out`, which has `size` elements, to `val`."""
    view = _view("scalar_setitem", out, shape, strides, offset)
    if view.size != size:
        raise ValueError(f"scalar_setitem: size must be that of shape {tuple(shape)}, {view.size}, got {size}")
    view[...] = val


# ---------------------------------------------------------------- element by element


def _ewise(op: str, ufunc):
    """(a, b, out): ``out = ufunc(a, b)``; infinities and NaN raise no warning, as in C."""
    op = f"ewise_{op}"

    def function(a, b, out):
        _same_sizes(op, a=a, b=b, out=out)
        with np.errstate(all="ignore"):
            ufunc(a._data, b._data, out=out._data)

    function.__name__ = function.__qualname__ = op
    return function


def _scalar(op: str, ufunc):
    """(a, val, out): ``out = ufunc(a, val)`` with val as a float32."""
    op = f"scalar_{op}"

    def function(a, val, out):
        _same_sizes(op, a=a, out=out)
        with np.errstate(all="ignore"):
            ufunc(a._data, np.float32(val), out=out._data)

    function.__name__ = function.__qualname__ = op
    return function


def _unary(op: str, ufunc):
    """(a, out): ``out = ufunc(a)``."""
    op = f"ewise_{op}"

    def function(a, out):
        _same_sizes(op, a=a, out=out)
        with np.errstate(all="ignore"):
            ufunc(a._data, out=out._data)

    function.__name__ = function.__qualname__ = op
    return function


ewise_add, scalar_add = _ewise("add", np.add), _scalar("add", np.add)
ewise_mul, scalar_mul = _ewise("mul", np.multiply), _scalar("mul", np.multiply)
ewise_div, scalar_div = _ewise("div", np.divide), _scalar("div", np.divide)
scalar_power = _scalar("power", np.power)
ewise_maximum, scalar_maximum = _ewise("maximum", np.maximum), _scalar("maximum", np.maximum)
ewise_eq, scalar_eq = _ewise("eq", np.equal), _scalar("eq", np.equal)  # 0.0 or 1.0
ewise_ge, scalar_ge = _ewise("ge", np.greater_equal), _scalar("ge", np.greater_equal)
ewise_log, ewise_exp, ewise_tanh = _unary("log", np.log), _unary("exp", np.exp), _unary("tanh", np.tanh)


# ---------------------------------------------------------------- matrices


def matmul(a: Array, b: Array, out: Array, m: int, n: int, p: int) -> None:
    """Multiply the matrices a (m, n) and b (n, p); store the result in out (m, p)."""
    product, _ = _matmul(_matrix("matmul", "a", a, (m, n)), _matrix("matmul", "b", b, (n, p)))
    _matrix("matmul", "out", out, (m, p))[...] = product


def matmul_tiled(a: Array, b: Array, out: Array, m: int, n: int, p: int) -> None:
    """As :func:`matmul` for tiled matrices: a (m/8, n/8, 8, 8), b (n/8, p/8, 8, 8), out (m/8, p/8, 8, 8)."""
    T = __tile_size__
    if m % T or n % T or p % T:
        raise ValueError(f"matmul_tiled: m, n and p must be multiples of {T}, got {m}, {n} and {p}")
    left = _matrix("matmul_tiled", "a", a, (m // T, n // T, T, T)).swapaxes(1, 2).reshape(m, n)
    right = _matrix("matmul_tiled", "b", b, (n // T, p // T, T, T)).swapaxes(1, 2).reshape(n, p)
    tiles = _matrix("matmul_tiled", "out", out, (m // T, p // T, T, T))
    product, _ = _matmul(left, right)
    tiles[...] = product.reshape(m // T, T, p // T, T).swapaxes(1, 2)


def reduce_max(a: Array, out: Array, reduce_size: int) -> None:
    """The maximum of every `reduce_size` consecutive elements."""
    np.max(_matrix("reduce_max", "a", a, (out.size, reduce_size)), axis=1, out=out._data)


def reduce_sum(a: Array, out: Array, reduce_size: int) -> None:
    """The sum of every `reduce_size` consecutive elements."""
    np.sum(_matrix("reduce_sum", "a", a, (out.size, reduce_size)), axis=1, out=out._data)
