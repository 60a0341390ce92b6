"""A stand-in for CuPy, for tests on machines without a GPU: arrays on NumPy, and kernels on the emulator.

It is as strict as CuPy: arrays of NumPy and of the device do not mix, nothing converts to NumPy without ``get`` or
``asnumpy``, and what NumPy returns as a number (an element, a sum) is an array without axes.  All of its names exist in
CuPy 14.
"""

from __future__ import annotations

import builtins
import operator

import numpy as np

from . import _core, _transfers, cuda, graphs, memory
from .raw import RawModule

__all__ = ["RawModule", "asnumpy", "cuda", "ndarray"]
__version__ = "0 (stand-in)"


def _names(text):
    return text.split()


_METHODS = _names(
    """
    all any argmax argmin argsort astype clip cumsum fill flatten item max mean min nonzero partition prod ravel
    repeat reshape round searchsorted sort squeeze std sum swapaxes take tolist transpose var
    """
)
_BINARY = _names("add sub mul truediv floordiv mod pow and or xor lshift rshift matmul")
_COMPARISONS = _names("lt le eq ne gt ge")
_HOST = np.ndarray


class Flags:
    """What CuPy knows of an array's memory: never whether it may be written."""

    def __init__(self, flags):
        self.c_contiguous, self.f_contiguous, self.owndata = flags.c_contiguous, flags.f_contiguous, flags.owndata


class ndarray:
    """An array of the device."""

    __array_priority__ = 100
    __hash__ = None

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C"):
        if memptr is not None or strides is not None:
            raise NotImplementedError("stand-in: arrays over given memory")
        self._array = _work(np.empty, (shape, dtype, order), {})._array
        self._memory = memory.place(self._array)

    @property
    def data(self):
        return memory.Place(self._array, self._memory)

    def __array__(self, *_, **__):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct one")

    def __array_ufunc__(self, function, how, *given, **more):
        if how != "__call__" or builtins.any(isinstance(each, _HOST) and each.ndim for each in given):
            return NotImplemented
        return _work(function, unwrap(given), {name: unwrap(each) for name, each in more.items()})

    def __array_function__(self, function, *_):
        raise TypeError(f"numpy.{function.__name__} was given arrays of the device")

    @property
    def __cuda_array_interface__(self):
        return {"shape": self.shape, "typestr": self.dtype.str, "version": 3}

    def get(self, stream=None, order="C", out=None, blocking=True):
        graphs.refuse("cudaMemcpy, device to host")
        _transfers.downloaded(self._array)
        return self._array.copy(order=order)

    def set(self, given, stream=None):
        graphs.refuse("cudaMemcpy, host to device")
        if not isinstance(given, _HOST) or (given.shape, given.dtype) != (self.shape, self.dtype):
            raise TypeError(f"set takes a NumPy array {self.shape} of {self.dtype}")
        if not self.flags.c_contiguous:
            raise RuntimeError("Cannot set to non-contiguous array")
        _transfers.uploaded(given)
        self._array[...] = given

    def copy(self, order="C"):
        return _work(_copy, (self._array, order), {})

    def view(self, dtype=None):
        return wrap(self._array.view() if dtype is None else self._array.view(dtype))

    @property
    def flags(self):
        return Flags(self._array.flags)

    def __getitem__(self, index):
        inner = _index(index)
        if builtins.any(each.dtype.kind == "b" for each in graphs.arrays_of(inner)):
            graphs.refuse("the number of elements of a mask")
        return _work(operator.getitem, (self._array, inner), {})

    def __setitem__(self, index, value):
        _change(operator.setitem, (self._array, _index(index), unwrap(value)), {})

    def __len__(self):
        return len(self._array)

    def __iter__(self):
        return (self[i] for i in range(len(self._array)))

    def __repr__(self):
        return repr(self._array)

    def __format__(self, form):
        host = self.get()
        return format(host.item() if host.ndim == 0 else host, form)

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, _):
        return self.copy()

    def __reduce__(self):
        return _from_host, (self.get(),)


def _from_host(array):
    return wrap(np.array(array))


for _name in ("shape", "strides", "dtype", "ndim", "size", "itemsize", "nbytes"):
    setattr(ndarray, _name, property(operator.attrgetter(f"_array.{_name}")))
ndarray.T = property(lambda self: wrap(self._array.T))
for _name in ("__float__", "__int__", "__bool__", "__index__", "__complex__"):
    setattr(ndarray, _name, lambda self, _name=_name: getattr(self.get(), _name)())


def wrap(found):
    """What NumPy returned, as CuPy would return it."""
    if isinstance(found, (_HOST, np.generic)):
        array = ndarray.__new__(ndarray)
        array._array = np.asarray(found)
        array._memory = memory.place(array._array)
        return array
    if isinstance(found, (list, tuple)):
        return type(found)(wrap(each) for each in found)
    return found


def _work(function, given, more):
    """What a function of NumPy returns, as work of the device; `given` and `more` are NumPy's."""
    graph = graphs.capturing()
    return wrap(function(*given, **more) if graph is None else graph.compute(function, given, more))


def _change(function, given, more):
    """The same for a function that changes arrays."""
    graph = graphs.capturing()
    if graph is None:
        function(*given, **more)
    else:
        graph.change(function, given, more)


def _copy(array, order):
    return array.copy(order=order)


def unwrap(given):
    """Arguments for NumPy; a NumPy array among them is an error, as in CuPy."""
    if isinstance(given, ndarray):
        return given._array
    if isinstance(given, _HOST):
        raise TypeError(f"Unsupported type {type(given)}")
    if isinstance(given, (list, tuple)):
        return type(given)(unwrap(each) for each in given)
    return given


def _index(given):
    if isinstance(given, tuple):
        return tuple(map(_index, given))
    return unwrap(given)


def _method(name):
    def call(self, *given, **more):
        if name in ("item", "tolist"):
            return getattr(self.get(), name)(*given)
        function, more = getattr(np.ndarray, name), {key: unwrap(value) for key, value in more.items()}
        found = (_change if name in ("fill", "sort") else _work)(function, (self._array, *unwrap(given)), more)
        return self if getattr(found, "_array", None) is self._array else found

    return call


for _name in _METHODS:
    setattr(ndarray, _name, _method(_name))


def _operator(name, swapped):
    function = _core.PRODUCTS.get(name) or getattr(operator, f"__{name}__")

    def call(self, other):
        if isinstance(other, _HOST) and other.ndim:
            raise TypeError(f"Unsupported type {type(other)}")
        pair = (unwrap_scalar(other), self._array) if swapped else (self._array, unwrap_scalar(other))
        return _work(function, pair, {})

    return call


def _in_place(name):
    function = getattr(operator, f"__i{name}__")

    def call(self, other):
        _change(function, (self._array, unwrap(other)), {})
        return self

    return call


def unwrap_scalar(given):
    return given if isinstance(given, _HOST) else unwrap(given)


for _name in _BINARY:
    setattr(ndarray, f"__{_name}__", _operator(_name, False))
    setattr(ndarray, f"__r{_name}__", _operator(_name, True))
    setattr(ndarray, f"__i{_name}__", _in_place(_name))
for _name in _COMPARISONS:
    setattr(ndarray, f"__{_name}__", _operator(_name, False))


def _unary(name):
    function = getattr(operator, f"__{name}__")
    return lambda self: _work(function, (self._array,), {})


for _name in ("neg", "pos", "abs", "invert"):
    setattr(ndarray, f"__{_name}__", _unary(_name))

# ---------------------------------------------------------------- functions

_CONVERT = _names("array asarray ascontiguousarray asfortranarray")
_FUNCTIONS = _names(
    """
    abs absolute add all any arange argmax argmin argsort array_equal bincount bitwise_and bitwise_xor
    broadcast_arrays broadcast_to ceil clip concatenate copysign cos count_nonzero cumsum diff digitize divide
    dot einsum empty empty_like equal exp expand_dims expm1 eye flatnonzero floor floor_divide full full_like
    hypot isfinite isinf isnan linspace log log1p log2 logaddexp logical_and logical_not logical_or logical_xor
    matmul max maximum may_share_memory mean min minimum moveaxis multiply negative nonzero ones ones_like outer
    pad partition power prod put_along_axis ravel reciprocal remainder repeat reshape rint roll round
    searchsorted sign sin sort split sqrt square squeeze stack std subtract sum swapaxes take take_along_axis
    tanh tensordot tile transpose tril triu true_divide trunc unique unravel_index var vstack where zeros
    zeros_like
    """
)


def _function(name):
    function = _core.PRODUCTS.get(name) or getattr(np, name)

    def call(*given, **more):
        return _work(function, unwrap(given), {key: unwrap(value) for key, value in more.items()})

    return call


def _same(found, given):
    """Whether a conversion changed nothing: NumPy makes a view if the dtype is an equal one, but another object."""
    described = [(x.__array_interface__["data"], x.dtype, x.shape, x.strides) for x in (found, given)]
    return described[0] == described[1]


def _conversion(name):
    function = getattr(np, name)

    def convert(given, *more, **options):
        if isinstance(given, ndarray):
            found = _work(function, (given._array, *more), options)
            return given if _same(found._array, given._array) else found
        graphs.refuse("cudaMemcpy, host to device")
        if isinstance(given, (list, tuple)):
            given = type(given)(each._array if isinstance(each, ndarray) else each for each in given)
        array = np.array(function(given, *more, **options), order="K")
        _transfers.uploaded(array)
        return wrap(array)

    return convert


for _name in _FUNCTIONS:
    globals()[_name] = _function(_name)
for _name in _CONVERT:
    globals()[_name] = _conversion(_name)
for _name in ("inf", "nan", "pi", "newaxis", "float32", "float64", "int32", "int64", "uint8", "uint32", "uint64"):
    globals()[_name] = getattr(np, _name)
bool_, generic = np.bool_, np.generic


get_default_memory_pool = memory.get_default_memory_pool


def asnumpy(array, *_, **__):
    """A NumPy array."""
    return array.get() if isinstance(array, ndarray) else np.asarray(array)
