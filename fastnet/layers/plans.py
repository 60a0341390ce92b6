"""Plans: the compiled forms of a model that it keeps, each until what it was made from changes."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastnet.layers.compiled import Plan
from fastnet.layers.evidence import Evidence

__all__ = ["Kept", "Plans"]

_MOST = 4  # the oldest is dropped first


class Kept(NamedTuple):
    """A plan, or None for a model that cannot be compiled, and the evidence that it is not out of date."""

    plan: Plan | None
    evidence: Evidence


class Plans:
    """A model's plans by what they are for: the shape of an image, the backend and its settings.

    A plan holds the network's weights once more, those of Winograd's convolutions four times, so all are dropped as
    soon as one is found out of date.
    """

    def __init__(self) -> None:
        self._kept: dict[Any, Kept] = {}

    def find(self, key: Any) -> Kept | None:
        """What is kept for a key, if nothing has changed since it was made."""
        kept = self._kept.get(key)
        if kept is None or kept.evidence.holds():
            return kept
        self._kept.clear()
        return None

    def keep(self, key: Any, kept: Kept) -> None:
        """Keep it until it is out of date, or others take its place."""
        if key not in self._kept and len(self._kept) >= _MOST:
            self._kept.pop(next(iter(self._kept)), None)
        self._kept[key] = kept
