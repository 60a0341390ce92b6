"""Inference plans of NativeOps: a recorded graph becomes a list of C steps that run in one call.

`simplify` turns nodes into steps: batch norms are folded into convolutions; ReLU, additions, and joining along channels
become part of the step before them; linear layers are 1x1 convolutions on images of one pixel, and take images as they
lie in memory, their weights in that order.  `arrange` gives each value its place in the arena: places are used again
when the last reader is done.  `NativePlan` hands both to csrc/engine/plan.c.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from fastnet.backends import _native
from fastnet.backends.graph import Graph
from fastnet.geometry import Conv2dGeometry, Pool2dGeometry

SUMS = {"conv", "norm", "moments"}  # steps that can add a value and rectify as they store
LINE = 64  # bytes: values begin at cache lines


@dataclass(eq=False)
class Step:
    """A C step before it has places.  `shape` is its value's, without the batch: (C, H, W) or (D,)."""

    kind: str
    inputs: list[Step]
    shape: tuple[int, ...]
    geometry: Conv2dGeometry | Pool2dGeometry | None = None
    arrays: list = field(default_factory=list)
    relu: bool = False
    pooled: bool = False  # it keeps the largest of each 2x2 outputs
    add: Step | None = None
    join: tuple[Step, int] | None = None  # it writes these channels of another step's value, from that number on
    map: str = ""  # the elementwise kernel
    a: float = 0.0  # its parameter, or eps
    shared: bool = False  # others read its value too, under another name

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def home(self) -> Step:
        """The step whose value holds this one's."""
        return self.join[0] if self.join else self

    @property
    def reads(self) -> list[Step]:
        return [*self.inputs, *([self.add] if self.add else [])]


# ---------------------------------------------------------------- nodes to steps


def simplify(graph: Graph) -> tuple[list[Step], Step]:
    """The steps in order, the network's input first, and the one whose value is the output."""
    values = {id(graph.source): Step("input", [], graph.source.shape[1:])}
    for node in graph.nodes[1:]:
        alone = [graph.only_use(other) for other in node.inputs]
        inputs = [values[id(other)] for other in node.inputs]
        values[id(node)] = globals()[f"_{node.op}"](node, inputs, alone)
    source, output = values[id(graph.source)], values[id(graph.output)]
    if output is source:
        output = Step("copy", [source], source.shape)
    return _ordered(source, output), output


def _ordered(source: Step, output: Step) -> list[Step]:
    """What the output needs, each step after what it reads."""
    steps, seen = [source], {id(source), id(output)}
    stack = [(output, iter(output.reads))]
    while stack:
        step, reads = stack[-1]
        for other in reads:
            if id(other) not in seen:
                seen.add(id(other))
                stack.append((other, iter(other.reads)))
                break
        else:
            steps.append(stack.pop()[0])
    return steps


def _can_end(step: Step, alone: bool) -> bool:
    """Whether more can happen to the step's sums before they are stored."""
    if not alone or step.shared or step.join:
        return False
    return step.kind in SUMS and not step.relu and not step.pooled


def _conv2d(node, inputs, alone):
    w, b = node.arguments["w"], node.arguments["b"]
    return Step("conv", inputs, node.shape[1:], node.arguments["geometry"], [w, b])


def _linear(node, inputs, alone):
    (x,), w = inputs, node.arguments["w"]
    if x.kind == "flatten":  # in channels-last memory the inputs stand in another order
        x = x.inputs[0]
        w = w.reshape(len(w), *x.shape).transpose(0, 2, 3, 1)
    w = w.reshape(len(w), -1, 1, 1)
    geometry = Conv2dGeometry.make((1, w.shape[1], 1, 1), w.shape)
    return Step("conv", [x], node.shape[1:], geometry, [w, node.arguments["b"]])


def _batch_norm(node, inputs, alone):
    (x,), given = inputs, node.arguments
    gamma, beta = given["gamma"], given["beta"]
    if given["training"]:
        return Step("moments", inputs, x.shape, None, [None, None, gamma, beta], a=given["eps"])
    mean, var = (given[name].astype(np.float64) for name in ("running_mean", "running_var"))
    inverse_std = 1 / np.sqrt(var + given["eps"])
    if not (x.kind == "conv" and _can_end(x, alone[0]) and x.add is None):
        return Step("norm", inputs, x.shape, None, [mean, inverse_std, gamma, beta])
    w, b = x.arrays
    scale = inverse_std if gamma is None else inverse_std * gamma
    shift = ((0 if b is None else b) - mean) * scale + (0 if beta is None else beta)
    x.arrays = [(w * scale[:, None, None, None]).astype(w.dtype), shift.astype(w.dtype)]
    return x


def _relu(node, inputs, alone):
    (x,) = inputs
    if _can_end(x, alone[0]) or (alone[0] and not x.shared and (x.pooled or x.kind == "max_pool")):
        x.relu = True
        return x
    return Step("map", inputs, x.shape, map="relu")


def _pointwise(node, inputs, alone):
    return Step("map", inputs, inputs[0].shape, map=node.op, a=node.arguments.get("slope", 0.0))


_leaky_relu = _sigmoid = _tanh = _pointwise


def _add(node, inputs, alone):
    for step, other, mine in ((*inputs, alone[0]), (*inputs[::-1], alone[1])):
        if _can_end(step, mine) and step.add is None:
            step.add = other
            return step
    return Step("add", [inputs[0]], inputs[0].shape, add=inputs[1])


def _max_pool2d(node, inputs, alone):
    (x,), g = inputs, node.arguments["geometry"]
    halves = (g.R, g.S, *g.stride, *g.padding) == (2, 2, 2, 2, 0, 0, 0, 0) and (g.P, g.Q) == (g.H // 2, g.W // 2)
    if halves and x.kind == "conv" and alone[0] and not (x.shared or x.pooled or x.add or x.geometry.groups > 1):
        x.pooled, x.shape = True, node.shape[1:]
        return x
    return Step("max_pool", inputs, node.shape[1:], node.arguments["geometry"])


def _avg_pool2d(node, inputs, alone):
    return Step("avg_pool", inputs, node.shape[1:], node.arguments["geometry"])


def _global_avg_pool2d(node, inputs, alone):
    C, H, W = inputs[0].shape
    return Step("avg_pool", inputs, node.shape[1:], Pool2dGeometry.make((1, C, H, W), (H, W)))


def _concat(node, inputs, alone):
    joined, first = Step("join", [], node.shape[1:]), 0
    for step, mine in zip(inputs, alone, strict=True):
        if not (mine and step.kind == "conv" and step.add is None and step.join is None and not step.shared):
            step = Step("copy", [step], step.shape)
        step.join = joined, first
        joined.inputs.append(step)
        first += step.shape[0]
    return joined


def _flatten(node, inputs, alone):
    (x,) = inputs
    if math.prod(x.shape[1:]) == 1:  # the same numbers in the same order
        x.shared = x.shared or not alone[0]
        return x
    return Step("flatten", inputs, node.shape[1:])


def _subsample(node, inputs, alone):
    C, H, W = inputs[0].shape
    geometry = Pool2dGeometry.make((1, C, H, W), 1, node.arguments["stride"])
    return Step("subsample", inputs, node.shape[1:], geometry)


# ---------------------------------------------------------------- places


def arrange(steps: list[Step], output: Step, itemsize: int) -> tuple[dict[int, int], int]:
    """Where each value lies, by the id of its home, and the arena's size: bytes an image."""
    last = {}  # of each value: the last step that reads it
    for i, step in enumerate(steps):
        for other in step.reads:
            last[id(other.home)] = i
    places = {id(steps[0]): _native.INPUT, id(output): _native.OUTPUT}
    taken, size = [], 0  # taken: (from, to, id of the home)
    for i, step in enumerate(steps):
        home = id(step.home)
        if home not in places:
            old, need = _to_overwrite(step, i, last, places), -(-step.home.size * itemsize // LINE) * LINE
            start = places[old] if old else _gap(taken, need)
            taken = [value for value in taken if value[2] != old] + [(start, start + need, home)]
            places[home], size = start, max(size, start + need)
        taken = [value for value in taken if last[value[2]] > i]
    return places, size


def _gap(taken, need: int) -> int:
    """The first place where so many bytes are free."""
    start = 0
    for begin, end, _ in sorted(taken):
        if start + need <= begin:
            break
        start = max(start, end)
    return start


def _to_overwrite(step: Step, i: int, last, places) -> int | None:
    """The id of the value whose place the step can take: it is read for the last time, element by element."""
    if step.join or step.kind not in SUMS | {"map", "add"}:
        return None
    old = step.add or step.inputs[0]
    if step.kind == "conv" and (step.add is None or step.add is step.inputs[0]):
        return None  # a convolution reads its input again
    home = id(old.home)
    return home if old.home is old and last[home] == i and places[home] >= 0 else None


# ---------------------------------------------------------------- the plan


class NativePlan:
    """A function of x, (N, ...), in the dtype that was recorded; made by ``NativeOps.plan``.

    Attributes
    ----------
    steps : list of Step
    arena : int
        Bytes of working memory an image, without the scratch of kernels.
    """

    def __init__(self, ops, graph: Graph, batch_size: int):
        source, dtype = graph.source, graph.source.dtype
        steps, output = simplify(graph)
        places, self.arena = arrange(steps, output, dtype.itemsize)
        if any(step.kind == "moments" for step in steps):
            batch_size = 2**31  # it normalises with a batch's own statistics, so a batch must not be cut
        self.steps = [step for step in steps[1:] if step.kind != "join"]
        self._ops, self._shape, self._dtype = ops, graph.output.shape[1:], dtype
        self._plan = _native.Plan(
            *(dtype.itemsize == 8, batch_size, self.arena, source.size * dtype.itemsize, output.size * dtype.itemsize),
            [_fields(step, places) for step in self.steps],
        )
        for step in self.steps:
            step.arrays = []

    def __call__(self, x):
        x = self._ops.asarray(x, self._dtype)
        y = self._ops.empty((len(x), *self._shape), self._dtype)
        self._plan.run(len(x), x, y)
        return y


def _fields(step: Step, places) -> dict:
    """The fields of fn_step."""

    def place(value):
        return places[id(value.home)] if value else _native.NOWHERE

    C, *pixels = step.inputs[0].shape if step.kind in ("subsample", "flatten") else step.shape
    home, first = step.join or (step, 0)
    fields = {"kind": step.kind, "x": place(step.inputs[0]), "add": place(step.add), "y": place(step)}
    fields |= {"first": first, "wide": home.shape[0], "pixels": math.prod(pixels), "channels": C}
    fields |= {"relu": step.relu, "pooled": step.pooled, "a": step.a, "arrays": _arrays(step)}
    if step.map:
        fields["map"] = step.map
    if step.geometry:
        fields["conv" if step.kind == "conv" else "pool"] = step.geometry.packed
    return fields


def _arrays(step: Step) -> list:
    arrays = step.arrays + [None] * (4 - len(step.arrays))
    if step.kind == "conv":  # read once
        return [None if array is None else np.ascontiguousarray(array) for array in arrays]
    return [None if array is None else array.copy() for array in arrays]
