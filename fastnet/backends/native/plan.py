"""Inference plans: a recorded graph becomes a list of C steps that run in one call.

fastnet/graph/fusion.py has fused the graph.  `lower` (steps.py) turns each node into a step; `arrange` assigns each
value an offset in the arena, reused after the value's last use; `NativePlan` passes both to csrc/engine/plan.c.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastnet.backends import _native
from fastnet.backends.native.steps import Step, lower
from fastnet.geometry import Conv2dGeometry
from fastnet.graph.fusion import PLAN, fuse
from fastnet.graph.ir import Graph

_ADDS = {"conv", "norm", "moments"}  # steps that can add a value as they store
_IN_PLACE = {"add", "group_norm", "map", "prelu", "response_norm"}  # other steps that may overwrite what they read
_LINE = 64  # bytes: values begin at cache lines


# ---------------------------------------------------------------- places


def arrange(steps: list[Step], output: Step, itemsize: int) -> tuple[dict[int, int], int]:
    """The offset of each value in the arena, by the id of its home, and the arena's size; in bytes per image."""
    last = {}  # the last step that reads each value
    for i, step in enumerate(steps):
        for other in step.reads:
            last[id(other.home)] = i
    places = {id(steps[0]): _native.INPUT, id(output): _native.OUTPUT}
    taken: list[tuple[int, int, int]] = []  # (begin, end, id of the home)
    size = 0
    for i, step in enumerate(steps):
        home = id(step.home)
        if home not in places:
            old, need = _to_overwrite(step, i, last, places), -(-step.home.size * itemsize // _LINE) * _LINE
            start = places[old] if old else _gap(taken, need)
            taken = [value for value in taken if value[2] != old] + [(start, start + need, home)]
            places[home], size = start, max(size, start + need)
        taken = [value for value in taken if last[value[2]] > i]
    return places, size


def _gap(taken: list[tuple[int, int, int]], need: int) -> int:
    """The lowest offset with `need` free bytes."""
    start = 0
    for begin, end, _ in sorted(taken):
        if start + need <= begin:
            break
        start = max(start, end)
    return start


def _to_overwrite(step: Step, i: int, last: dict[int, int], places: dict[int, int]) -> int | None:
    """The id of a value that the step may overwrite, being its last reader and elementwise."""
    if step.part or step.kind not in _ADDS | _IN_PLACE:
        return None
    old = step.add or step.inputs[0]
    if step.kind == "conv" and (step.add is None or step.add is step.inputs[0]):
        return None  # a convolution reads input elements several times
    home = id(old.home)
    return home if old.home is old and last[home] == i and places[home] >= 0 else None


# ---------------------------------------------------------------- the plan


class NativePlan:
    """A function of x, (N, ...), in the dtype that was recorded; made by ``NativeOps.plan``.

    Attributes
    ----------
    steps : list of Step
    arena : int
        Bytes of working memory per image, without kernels' scratch.
    """

    def __init__(self, ops: Any, graph: Graph, batch_size: int) -> None:
        source, output, dtype = graph.source, graph.output, graph.source.dtype
        steps, last = lower(fuse(graph, PLAN))
        places, self.arena = arrange(steps, last, dtype.itemsize)
        if any(step.kind == "moments" for step in steps):
            batch_size = 2**31  # it uses the batch's own statistics, so a batch must not be split
        self.steps = [step for step in steps[1:] if step.kind != "concat"]
        self._ops, self._shape, self._dtype = ops, output.shape[1:], dtype
        self._plan = _native.Plan(
            int(dtype.itemsize == 8),
            batch_size,
            self.arena,
            math.prod(source.shape[1:]) * dtype.itemsize,
            math.prod(output.shape[1:]) * dtype.itemsize,
            [_fields(step, places) for step in self.steps],
        )
        for step in self.steps:
            step.arrays, step.slopes = [], None

    def __call__(self, x: Any) -> Any:
        x = self._ops.asarray(x, self._dtype)
        y = self._ops.empty((len(x), *self._shape), self._dtype)
        self._plan.run(len(x), x, y)
        return y


def _fields(step: Step, places: dict[int, int]) -> dict[str, Any]:
    """The fields of fn_step."""

    def place(value: Step | None) -> int:
        return places[id(value.home)] if value else _native.NOWHERE

    C, *pixels = step.inputs[0].shape if step.kind in ("subsample", "flatten") else step.shape
    home, first = step.part or (step, 0)
    fields: dict[str, Any] = {"kind": step.kind, "x": place(step.inputs[0]), "add": place(step.add), "y": place(step)}
    fields |= {"first": first, "wide": home.shape[0], "pixels": math.prod(pixels), "channels": C}
    fields |= {
        "activation": step.activation,
        "pooled": step.pooled,
        "a": step.a,
        "b": step.b,
        "arrays": list(_arrays(step)),
        "slopes": None if step.slopes is None else np.array(step.slopes),
    }
    if step.map:
        fields["map"] = step.map
    if step.geometry:
        fields["conv" if isinstance(step.geometry, Conv2dGeometry) else "pool"] = step.geometry.packed
    return fields


def _arrays(step: Step) -> Iterator[Any]:
    """Four arrays or None: copies, except a convolution's, which the plan reads immediately."""
    for array in (*step.arrays, *(None,) * (4 - len(step.arrays))):
        if array is None:
            yield None
        else:
            yield np.ascontiguousarray(array) if step.kind == "conv" else array.copy()
