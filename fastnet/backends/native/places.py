"""Where the values of an inference plan lie.

The steps form stretches, each of which runs a part of the images at a time (csrc/engine/plan.c).  A value that only
the steps of its own stretch read lies in the memory of that part, others in the arena, for all images of a call.
Memory is reused after a value's last use.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fastnet.backends import _native
from fastnet.backends.native.steps import Step

__all__ = ["Places", "arrange"]

_ADDS = {"conv", "norm", "moments"}  # steps that can add a value as they store
_IN_PLACE = {"add", "group_norm", "map", "prelu", "response_norm"}  # other steps that may overwrite what they read
_LINE = 64  # bytes: values begin at cache lines


@dataclass
class Places:
    """Offsets and sizes are in bytes per image.

    Attributes
    ----------
    of : dict
        For each value, by the step that makes it: its offset, in the arena or in the memory of its stretch, or a
        special place; and its size, 0 if it lies in the memory of its stretch.
    arena : int
        The size of the arena.
    inner : dict
        The memory of each stretch, by the stretch's first step.
    """

    of: dict[Step, tuple[int, int]]
    arena: int
    inner: dict[Step, int]


class _Memory:
    """Values from offset 0 on."""

    def __init__(self) -> None:
        self.taken: dict[Step, tuple[int, int]] = {}  # begin and end
        self.size = 0

    def put(self, value: Step, size: int, over: Step | None = None) -> int:
        """The lowest offset with `size` free bytes, or that of a value of this size that is overwritten."""
        start = self.taken.pop(over)[0] if over else 0
        for begin, end in sorted(self.taken.values()):
            if over or start + size <= begin:
                break
            start = max(start, end)
        self.taken[value] = start, start + size
        self.size = max(self.size, start + size)
        return start

    def drop(self, values: Iterable[Step]) -> None:
        for value in values:
            self.taken.pop(value, None)


def arrange(source: Step, steps: list[Step], output: Step, itemsize: int, whole: bool = False) -> Places:
    """Places for all values.  whole: every step runs all images at once."""
    made: dict[Step, int] = {source: 0}
    last: dict[Step, int] = {}
    for i, step in enumerate(steps):
        made.setdefault(step.home, i)
        last |= {other.home: i for other in step.reads}
    last[output] = len(steps) - 1
    stretch = list(range(len(steps))) if whole else _stretches(made, last, len(steps))
    size = {value: -(-value.size * itemsize // _LINE) * _LINE for value in made}
    places = Places({}, 0, {})
    for value, at in ((source, _native.INPUT), (output, _native.OUTPUT)):
        places.of[value] = at, value.size * itemsize
    arena = _Memory()
    for i, step in enumerate(steps):
        if i == 0 or stretch[i] > stretch[i - 1]:
            own, first = _Memory(), step
            arena.drop(value for value in made if stretch[last[value]] < stretch[i])
            for value in made:
                if stretch[made[value]] == stretch[i] < stretch[last[value]] and value not in places.of:
                    places.of[value] = arena.put(value, size[value]), value.size * itemsize
        if step.home not in places.of:
            places.of[step.home] = own.put(step.home, size[step.home], _to_overwrite(step, i, last, own)), 0
        own.drop(value for value in made if last[value] == i)
        places.inner[first] = own.size
    places.arena = arena.size
    return places


def _stretches(made: dict[Step, int], last: dict[Step, int], count: int) -> list[int]:
    """The number of each step's stretch: one begins where, from there on, values take at most half the memory."""
    alive = [sum(value.size for value in made if made[value] <= i <= last[value]) for i in range(count)]
    numbers, limit, number = [], max(alive), 0
    for i in range(count):
        if max(alive[i:]) <= limit / 2:
            limit, number = max(alive[i:]), number + 1
        numbers.append(number)
    return numbers


def _to_overwrite(step: Step, i: int, last: dict[Step, int], own: _Memory) -> Step | None:
    """A value of the stretch that the step may overwrite, being its last reader and elementwise."""
    if step.part or step.kind not in _ADDS | _IN_PLACE:
        return None
    old = step.add or step.inputs[0]
    if step.kind == "conv" and (step.add is None or step.add is step.inputs[0]):
        return None  # a convolution reads input elements several times
    return old if old in own.taken and last[old] == i else None
