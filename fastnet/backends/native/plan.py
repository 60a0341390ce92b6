"""Inference plans: a recorded graph becomes a list of C steps that run in one call.

fastnet/graph/fusion.py has fused the graph.  `lower` (steps.py) turns each node into a step; `arrange` (places.py) says
where values lie; `NativePlan` passes both to csrc/engine/plan.c.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastnet.backends import _native
from fastnet.backends.native.places import Places, arrange
from fastnet.backends.native.steps import Step, lower
from fastnet.geometry import Conv2dGeometry
from fastnet.graph.fusion import PLAN, fuse
from fastnet.graph.ir import Graph

# ---------------------------------------------------------------- the plan


class NativePlan:
    """A function of x, (N, ...), in the dtype that was recorded; made by ``NativeOps.plan``.

    Attributes
    ----------
    steps : list of Step
    memory : Places
        Where values lie, and the bytes that they take.
    """

    def __init__(self, ops: Any, graph: Graph, batch_size: int) -> None:
        dtype = graph.source.dtype
        steps, last = lower(fuse(graph, PLAN))
        self.steps = [step for step in steps[1:] if step.kind != "concat"]
        whole = any(step.kind == "moments" for step in steps)  # statistics of the batch, which must not be split
        self.memory = arrange(steps[0], self.steps, last, dtype.itemsize, whole)
        self._ops, self._shape, self._dtype = ops, graph.output.shape[1:], dtype
        self._plan = _native.Plan(
            int(dtype.itemsize == 8),
            2**31 if whole else batch_size,
            self.memory.arena,
            [_fields(step, self.memory) for step in self.steps],
        )
        for step in self.steps:
            step.arrays, step.slopes = [], None

    def __call__(self, x: Any) -> Any:
        x = self._ops.asarray(x, self._dtype)
        y = self._ops.empty((len(x), *self._shape), self._dtype)
        self._plan.run(len(x), x, y)
        return y


def _fields(step: Step, memory: Places) -> dict[str, Any]:
    """The fields of fn_step."""

    def place(value: Step | None) -> tuple[int, int]:
        return memory.of[value.home] if value else (_native.NOWHERE, 0)

    C, *pixels = step.inputs[0].shape if step.kind in ("subsample", "flatten") else step.shape
    home, first = step.part or (step, 0)
    fields: dict[str, Any] = {"kind": step.kind, "x": place(step.inputs[0]), "add": place(step.add), "y": place(step)}
    fields |= {"begins": step in memory.inner, "inner": memory.inner.get(step, 0)}
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
