"""A reader of pickles that hold only data: a small interpreter of the opcodes for plain values.

Nothing is imported and nothing is called.  A global is a name (`Global`); the two opcodes with which Python's pickle
would run code, REDUCE and persistent ids, call the caller's functions.  Time and memory are linear in the file's size.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

__all__ = ["Global", "read_pickle"]

Reduce = Callable[[str, tuple[Any, ...]], Any]
Persistent = Callable[[Any], Any]

MAX_OPCODES = 2_000_000
_VALUES = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = {
    "INT",
    "BININT",
    "BININT1",
    "BININT2",
    "LONG",
    "LONG1",
    "LONG4",
    "FLOAT",
    "BINFLOAT",
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
    "BINBYTES",
    "SHORT_BINBYTES",
    "BINBYTES8",
    "UNICODE",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_KEYS = (str, int, float, bool, type(None))


class Global(NamedTuple):
    """The name of a class or function that the pickle refers to: "torch.FloatStorage"."""

    name: str


def read_pickle(file: BinaryIO, reduce: Reduce, persistent: Persistent) -> Any:
    """Read one pickle from `file`, and leave the position after it.

    Parameters
    ----------
    file : binary file in memory
    reduce : function of (name, args)
        Returns the value of a call of the global `name`; raises ValueError to refuse it.
    persistent : function of (id)
        Returns the value of a persistent id.

    Raises
    ------
    ValueError
        A damaged pickle, or one that holds more than plain data.
    """
    try:
        return _Machine(reduce, persistent).run(file)
    except (IndexError, KeyError, OverflowError, struct.error, EOFError) as error:
        raise ValueError(f"damaged pickle ({type(error).__name__}: {error})") from error


class _Machine:
    def __init__(self, reduce: Reduce, persistent: Persistent) -> None:
        self.reduce, self.persistent = reduce, persistent
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self, file: BinaryIO) -> Any:
        for number, (opcode, arg, _) in enumerate(pickletools.genops(file)):
            if number > MAX_OPCODES:
                raise ValueError(f"more than {MAX_OPCODES:,} pickle opcodes: this holds no weights")
            name = opcode.name
            if name == "STOP":
                return self.stack.pop()
            if name in _LITERALS:
                self.stack.append(arg)
            elif name in _VALUES:
                self.stack.append(_VALUES[name])
            elif name in _TUPLES:
                self._tuple(_TUPLES[name])
            else:
                handler = getattr(self, f"do_{name}", None)
                if handler is None:
                    raise ValueError(f"pickle opcode {name}, which makes objects, is refused: only plain data is read")
                handler(arg)
        raise ValueError("damaged pickle (no STOP)")

    def _tuple(self, size: int) -> None:
        if len(self.stack) < size:
            raise IndexError("stack is empty")
        items = tuple(self.stack[len(self.stack) - size :])
        del self.stack[len(self.stack) - size :]
        self.stack.append(items)

    def _to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def do_PROTO(self, arg: Any) -> None:
        if arg > 5:
            raise ValueError(f"pickle protocol {arg} is unknown")

    def do_FRAME(self, arg: Any) -> None:
        """A hint about buffering."""

    def do_MARK(self, arg: Any) -> None:
        self.below.append(self.stack)
        self.stack = []

    def do_TUPLE(self, arg: Any) -> None:
        items = tuple(self._to_mark())
        self.stack.append(items)

    def do_EMPTY_LIST(self, arg: Any) -> None:
        self.stack.append([])

    def do_LIST(self, arg: Any) -> None:
        items = self._to_mark()
        self.stack.append(items)

    def do_EMPTY_DICT(self, arg: Any) -> None:
        self.stack.append({})

    def do_DICT(self, arg: Any) -> None:
        items = self._to_mark()
        self.stack.append({})
        self._update(items)

    def do_APPEND(self, arg: Any) -> None:
        item = self.stack.pop()
        self._extend([item])

    def do_APPENDS(self, arg: Any) -> None:
        self._extend(self._to_mark())

    def do_SETITEM(self, arg: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key, value])

    def do_SETITEMS(self, arg: Any) -> None:
        self._update(self._to_mark())

    def _extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise ValueError(f"pickle appends to a {type(self.stack[-1]).__name__}: refused")
        self.stack[-1].extend(items)

    def _update(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not dict:
            raise ValueError(f"pickle sets an item of a {type(self.stack[-1]).__name__}: refused")
        if len(items) % 2:
            raise ValueError("damaged pickle (a key without a value)")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) not in _KEYS:
                raise ValueError(f"pickle has a dict key of type {type(key).__name__}: refused")
            self.stack[-1][key] = value

    def do_BUILD(self, arg: Any) -> None:
        self.stack.pop()  # attributes of an OrderedDict (PyTorch's "_metadata"): nothing that weights need
        if type(self.stack[-1]) is not dict:
            raise ValueError("pickle sets attributes of an object: refused")

    def do_PUT(self, arg: Any) -> None:
        self.memo[arg] = self.stack[-1]

    do_BINPUT = do_LONG_BINPUT = do_PUT

    def do_MEMOIZE(self, arg: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def do_GET(self, arg: Any) -> None:
        self.stack.append(self.memo[arg])

    do_BINGET = do_LONG_BINGET = do_GET

    def do_GLOBAL(self, arg: Any) -> None:
        self.stack.append(Global(arg.replace(" ", ".")))

    def do_STACK_GLOBAL(self, arg: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            raise ValueError("damaged pickle (a global without a name)")
        self.stack.append(Global(f"{module}.{name}"))

    def do_REDUCE(self, arg: Any) -> None:
        args, function = self.stack.pop(), self.stack.pop()
        if type(function) is not Global or type(args) is not tuple:
            raise ValueError("pickle calls something that is not a global: refused")
        self.stack.append(self.reduce(function.name, args))

    def do_BINPERSID(self, arg: Any) -> None:
        self.stack.append(self.persistent(self.stack.pop()))
