"""A model as boxes and arrows: what is drawn of its graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fastnet.graph import Node, record
from fastnet.layers import Layer
from fastnet.types import Shape

__all__ = ["Box", "boxes_of"]

# What is written into the box of the layer before it.
_ADDED = {"batch_norm", "dropout", "group_norm", "instance_norm", "layer_norm", "local_response_norm", "log_softmax"}
_ADDED |= {"prelu", "scalar_affine", "softmax"}
_KINDS = {"conv2d": "convolution", "conv_transpose2d": "convolution", "linear": "linear", "add": "join"}
_KINDS |= {"concat": "join", "global_avg_pool2d": "pooling", "avg_pool2d": "pooling", "max_pool2d": "pooling"}
_KINDS |= {"adaptive_avg_pool2d": "pooling", "adaptive_max_pool2d": "pooling", "fractional_max_pool2d": "pooling"}


@dataclass(eq=False)
class Box:
    """One box of the drawing.

    Attributes
    ----------
    kind : "input", "convolution", "linear", "pooling", "join" or "other"
    title : str
        The layer and its sizes.
    name : str
        The layer's name, as ``model.summary()`` shows it; "" for the input.
    shape : tuple of int
        Of the output, without the batch axis.
    inputs : list of Box
        Whose outputs it reads, in order.
    parameters : int
        Without statistics; a shared layer's count once.
    added : list of str
        Norms, activations and dropouts that follow.
    """

    kind: str
    title: str
    name: str
    shape: Shape
    inputs: list[Box] = field(default_factory=list)
    parameters: int = 0
    added: list[str] = field(default_factory=list)


def boxes_of(model: Layer) -> list[Box]:
    """The boxes of a built model, each after those that it reads."""
    graph = record(
        lambda x, ops: ops.layer(model, x, False),
        (1, *model.input_shape),
        model.dtype,
        tell=lambda name, phase, array: None,
    )
    reads: dict[Node, list[Box]] = {graph.source: [Box("input", "Input", "", graph.source.shape[1:])]}
    inner: dict[int, list[Node]] = {}  # the ops inside a layer that is being passed through
    found = [reads[graph.source][0]]
    counted: set[int] = set()
    for node in graph.nodes:
        if node.op is None:
            continue
        before = _unique([box for other in node.inputs if other is not None for box in reads.get(other, [])])
        layer: Any = node.attributes.get("layer") or (node.layers[-1] if node.layers else None)
        reads[node] = before
        if node.name == "observe":
            if node.attributes["phase"] == "forward" and not layer.children():
                ops = inner.pop(id(layer), [])
                box = _of_layer(layer, ops, node.shape[1:], before)
                box.parameters = 0 if id(layer) in counted else _count(layer)
                counted.add(id(layer))
                reads[node] = _place(found, box, _is_added(ops))
        elif layer is not None and not layer.children():
            inner.setdefault(id(layer), []).append(node)
        elif before:  # an op that a container calls itself
            box = Box(_kind([node]), node.name, getattr(layer, "path", ""), node.shape[1:], before)
            reads[node] = _place(found, box, _is_added([node]))
    return _merged(found)


def _unique(boxes: list[Box]) -> list[Box]:
    return list(dict.fromkeys(boxes))


def _place(found: list[Box], box: Box, added: bool) -> list[Box]:
    if added and len(box.inputs) == 1 and box.inputs[0].kind != "input":
        box.kind = "added"
    found.append(box)
    return [box]


def _merged(found: list[Box]) -> list[Box]:
    """With what follows a box alone written into it."""
    readers: dict[Box, int] = {}
    for box in found:
        for other in box.inputs:
            readers[other] = readers.get(other, 0) + 1
    stands: dict[Box, Box] = {}
    kept = []
    for box in found:
        box.inputs = _unique([stands.get(other, other) for other in box.inputs])
        before = box.inputs[0] if box.inputs else None
        if box.kind == "added" and before is not None and readers[before] == 1:
            before.added.append(box.title)
            before.parameters += box.parameters
            before.shape = box.shape
            stands[box], readers[before] = before, readers.get(box, 0)
            continue
        box.kind = "other" if box.kind == "added" else box.kind
        kept.append(box)
    return kept


def _is_added(ops: list[Node]) -> bool:
    return all(node.name in _ADDED or (node.op is not None and node.op.elementwise) for node in ops)


def _kind(ops: list[Node]) -> str:
    return next((_KINDS[node.name] for node in ops if node.name in _KINDS), "other")


def _count(layer: Layer) -> int:
    return sum(parameter.size for parameter in layer.own.values() if not parameter.buffer)


def _of_layer(layer: Layer, ops: list[Node], shape: Shape, before: list[Box]) -> Box:
    title, name = type(layer).__name__, layer.path
    for node in ops:
        geometry: Any = node.attributes.get("geometry")
        if node.name == "linear":
            title += f" {shape[-1]}"
        elif geometry is not None and hasattr(geometry, "stride"):
            title += f" {geometry.R}x{geometry.S}" if not geometry.signals else f" {geometry.S}"
            if node.name == "conv2d":
                title += f", {geometry.K}"
            if max(geometry.stride) > 1:
                title += f", stride {geometry.stride[1]}"
            if max(geometry.dilation) > 1:
                title += f", dilation {geometry.dilation[1]}"
            if getattr(geometry, "groups", 1) > 1:
                title += f", {geometry.groups} groups"
    return Box(_kind(ops), title, name, shape, before)
