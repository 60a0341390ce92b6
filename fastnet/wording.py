"""Words of messages."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["name_some"]


def name_some(names: Sequence[object], most: int = 10, separator: str = ", ") -> str:
    """The first `most` names, and how many others there are."""
    rest = len(names) - most
    return separator.join(map(str, names[:most])) + (f" and {rest} more" if rest > 0 else "")
