"""Inference plans: a recorded graph becomes a list of C steps that run in one call.

fastnet/graph/fusion.py has fused the graph.  `lower` turns each node into a step; `arrange` assigns each value an
offset in the arena, reused after the value's last use; `NativePlan` passes both to csrc/engine/plan.c.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastnet.backends import _native
from fastnet.backends.native.elementwise import activation_code
from fastnet.geometry import Conv2dGeometry, Pool2dGeometry
from fastnet.graph.fusion import PLAN, fuse
from fastnet.graph.ir import Graph, Node, Unrecordable
from fastnet.ops.fractional import taps
from fastnet.ops.fused_inference import scale_and_shift
from fastnet.ops.group_norm import grouping
from fastnet.ops.resample import TAPS
from fastnet.ops.taps import area

_ADDS = {"conv", "norm", "moments"}  # steps that can add a value as they store
_IN_PLACE = {"add", "group_norm", "map", "prelu", "response_norm"}  # other steps that may overwrite what they read
_LINE = 64  # bytes: values begin at cache lines


@dataclass(eq=False)
class Step:
    """A C step, before values have offsets. `shape` is its output's without the batch axis: (C, H, W) or (D,)."""

    kind: str
    inputs: list[Step]
    shape: tuple[int, ...]
    geometry: Conv2dGeometry | Pool2dGeometry | None = None
    arrays: list[Any] = field(default_factory=list)
    activation: int = 0  # of _native.ACTIVATIONS
    pooled: bool = False  # stores only the maximum of each 2x2 outputs
    add: Step | None = None
    part: tuple[Step, int] | None = None  # (step, channel): it writes into that step's value from this channel on
    map: str = ""  # the elementwise kernel
    a: float = 0.0  # its parameters, or the activation's
    b: float = 0.0

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def home(self) -> Step:
        """The step whose value contains this step's."""
        return self.part[0] if self.part else self

    @property
    def reads(self) -> list[Step]:
        return [*self.inputs, *([self.add] if self.add else [])]


# ---------------------------------------------------------------- nodes to steps


def lower(graph: Graph) -> tuple[list[Step], Step]:
    """The steps in order, starting with the network's input; and the step that computes the output."""
    source = Step("input", [], graph.source.shape[1:])
    steps, values = [source], {graph.source: source}
    for node in graph.nodes:
        if node.op is None:
            continue
        lowered = _LOWERED.get(node.name) or (_map if node.name in _native.ELEMENTWISE else None)
        if lowered is None:
            raise Unrecordable(f"compile: plans have no step for {node.name}")
        inputs = [values[other] for other in node.inputs if other in values]
        if node.name == "concat":
            copies, step = _concat(graph, node, inputs)
            steps += copies
        else:
            step = lowered(node, inputs)
        values[node] = step
        if step not in steps:
            steps.append(step)
    output = values[graph.output]
    if output is source:
        output = Step("copy", [source], source.shape)
        steps.append(output)
    return steps, output


def _given(node: Node) -> list[Any]:
    """A node's array arguments: a source's array; None for an omitted or computed argument."""
    return [
        None
        if other is None or other.op is not None or isinstance(other.source, str)
        else getattr(other.source, "value", other.source)
        for other in node.inputs
    ]


def _conv(node: Node, inputs: list[Step]) -> Step:
    given, attributes = _given(node), node.attributes
    w, b = given[1:3]
    if len(given) > 3 and given[5] is not None:
        gamma, beta, mean, var = given[3:7]
        scale, b = scale_and_shift(np, b, gamma, beta, mean, var, attributes["eps"])
        w = w * scale.reshape(-1, *(1,) * (w.ndim - 1))
    step = Step("conv", inputs[:1], node.shape[1:], attributes["geometry"], [w, b])
    step.activation, step.a, step.b = activation_code(attributes["activation"])
    if len(given) > 3 and given[7] is not None:
        step.arrays.append(np.broadcast_to(given[7], step.shape[:1]))
        step.activation = _native.ACTIVATIONS["prelu"]
    step.pooled = attributes.get("pool_geometry") is not None
    if len(node.inputs) > 3 and node.inputs[-1] is not None:
        step.add = inputs[-1]
    return step


def _conv_transpose(node: Node, inputs: list[Step]) -> Step:
    arrays = [None if array is None else np.ascontiguousarray(array) for array in _given(node)[1:]]
    return Step("conv_transpose", inputs[:1], node.shape[1:], node.attributes["geometry"], arrays)


def _linear(node: Node, inputs: list[Step]) -> Step:
    """A 1x1 convolution on images of one pixel."""
    (x,), (_, w, b) = inputs, _given(node)
    if node.name == "linear_of_images":  # channels-last: inputs have a different order
        w = w.reshape(len(w), *x.shape).transpose(0, 2, 3, 1)
    w = w.reshape(len(w), -1, 1, 1)
    geometry = Conv2dGeometry.make((1, w.shape[1], 1, 1), w.shape)
    step = Step("conv", [x], node.shape[1:], geometry, [w, b])
    step.activation, step.a, step.b = activation_code(node.attributes["activation"])
    return step


def _batch_norm(node: Node, inputs: list[Step]) -> Step:
    gamma, beta, mean, var = _given(node)[1:5]
    eps = node.attributes["eps"]
    if node.attributes["training"]:
        if mean is not None:
            raise Unrecordable("compile: a batch norm updates its running statistics; only inference can be compiled")
        step = Step("moments", inputs[:1], node.shape[1:], None, [np.array([float(eps)]), None, gamma, beta])
    else:
        inverse_std = 1 / np.sqrt(var.astype(np.float64) + eps)
        step = Step("norm", inputs[:1], node.shape[1:], None, [mean.astype(np.float64), inverse_std, gamma, beta])
    step.activation, step.a, step.b = activation_code(node.attributes.get("activation"))
    step.add = inputs[1] if len(inputs) > 1 else None
    return step


def _group_norm(node: Node, inputs: list[Step]) -> Step:
    _, gamma, beta, *running = _given(node)
    if running and running[0] is not None:
        raise Unrecordable("compile: an instance norm updates its running statistics; only inference can be compiled")
    read = grouping(node.name, (1, *inputs[0].shape), **node.attributes)
    packed = np.array([read.images, read.pixels, read.groups, read.by_pixel, read.by_channel], np.int64)
    step = Step("group_norm", inputs[:1], node.shape[1:], arrays=[gamma, beta, packed], a=node.attributes["eps"])
    step.activation, *_ = activation_code(node.attributes["activation"])
    return step


def _response_norm(node: Node, inputs: list[Step]) -> Step:
    numbers = np.array([node.attributes[name] for name in ("size", "alpha", "beta", "k")], np.float64)
    return Step("response_norm", inputs, node.shape[1:], arrays=[numbers])


def _scalar_affine(node: Node, inputs: list[Step]) -> Step:
    """A batch norm of mean 0 and deviation 1, with the same weight and bias for every channel."""
    C, (w, b) = node.shape[1], _given(node)[1:]
    scale, shift = np.ones(C, node.dtype) if w is None else w.repeat(C), None if b is None else b.repeat(C)
    return Step("norm", inputs[:1], node.shape[1:], None, [np.zeros(C), np.ones(C), scale, shift])


def _map(node: Node, inputs: list[Step]) -> Step:
    a, b = (*node.attributes.values(), 0.0, 0.0)[:2]
    return Step("map", inputs, node.shape[1:], map=node.name, a=a, b=b)


def _prelu(node: Node, inputs: list[Step]) -> Step:
    slopes = np.broadcast_to(_given(node)[1], node.shape[1:2])
    return Step("prelu", inputs, node.shape[1:], arrays=[slopes])


def _maxout(node: Node, inputs: list[Step]) -> Step:
    return Step("maxout", inputs, node.shape[1:], a=float(node.attributes["pieces"]))


def _softmax(node: Node, inputs: list[Step]) -> Step:
    return Step("softmax", inputs, node.shape[1:], a=float(node.name == "log_softmax"))


def _add(node: Node, inputs: list[Step]) -> Step:
    return Step("add", inputs[:1], node.shape[1:], add=inputs[-1])


def _max_pool(node: Node, inputs: list[Step]) -> Step:
    activation, *_ = activation_code(node.attributes["activation"])
    return Step("max_pool", inputs, node.shape[1:], node.attributes["geometry"], activation=activation)


def _avg_pool(node: Node, inputs: list[Step]) -> Step:
    return Step("avg_pool", inputs, node.shape[1:], node.attributes["geometry"])


def _global_avg_pool(node: Node, inputs: list[Step]) -> Step:
    C, H, W = inputs[0].shape
    return Step("avg_pool", inputs, node.shape[1:], Pool2dGeometry.make((1, C, H, W), (H, W)))


def _flatten(node: Node, inputs: list[Step]) -> Step:
    return Step("flatten", inputs, node.shape[1:])


def _unflatten(node: Node, inputs: list[Step]) -> Step:
    return Step("unflatten", inputs, node.shape[1:])


def _subsample(node: Node, inputs: list[Step]) -> Step:
    C, H, W = inputs[0].shape
    return Step("subsample", inputs, node.shape[1:], Pool2dGeometry.make((1, C, H, W), 1, node.attributes["stride"]))


def _resample(node: Node, inputs: list[Step]) -> Step:
    rows, columns = TAPS[node.name]((1, *inputs[0].shape), **node.attributes)
    arrays = [np.frombuffer(taps.packed, np.int64) for taps in (rows, columns)]
    return Step("resample", inputs, node.shape[1:], arrays=arrays, a=float(node.attributes.get("value", 0.0)))


def _adaptive_max(node: Node, inputs: list[Step]) -> Step:
    _, H, W = inputs[0].shape
    P, Q = node.attributes["size"]
    arrays = [np.frombuffer(taps.packed, np.int64) for taps in (area(H, P), area(W, Q))]
    return Step("adaptive_max", inputs, node.shape[1:], arrays=arrays)


def _fractional_max(node: Node, inputs: list[Step]) -> Step:
    given, image = node.attributes, inputs[0].shape[1:]
    if given["stream"] is not None:
        raise Unrecordable("compile: plans have no random numbers, which fractional_max_pool2d with a stream draws")
    axes = zip(image, given["size"], given["window"] or (0, 0), strict=True)
    arrays = [np.frombuffer(taps(*axis, given["overlapping"]).packed, np.int64) for axis in axes]
    return Step("adaptive_max", inputs, node.shape[1:], arrays=arrays)


def _shuffle(node: Node, inputs: list[Step]) -> Step:
    inverse, factor = node.name == "pixel_unshuffle", node.attributes["factor"]
    C, H, W = node.shape[1:] if inverse else inputs[0].shape
    geometry = Pool2dGeometry.make((1, C, H, W), 1, factor)
    return Step("shuffle", inputs, node.shape[1:], geometry, a=float(inverse))


def _concat(graph: Graph, node: Node, inputs: list[Step]) -> tuple[list[Step], Step]:
    """A convolution with no other reader writes directly into the result; other inputs are copied."""
    whole, first, copies = Step("concat", [], node.shape[1:]), 0, []
    for other, step in zip(node.inputs, inputs, strict=True):
        assert other is not None
        if graph.only_reader(other) is None or step.kind != "conv" or step.add or step.part:
            step = Step("copy", [step], step.shape)
            copies.append(step)
        step.part = whole, first
        whole.inputs.append(step)
        first += step.shape[0]
    return copies, whole


_LOWERED: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("conv2d", "conv2d_post"), _conv),
    "conv_transpose2d": _conv_transpose,
    **dict.fromkeys(("linear", "linear_of_images"), _linear),
    **dict.fromkeys(("softmax", "log_softmax"), _softmax),
    **dict.fromkeys(("batch_norm", "batch_norm_activation"), _batch_norm),
    **dict.fromkeys(("group_norm", "layer_norm", "instance_norm"), _group_norm),
    **dict.fromkeys(TAPS, _resample),
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle"), _shuffle),
    "adaptive_max_pool2d": _adaptive_max,
    "add": _add,
    "avg_pool2d": _avg_pool,
    "concat": _concat,
    "flatten": _flatten,
    "fractional_max_pool2d": _fractional_max,
    "global_avg_pool2d": _global_avg_pool,
    "local_response_norm": _response_norm,
    "max_pool2d": _max_pool,
    "maxout": _maxout,
    "prelu": _prelu,
    "scalar_affine": _scalar_affine,
    "subsample": _subsample,
    "unflatten": _unflatten,
}


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
            step.arrays = []

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
