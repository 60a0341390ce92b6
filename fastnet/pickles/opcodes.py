"""The opcodes of a pickle and their arguments, as far as pickletools reads them, and correctly where it does not."""

from __future__ import annotations

import pickletools
import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

__all__ = ["opcodes"]

_OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}
_ESCAPE = re.compile(rb"(?s)\\(x[0-9a-fA-F]{2}|.)")  # as Python 2 writes them
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"\\": b"\\", b"'": b"'", b'"': b'"'}


def opcodes(file: BinaryIO) -> Iterator[tuple[str, Any]]:
    """Yield each opcode's name and argument; Python 2's strings are bytes, the names of globals "module.name".

    Raises
    ------
    ValueError
        An unknown opcode, or an argument that is damaged or ends too early.
    """
    while code := file.read(1):
        opcode = _OPCODES.get(code)
        if opcode is None:
            raise ValueError(f"damaged pickle (unknown opcode {code!r})")
        name = opcode.name
        if name in _LINES:
            yield name, _LINES[name](file)
            continue
        try:
            arg: Any = opcode.arg.reader(file) if opcode.arg else None
        except ValueError as error:
            raise ValueError(f"damaged or incomplete pickle ({error})") from error
        yield name, arg.encode("latin-1") if name in ("BINSTRING", "SHORT_BINSTRING") else arg


def _line(file: BinaryIO) -> bytes:
    line = file.readline()
    if line[-1:] != b"\n":
        raise ValueError("damaged pickle (a line without its end)")
    return line[:-1]


def _name(file: BinaryIO) -> str:
    return _line(file).decode("utf-8")


def _string(file: BinaryIO) -> bytes:
    """A quoted line with escapes."""
    line = _line(file)
    if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1:] != line[:1]:
        raise ValueError("damaged pickle (a string without quotes)")
    return _ESCAPE.sub(_unescape, line[1:-1])


def _unescape(match: re.Match[bytes]) -> bytes:
    code = match[1]
    return bytes([int(code[1:], 16)]) if len(code) > 1 else _ESCAPES.get(code, match[0])


# Arguments that pickletools cannot read: it takes bytes beyond ASCII and unknown escapes for errors.
_LINES: dict[str, Callable[[BinaryIO], Any]] = {
    "STRING": _string,
    "GLOBAL": lambda file: f"{_name(file)}.{_name(file)}",
    "INST": lambda file: f"{_name(file)}.{_name(file)}",
    "PERSID": _name,
}
