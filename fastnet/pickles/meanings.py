"""What the names in pickles of data mean: containers, NumPy's arrays and scalars, and inert stand-ins for the rest."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnet.pickles.machine import Built, Global, Opaque

__all__ = ["Data", "PickledArray"]

_DICTS = ("collections.OrderedDict", "collections.defaultdict", "collections.Counter")
_NUMBERS = ("b1", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")
_RECONSTRUCT = tuple(f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core"))
_SCALAR = tuple(f"numpy.{core}.multiarray.scalar" for core in ("core", "_core"))
_FROM_BUFFER = tuple(f"numpy.{core}.numeric._frombuffer" for core in ("core", "_core"))
_COPY = tuple(f"{module}.{name}" for module in ("copyreg", "copy_reg") for name in ("_reconstructor", "__newobj__"))
_BYTES = ("builtins.bytes", "__builtin__.bytes")
# how Python writes members of enumerations, typing's Dict[str, int] and int | None, all of which refer to classes
_LOOKUPS = ("builtins.getattr", "__builtin__.getattr", "operator.getitem", "_operator.getitem")
_REDUCE = ("functools.reduce", "_functools.reduce", "__builtin__.reduce")
_UNIONS = (Global("operator.or_"), Global("_operator.or_"))

# Functions and classes in lower case that make values of Python, NumPy, pandas and PyTorch, beside all CamelCase
# classes.
_VALUES = re.compile(
    r"datetime\.(datetime|date|time|timedelta|timezone)|collections\.deque|functools\.partial|pathlib\.\w+"
    r"|(builtins|__builtin__)\.(set|frozenset|complex|slice|range|xrange|bytearray|bytes|object|list|tuple|dict|str)"
    r"|(builtins|__builtin__)\.type"
    r"|types\.(SimpleNamespace|GenericAlias)|zoneinfo\.ZoneInfo\._unpickle|pytz\._UTC|pytz\._p|dateutil\.\w+\.\w+"
    r"|numpy\.random\.\w+\.__\w+|numpy\.ma\.core\._mareconstruct|numpy\.(datetime64|timedelta64)"
    r"|pandas\.[\w.]+\._(unpickle\w*|new_\w+)|pandas\.[\w.]+\.__pyx_unpickle_\w+"
    r"|torch\.(device|dtype|layout|serialization\._get_layout)"
)
_CLASS = re.compile(r"_*[A-Z]\w*")
# Modules whose classes act when they are called.  Nothing acts here; but no file of weights or data names them.
_ACTING = {
    *("os", "posix", "nt", "sys", "subprocess", "multiprocessing", "threading", "_thread", "concurrent", "asyncio"),
    *("ctypes", "_ctypes", "types", "importlib", "zipimport", "runpy", "code", "codeop", "pdb", "bdb", "trace"),
    *("profile", "cProfile", "timeit", "socket", "_socket", "ssl", "http", "urllib", "ftplib", "smtplib", "xmlrpc"),
    *("io", "_io", "tempfile", "shutil", "sqlite3", "pickle", "_pickle", "shelve", "dill", "cloudpickle", "pip"),
    *("webbrowser", "pty", "signal", "logging", "unittest", "distutils", "setuptools"),
}


class Data:
    """The meanings that all pickles of data share.

    Objects of unknown classes become :class:`Opaque`; calls of functions that make no plain values are refused.
    """

    def __init__(self) -> None:
        self._made: dict[int, tuple[Any, Any]] = {}

    def _once(self, argument: Any, make: Callable[[Any], Any]) -> Any:
        """The result for an argument, the same if it comes again: memory stays linear in the file's size."""
        if id(argument) not in self._made:
            self._made[id(argument)] = argument, make(argument)
        return self._made[id(argument)][1]

    def call(self, name: str, args: tuple[Any, ...]) -> Any:
        if name in _DICTS:
            return self._once(args[-1], _dict) if args else {}
        if name in _RECONSTRUCT:
            return PickledArray()
        if name == "numpy.dtype" and args:
            return _DType(args[0])
        if name in _SCALAR and len(args) == 2:
            return _scalar(*args)
        if name in _FROM_BUFFER and len(args) == 4:
            array = PickledArray()
            array.build((1, args[2], args[1], args[3] == "F", args[0]))
            return array
        if name == "_codecs.encode" and args and type(args[0]) is str and args[1:] in ((), ("latin1",), ("latin-1",)):
            return self._once(args[0], _encode)  # as Python 3 writes bytes in protocol 2
        if name in _BYTES and not args:
            return b""
        if name in _COPY and args and type(args[0]) is Global:
            return self.instance(args[0].name)
        if name in _LOOKUPS and len(args) == 2 and type(args[0]) is Global and _is_class(args[0].name):
            return self.instance(args[0].name)
        if name in _REDUCE and args and args[0] in _UNIONS:
            return Opaque("types.UnionType")
        if not _is_class(name):
            raise _refusal(name)
        return self.instance(name)

    def instance(self, name: str) -> Any:
        if name in _DICTS:
            return {}
        if name.partition(".")[0] in _ACTING and not _VALUES.fullmatch(name):
            raise _refusal(name)
        return Opaque(name)

    def persistent(self, identity: Any) -> Any:
        raise ValueError("refused: it refers to objects outside the file")


def _is_class(name: str) -> bool:
    return bool(_VALUES.fullmatch(name) or _CLASS.fullmatch(name.rpartition(".")[2]))


def _refusal(name: str) -> ValueError:
    return ValueError(f"refused: the file calls {name[:100]!r}, which is not data")


def _encode(text: str) -> bytes:
    return text.encode("latin-1")


def _dict(given: Any) -> dict[Any, Any]:
    """A dict itself, or one of [key, value] pairs, as Python 2 writes an OrderedDict."""
    if type(given) is dict:
        return given
    if type(given) is list and all(type(pair) in (list, tuple) and len(pair) == 2 for pair in given):
        return {key: value for key, value in given if type(key) in (str, bytes)}
    return {}  # a defaultdict's argument is the function that makes its values


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


class _DType(Built):
    """Stands in for numpy.dtype; `dtype` is None for other types than numbers and "object"."""

    def __init__(self, name: Any) -> None:
        self.name = _text(name)
        self.dtype = np.dtype(self.name) if self.name in (*_NUMBERS, "O8", "O") else None

    def build(self, state: Any) -> None:
        if self.dtype is not None and type(state) is tuple and len(state) > 1:
            self.dtype = self.dtype.newbyteorder(">" if _text(state[1]) == ">" else "<")


class PickledArray(Built):
    """Stands in for numpy.ndarray; `value` is made from the array's own bytes only.

    The 0-d array in which ``np.save`` wraps one object has that as its value; arrays of anything but numbers have an
    `Opaque`.
    """

    value: object = Opaque("numpy.ndarray without data")

    def build(self, state: Any) -> None:
        if type(state) is not tuple or len(state) != 5 or type(state[2]) is not _DType or type(state[1]) is not tuple:
            raise ValueError("a NumPy array without plain data")
        _, shape, kind, fortran, data = state
        if not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError("a NumPy array with a damaged shape")
        if type(data) is str:  # Python 2's bytes
            data = data.encode("latin-1")
        if kind.dtype is None:
            self.value = Opaque(f"NumPy array of dtype {kind.name[:50]}")
        elif kind.dtype.kind == "O":
            boxed = shape == () and type(data) is list and len(data) == 1
            self.value = data[0] if boxed else Opaque("NumPy array of objects")
        elif isinstance(data, (bytes, bytearray)):
            self.value = np.frombuffer(data, kind.dtype).reshape(shape, order="F" if fortran else "C")
        else:
            raise ValueError("a NumPy array without plain data")


def _scalar(kind: Any, data: Any) -> Any:
    if type(data) is str:
        data = data.encode("latin-1")
    if type(kind) is not _DType or kind.dtype is None or kind.dtype.kind == "O" or type(data) is not bytes:
        return Opaque("NumPy scalar")
    return np.frombuffer(data, kind.dtype, 1)[0].item()
