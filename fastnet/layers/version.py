"""A count of the changes to layers, for what is kept until one changes."""

from __future__ import annotations

__all__ = ["changed", "version"]

_count = 0


def version() -> int:
    """How many changes there were; what was derived from layers at another count is derived again."""
    return _count


def changed() -> None:
    """Note that a layer has changed: an attribute, a parameter, a child."""
    global _count
    _count += 1
