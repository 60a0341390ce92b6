"""Steps: the nodes of a fused graph as the C steps of an inference plan."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastnet.backends import _native
from fastnet.backends.native.epilogue import activation_code
from fastnet.geometry import Conv2dGeometry, Pool2dGeometry
from fastnet.graph.ir import Graph, Node, Unrecordable
from fastnet.ops.fractional import taps
from fastnet.ops.fused_inference import scale_and_shift
from fastnet.ops.group_norm import grouping
from fastnet.ops.resample import TAPS
from fastnet.ops.taps import area

__all__ = ["Step", "lower"]


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
    slopes: Any = None  # PReLU's, one for each channel

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
        None if other is None or other.op is not None or isinstance(other.source, str) else other.given
        for other in node.inputs
    ]


def _end(step: Step, node: Node) -> Step:
    """The step, with the activation, or PReLU, that the node ends in."""
    assert node.op is not None
    slopes = {i.name: given for i, given in zip(node.op.inputs, _given(node), strict=True)}.get("slopes")
    if slopes is None:
        step.activation, step.a, step.b = activation_code(node.attributes.get("activation"))
    else:
        step.activation, step.slopes = _native.ACTIVATIONS["prelu"], np.broadcast_to(slopes, step.shape[:1])
    return step


def _conv(node: Node, inputs: list[Step]) -> Step:
    given, attributes = _given(node), node.attributes
    w, b = given[1:3]
    if len(given) > 3 and given[5] is not None:
        gamma, beta, mean, var = given[3:7]
        scale, b = scale_and_shift(np, b, gamma, beta, mean, var, attributes["eps"])
        w = w * scale.reshape(-1, *(1,) * (w.ndim - 1))
    step = _end(Step("conv", inputs[:1], node.shape[1:], attributes["geometry"], [w, b]), node)
    step.pooled = attributes.get("pool_geometry") is not None
    if len(node.inputs) > 3 and node.inputs[-1] is not None:
        step.add = inputs[-1]
    return step


def _conv_transpose(node: Node, inputs: list[Step]) -> Step:
    arrays = [None if array is None else np.ascontiguousarray(array) for array in _given(node)[1:]]
    return Step("conv_transpose", inputs[:1], node.shape[1:], node.attributes["geometry"], arrays)


def _linear(node: Node, inputs: list[Step]) -> Step:
    """A 1x1 convolution on images of one pixel."""
    (x,), (_, w, b, *_) = inputs, _given(node)
    if node.name == "linear_of_images":  # channels-last: inputs have a different order
        w = w.reshape(len(w), *x.shape).transpose(0, 2, 3, 1)
    w = w.reshape(len(w), -1, 1, 1)
    geometry = Conv2dGeometry.make((1, w.shape[1], 1, 1), w.shape)
    return _end(Step("conv", [x], node.shape[1:], geometry, [w, b]), node)


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
    step.add = inputs[1] if len(inputs) > 1 else None
    return _end(step, node)


def _group_norm(node: Node, inputs: list[Step]) -> Step:
    _, gamma, beta, running_mean, *_ = (*_given(node), None)
    if node.name.startswith("instance_norm") and running_mean is not None:
        raise Unrecordable("compile: an instance norm updates its running statistics; only inference can be compiled")
    read = grouping(node.name.removesuffix("_prelu"), (1, *inputs[0].shape), **node.attributes)
    packed = np.array([read.images, read.pixels, read.groups, read.by_pixel, read.by_channel], np.int64)
    arrays = [gamma, beta, packed, np.array([node.attributes["eps"]], np.float64)]
    return _end(Step("group_norm", inputs[:1], node.shape[1:], arrays=arrays), node)


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
    return Step("prelu", inputs, node.shape[1:], slopes=slopes)


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
    **dict.fromkeys(("linear", "linear_prelu", "linear_of_images"), _linear),
    **dict.fromkeys(("softmax", "log_softmax"), _softmax),
    **dict.fromkeys(("batch_norm", "batch_norm_activation", "batch_norm_prelu"), _batch_norm),
    **dict.fromkeys(("group_norm", "layer_norm", "instance_norm"), _group_norm),
    **dict.fromkeys(("group_norm_prelu", "layer_norm_prelu", "instance_norm_prelu"), _group_norm),
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
