"""Reads pickles of plain containers and numeric arrays, and nothing else: nothing in the file is executed."""

from __future__ import annotations

import io
import pickle
import pickletools
from typing import Any

import numpy as np

__all__ = ["load_plain_pickle"]

_MAX_MEMO = 10_000_000
_DTYPES = {"u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "O8"}


def _text(value: Any) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else str(value)


class _DType:
    """Stands in for numpy.dtype: numeric types, and "object" for an array that wraps one object."""

    def __init__(self, name: Any, *_: Any) -> None:
        name = _text(name)
        if name not in _DTYPES:
            raise pickle.UnpicklingError(f"arrays of dtype {name!r} are not accepted")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: Any) -> None:
        self.dtype = self.dtype.newbyteorder({">": ">", "<": "<"}.get(_text(state[1]), "="))


class _Array:
    """Stands in for numpy.ndarray: built from its own bytes only, by np.frombuffer.

    An array of objects is accepted if it is the 0-d array in which ``np.save`` wraps one object.
    """

    value: object

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        boxed = isinstance(dtype, _DType) and dtype.dtype.kind == "O"
        if boxed and shape == () and isinstance(data, list) and len(data) == 1:
            self.value = data[0]
        elif isinstance(dtype, _DType) and not boxed and isinstance(data, bytes):
            self.value = np.frombuffer(data, dtype.dtype).reshape(shape, order="F" if fortran else "C")
        else:
            raise pickle.UnpicklingError("an array without plain data")


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """_codecs.encode, as Python 3 writes bytes in protocol 2; latin-1 only."""
    if _text(encoding) not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"encoding {encoding!r} is not accepted")
    encoded: bytes = text.encode("latin1")
    return encoded


_GLOBALS = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): _encode,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _GLOBALS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not data") from None

    def persistent_load(self, pid: Any) -> None:
        raise pickle.UnpicklingError("it refers to objects outside the file")


def _plain(value: Any) -> Any:
    """Replace stand-ins by their contents, and keys that are byte strings by text."""
    if isinstance(value, _Array):
        return value.value if isinstance(value.value, np.ndarray) else _plain(value.value)
    if isinstance(value, dict):
        return {_text(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    raise pickle.UnpicklingError(f"it holds a {type(value).__name__}")


def load_plain_pickle(data: bytes, where: str) -> Any:
    """Unpickle `data`, from any version of Python, if it holds only dicts, lists, text, numbers and numeric arrays.

    Tuples are returned as lists, keys of dicts as str, other text from Python 2 as bytes.

    Parameters
    ----------
    data : bytes
    where : str
        The file's name, for the message.

    Raises
    ------
    ValueError
        The pickle is damaged, or asks for anything else.  Nothing has been called in that case.
    """
    try:
        for opcode, argument, _ in pickletools.genops(data):  # checks every length against the bytes available
            if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > _MAX_MEMO:
                raise pickle.UnpicklingError("a memo index out of range")
        return _plain(_Unpickler(io.BytesIO(data), encoding="bytes").load())
    except Exception as error:  # a hostile pickle can raise nearly anything
        raise ValueError(f"{where}: not accepted as a pickle of plain arrays: {error}") from error
