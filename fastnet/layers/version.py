"""A count of the changes to layers, which invalidates caches."""

from __future__ import annotations

__all__ = ["changed", "version"]

_count = 0


def version() -> int:
    """The number of changes so far; anything cached at another count is stale."""
    return _count


def changed() -> None:
    """Note that a layer has changed: an attribute, a parameter, a child."""
    global _count
    _count += 1
