"""Where the boxes of a drawing stand: in ranks from top to bottom, past which lines go (Sugiyama et al. 1981)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

__all__ = ["Layout", "Slot"]

Item = TypeVar("Item")
_LINE = 26.0  # the room that a line takes beside a box
_SWEEPS = 12


class Slot(Generic[Item]):
    """The place of a box in its rank, or of a line that passes the rank.

    Attributes
    ----------
    item : the box, or None for a line
    rank : int
    x : float
        Of its centre.
    width : float
    above, below : list of Slot
    """

    def __init__(self, item: Item | None, rank: int, width: float) -> None:
        self.item, self.rank, self.width, self.x = item, rank, width, 0.0
        self.above: list[Slot[Item]] = []
        self.below: list[Slot[Item]] = []


class Layout(Generic[Item]):
    """Places for the nodes of a graph without cycles.

    Each node is below all that it reads.  Inputs stand side by side in the order in which they are read, lines that
    pass boxes have places of their own, and columns are straight as far as neighbours allow.

    Parameters
    ----------
    items : sequence
        Each after what it reads.
    inputs : sequence of lists
        Of each item, the items that it reads.
    widths : sequence of float
    gap : float
        Between neighbours in a rank.

    Attributes
    ----------
    ranks : list of list of Slot
        From top to bottom, each from left to right.
    lines : list of list of Slot
        Each from a box to one that reads it.
    """

    def __init__(
        self, items: Sequence[Item], inputs: Sequence[Sequence[Item]], widths: Sequence[float], gap: float
    ) -> None:
        self.lines: list[list[Slot[Item]]] = []
        self._gap, self._order = gap, dict[int, int]()
        reads = {id(item): list(read) for item, read in zip(items, inputs, strict=True)}
        ranks: dict[int, int] = {}
        for item in items:
            ranks[id(item)] = max((ranks[id(other)] + 1 for other in reads[id(item)]), default=0)
        slots = {id(item): Slot(item, ranks[id(item)], width) for item, width in zip(items, widths, strict=True)}
        self._connect(items, reads, slots)
        self.ranks: list[list[Slot[Item]]] = [[] for _ in range(max(ranks.values()) + 1)]
        passing = [slot for line in self.lines for slot in line[1:-1]]
        for slot in sorted([*slots.values(), *passing], key=lambda slot: self._order[id(slot)]):
            self.ranks[slot.rank].append(slot)
        self._straighten()

    def _connect(self, items: Sequence[Item], reads: dict[int, list[Item]], slots: dict[int, Slot[Item]]) -> None:
        """Make the lines, and number everything in the order of a walk from the outputs to the inputs."""
        read = {id(other) for item in items for other in reads[id(item)]}
        stack: list[tuple[Slot[Item] | None, Item]] = [(None, item) for item in reversed(items) if id(item) not in read]
        while stack:
            reader, item = stack.pop()
            slot = slots[id(item)]
            if reader is not None:
                line = [slot, *(Slot[Item](None, rank, _LINE) for rank in range(slot.rank + 1, reader.rank)), reader]
                for passing in line[1:-1]:
                    self._order[id(passing)] = len(self._order)
                for one, other in zip(line, line[1:], strict=False):
                    one.below.append(other)
                    other.above.append(one)
                self.lines.append(line)
            if id(slot) not in self._order:
                self._order[id(slot)] = len(self._order)
                stack += [(slot, other) for other in reversed(reads[id(item)])]

    def _straighten(self) -> None:
        for sweep in range(_SWEEPS):
            down = sweep % 2 == 0
            for rank in self.ranks if down else reversed(self.ranks):
                if len(rank) == 1:  # through which everything goes: they stand below each other
                    continue
                wanted = [_wish(slot, slot.above if down else slot.below) for slot in rank]
                weights = [1.0 if slot.item is not None else 0.02 for slot in rank]
                steps = [0.0]
                for left, right in zip(rank, rank[1:], strict=False):
                    steps.append(steps[-1] + (left.width + right.width) / 2 + self._gap)
                placed = _rising(np.array(wanted) - steps, np.array(weights)) + steps
                for slot, x in zip(rank, placed.tolist(), strict=True):
                    slot.x = x


def _wish(slot: Slot[Item], neighbours: list[Slot[Item]]) -> float:
    """Where the slot would like to be: below or above its neighbours, boxes more than lines."""
    if not neighbours:
        return slot.x
    weights = [1.0 if other.item is not None or slot.item is None else 0.05 for other in neighbours]
    return float(np.average([other.x for other in neighbours], weights=weights))


def _rising(wanted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The numbers that do not fall and are nearest to `wanted` in weighted squares (pool adjacent violators)."""
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(wanted.tolist(), weights.tolist(), strict=True):
        mean, total, count = value, weight, 1
        while blocks and blocks[-1][0] > mean:
            other, more, members = blocks.pop()
            mean = (mean * total + other * more) / (total + more)
            total, count = total + more, count + members
        blocks.append((mean, total, count))
    return np.concatenate([np.full(count, mean) for mean, _, count in blocks])
