"""Words of messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

__all__ = ["did_you_mean", "name_some"]


def name_some(names: Sequence[object], most: int = 10, separator: str = ", ") -> str:
    """The first `most` names, and how many others there are."""
    rest = len(names) - most
    return separator.join(map(str, names[:most])) + (f" and {rest} more" if rest > 0 else "")


def did_you_mean(name: object, names: Iterable[str]) -> str:
    """A question with the names most like `name`, such as "did you mean A or B? "; empty if none is alike."""
    close = difflib.get_close_matches(str(name), list(names), 3, 0.4)
    return f"did you mean {' or '.join(close)}? " if close else ""
