"""Columns of text on a terminal, where East Asian characters are two cells wide and accents none."""

from __future__ import annotations

import unicodedata

__all__ = ["clip", "pad", "visible", "width"]


def width(text: str) -> int:
    """The number of cells that `text` takes (Unicode Standard Annex 11; ambiguous characters take one)."""
    return sum(map(_cells, unicodedata.normalize("NFC", text)))


def _cells(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):  # accents, joiners
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def pad(text: str, cells: int, align: str = "<") -> str:
    """`text` with spaces after it ("<") or before it (">"), so that it takes at least `cells` cells."""
    space = " " * (cells - width(text))
    return text + space if align == "<" else space + text


def clip(text: str, cells: int, keep: str = "start") -> str:
    """`text` itself if it fits into `cells` cells, else its start or "end" with ".." for the rest."""
    if width(text) <= cells:
        return text
    while width(text) > cells - 2:
        text = text[:-1] if keep == "start" else text[1:]
    return f"{text}.." if keep == "start" else f"..{text}"


def visible(text: str, encoding: str | None = None) -> str:
    r"""`text` with line breaks, control characters, and what `encoding` does not have, as escapes such as "\u732b"."""
    hidden = ("Cc", "Cs", "Zl", "Zp")
    shown = "".join(c if unicodedata.category(c) not in hidden else ascii(c)[1:-1] for c in text)
    return shown.encode(encoding, "backslashreplace").decode(encoding) if encoding else shown
