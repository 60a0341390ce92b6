"""A reader of pickles that hold only data: a small interpreter of the opcodes for plain values.

Nothing is imported and nothing is called.  A global is a name (`Global`), and what a name means is up to `Meanings`:
the opcodes with which Python's pickle would run code, REDUCE, NEWOBJ and persistent ids, call its methods.  Time and
memory are linear in the file's size.
"""

from __future__ import annotations

import struct
from typing import Any, BinaryIO, NamedTuple, Protocol

from fastnet.pickles.opcodes import opcodes

__all__ = ["Built", "Global", "Meanings", "Opaque", "read_pickle"]

_VALUES = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
}
_STRINGS = {"STRING", "BINSTRING", "SHORT_BINSTRING"}  # Python 2's str: text or bytes
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MAX_NAME = 1000
_KEYS = (str, bytes, int, float, bool, type(None))


class Global(NamedTuple):
    """The name of a class or function that the pickle refers to: "torch.FloatStorage"."""

    name: str


class Built:
    """An object to which the pickle gives a state (BUILD) after it has made it."""

    def build(self, state: Any) -> None:
        """Nothing that is read depends on the state."""


class Opaque(Built):
    """Stands in for an object of a class that is not read: its name, and its items if it is a kind of dict."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.items: dict[Any, Any] = {}


class Meanings(Protocol):
    """What the names in a pickle mean; each method raises ValueError to refuse one."""

    def call(self, name: str, args: tuple[Any, ...]) -> Any:
        """The value of a call of the global `name`."""

    def instance(self, name: str) -> Any:
        """A new instance of the class `name`."""

    def persistent(self, identity: Any) -> Any:
        """The value of a persistent id."""


def read_pickle(
    file: BinaryIO, meanings: Meanings, limit: int | None = None, strings: type[str] | type[bytes] = str
) -> Any:
    """Read one pickle from `file`, and leave the position after it.

    Parameters
    ----------
    file : binary file in memory
    meanings : Meanings
    limit : int, optional
        The largest number of opcodes: one of a byte can make a dict of 64 bytes.
    strings : str or bytes
        What Python 2's byte strings become; str is decoded as Latin-1.

    Raises
    ------
    ValueError
        A damaged pickle, or one that holds more than plain data.
    """
    try:
        return _Machine(meanings, strings).run(file, limit)
    except (IndexError, KeyError, OverflowError, struct.error, EOFError) as error:
        raise ValueError(f"damaged pickle ({type(error).__name__}: {error})") from error


class _Machine:
    def __init__(self, meanings: Meanings, strings: type[str] | type[bytes]) -> None:
        self.meanings, self.strings = meanings, strings
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self, file: BinaryIO, limit: int | None) -> Any:
        for number, (name, arg) in enumerate(opcodes(file), 1):
            if limit is not None and number > limit:
                raise ValueError(f"more than {limit:,} pickle opcodes: this holds no weights")
            if name == "STOP":
                return self.stack.pop()
            if name in _LITERALS:
                self.stack.append(arg)
            elif name in _STRINGS:
                self.stack.append(arg if self.strings is bytes else arg.decode("latin-1"))
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
        if isinstance(self.stack[-1], Opaque):
            return
        if type(self.stack[-1]) is not list:
            raise ValueError(f"pickle appends to a {type(self.stack[-1]).__name__}: refused")
        self.stack[-1].extend(items)

    def _update(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Opaque):
            target = target.items
        if type(target) is not dict:
            raise ValueError(f"pickle sets an item of a {type(target).__name__}: refused")
        if len(items) % 2:
            raise ValueError("damaged pickle (a key without a value)")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[key if _is_plain(key) else Opaque(type(key).__name__)] = value

    def do_EMPTY_SET(self, arg: Any) -> None:
        self.stack.append(Opaque("set"))

    def do_FROZENSET(self, arg: Any) -> None:
        self._to_mark()
        self.stack.append(Opaque("frozenset"))

    do_ADDITEMS = do_APPENDS

    def do_POP(self, arg: Any) -> None:
        self.stack.pop()

    def do_POP_MARK(self, arg: Any) -> None:
        self._to_mark()

    def do_BUILD(self, arg: Any) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Built):
            self.stack[-1].build(state)
        elif type(self.stack[-1]) is not dict:  # a dict's attributes (PyTorch's "_metadata") are not read
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
        self._global(arg)

    def do_STACK_GLOBAL(self, arg: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            raise ValueError("damaged pickle (a global without a name)")
        self._global(f"{module}.{name}")

    def _global(self, name: str) -> None:
        if len(name) > _MAX_NAME:
            raise ValueError(f"damaged pickle (a global with a name of {len(name)} characters)")
        self.stack.append(Global(name))

    def do_REDUCE(self, arg: Any) -> None:
        args, function = self.stack.pop(), self.stack.pop()
        if type(function) is not Global or type(args) is not tuple:
            raise ValueError("pickle calls something that is not a global: refused")
        self.stack.append(self.meanings.call(function.name, args))

    def do_NEWOBJ(self, arg: Any) -> None:
        _, made = self.stack.pop(), self.stack.pop()
        if type(made) is not Global:
            raise ValueError("pickle makes an instance of something that is not a global: refused")
        self.stack.append(self.meanings.instance(made.name))

    def do_NEWOBJ_EX(self, arg: Any) -> None:
        self.stack.pop()
        self.do_NEWOBJ(arg)

    def do_BINPERSID(self, arg: Any) -> None:
        self.stack.append(self.meanings.persistent(self.stack.pop()))

    def do_PERSID(self, arg: Any) -> None:
        self.stack.append(self.meanings.persistent(arg))


def _is_plain(key: Any) -> bool:
    """Whether it may be a dict's key; in the place of any other key stands an object that equals no other.

    Hashing a deeply nested tuple would overflow C's stack; a very long integer takes its time for each hash, and chosen
    ones would all have the same.
    """
    return type(key) in _KEYS and not (type(key) is int and key.bit_length() > 64)
