"""All fusion rules: which ops are fused, and which bits this may change.

A rule examines a node and its inputs, and returns the fused node with the nodes that it absorbs, or None. A node is
absorbed only if nothing else reads it. The rules of a list are applied in order, each to the whole graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from fastnet.graph.ir import Graph, Node
from fastnet.ops import REGISTRY

__all__ = ["INFERENCE", "PLAN", "TRAINING", "Rule", "fuse"]

Match = tuple[Node, ...] | None  # the fused node, then the nodes that it absorbs besides the one that matched


class Rule(NamedTuple):
    """A fusion.

    Attributes
    ----------
    name : str
    changes : str
        Which bits may differ from those of the single ops, and why; "" for none.
    match : function of (graph, node)
    """

    name: str
    changes: str
    match: Callable[[Graph, Node], Match]


def fuse(graph: Graph, rules: Iterable[Rule]) -> Graph:
    """Apply rules to a graph in place."""
    for rule in rules:
        for node in list(graph.nodes):
            if node.op is not None and node in graph.readers:
                match = rule.match(graph, node)
                if match is not None:
                    graph.replace(node, match[0], *match[1:])
    return graph


# ---------------------------------------------------------------- matching and making nodes


def _alone(graph: Graph, node: Node | None, *names: str) -> Node | None:
    """The node, if it is one of these ops and only one node reads it."""
    return node if node is not None and node.name in names and graph.only_reader(node) is not None else None


def _summands(graph: Graph, total: Node, *names: str) -> Iterator[tuple[Node, Node | None]]:
    """(summand, other) of a sum of two nodes, for each summand that is one of these ops and can be absorbed."""
    for one, other in (total.inputs, total.inputs[::-1]):
        alone = _alone(graph, one, *names)
        if alone is not None:
            yield alone, other


def _made(op: str, parts: tuple[Node, ...], inputs: Iterable[Node | None], **attributes: Any) -> Node:
    """The fused node of these parts, in order."""
    layers = tuple(dict.fromkeys(layer for node in parts for layer in node.layers))
    return Node(REGISTRY[op], inputs, attributes, parts[-1].shape, parts[-1].dtype, layers=layers)


def _as_activation(node: Node) -> tuple[str, dict[str, Any]]:
    """The attribute ``activation`` of a fused op for an elementwise node."""
    return node.name, dict(node.attributes)


def _post(conv: Node, last: Node, inputs: Iterable[Node | None], **more: Any) -> Node:
    """A convolution fused with one more op after it."""
    given = {"eps": 1e-5, "pool_geometry": None, **conv.attributes, **more}
    return _made("conv2d_post", (conv, last), inputs, **given)


def _post_inputs(conv: Node) -> tuple[Node | None, ...]:
    """The array arguments of conv2d_post for a convolution."""
    return conv.inputs if conv.name == "conv2d_post" else (*conv.inputs, *(None,) * 5)


# ---------------------------------------------------------------- activations


def _after(node: Node) -> tuple[str, ...]:
    """The ops whose kernels can apply the node, an activation, as they store y: their records say which.

    They keep y alone, so the activation's gradient must be a function of y.
    """
    if node.name == "leaky_relu" and node.attributes["negative_slope"] < 0:  # y does not determine the sign of x
        return ()
    ends = [name for name, op in REGISTRY.items() if "activation" in op.attributes and node.name in op.activations]
    return (*ends, "batch_norm") if node.name in REGISTRY["batch_norm_activation"].activations else tuple(ends)


def _activation(graph: Graph, node: Node) -> Match:
    """activation(op(x)): applied to y as it is stored; relu(relu(y)) is relu(y)."""
    ops = _after(node)
    x = _alone(graph, node.inputs[0], *ops) if ops else None
    if x is None or x.attributes.get("activation") not in (None, _as_activation(node) if node.name == "relu" else None):
        return None
    given = {**x.attributes, "activation": _as_activation(node)}
    if x.name == "batch_norm":
        return _made("batch_norm_activation", (x, node), (*x.inputs, None), **given), x
    return _made(x.name, (x, node), x.inputs, **given), x


def _relu_after_pool(graph: Graph, node: Node) -> Match:
    """max_pool2d(relu(x)) is relu(max_pool2d(x)), on fewer elements."""
    relu = _alone(graph, node.inputs[0], "relu") if node.name == "max_pool2d" else None
    if relu is None or node.attributes["activation"]:
        return None
    given = {**node.attributes, "activation": _as_activation(relu)}
    return _made("max_pool2d", (relu, node), relu.inputs, **given), relu


# ---------------------------------------------------------------- after a convolution, in training


def _conv_pool(graph: Graph, node: Node) -> Match:
    """max_pool2d(conv2d(x)): a few images at a time, pooled while they are in the cache."""
    conv = _alone(graph, node.inputs[0], "conv2d") if node.name == "max_pool2d" else None
    if conv is None:
        return None
    given = {"geometry": conv.attributes["geometry"], "pool_geometry": node.attributes["geometry"]}
    return _made("conv2d_max_pool", (conv, node), conv.inputs, **given, activation=node.attributes["activation"]), conv


def _conv_norm(graph: Graph, node: Node) -> Match:
    """batch_norm(conv2d(x)): moments are accumulated as the convolution writes; both gradients run in the cache."""
    conv = _alone(graph, node.inputs[0], "conv2d") if node.name == "batch_norm" else None
    _, *statistics = node.inputs
    if conv is None or statistics[2] is None:
        return None
    inputs = (*conv.inputs, *statistics, None)
    return _made("conv2d_batch_norm", (conv, node), inputs, **conv.attributes, **node.attributes), conv


def _sum_after_norm(graph: Graph, node: Node) -> Match:
    """relu(batch_norm(x) + add), the end of a residual block."""
    total = _alone(graph, node.inputs[0], "add") if node.name == "relu" else None
    if total is None:
        return None
    for norm, add in _summands(graph, total, "batch_norm", "conv2d_batch_norm"):
        parts, given = (norm, total, node), {**norm.attributes, "activation": _as_activation(node)}
        if norm.name == "batch_norm":
            return _made("batch_norm_activation", parts, (*norm.inputs, add), **given), norm, total
        return _made("conv2d_batch_norm", parts, (*norm.inputs[:-1], add), **given), norm, total
    return None


# ---------------------------------------------------------------- after a convolution, in inference


def _norm_post(graph: Graph, node: Node) -> Match:
    """batch_norm(conv2d(x)) with running statistics: one scale and shift for each filter."""
    conv = _alone(graph, node.inputs[0], "conv2d") if node.name == "batch_norm" else None
    if conv is None or node.attributes["training"]:
        return None
    return _post(conv, node, (*conv.inputs, *node.inputs[1:], None), eps=node.attributes["eps"]), conv


def _add_post(graph: Graph, node: Node) -> Match:
    """conv2d(x) + add, with or without a norm in between."""
    if node.name != "add":
        return None
    for conv, add in _summands(graph, node, "conv2d", "conv2d_post"):
        inputs = _post_inputs(conv)
        if inputs[-1] is None and not conv.attributes["activation"] and not conv.attributes.get("pool_geometry"):
            return _post(conv, node, (*inputs[:-1], add)), conv
    return None


def _norm_add(graph: Graph, node: Node) -> Match:
    """batch_norm(x) + add."""
    if node.name != "add":
        return None
    for norm, add in _summands(graph, node, "batch_norm"):
        given = {**norm.attributes, "activation": None}
        return _made("batch_norm_activation", (norm, node), (*norm.inputs, add), **given), norm
    return None


def _pool_post(graph: Graph, node: Node) -> Match:
    """max_pool2d(conv2d(x)) in windows of 2x2 that tile the output: only the maxima are stored."""
    conv = _alone(graph, node.inputs[0], "conv2d", "conv2d_post") if node.name == "max_pool2d" else None
    if conv is None or conv.attributes["geometry"].groups > 1 or conv.attributes.get("pool_geometry"):
        return None
    window, inputs = node.attributes["geometry"], _post_inputs(conv)
    halves = (window.R, window.S, *window.stride, *window.padding, *window.dilation) == (2, 2, 2, 2, 0, 0, 0, 0, 1, 1)
    activations = [a for a in (conv.attributes["activation"], node.attributes["activation"]) if a]
    one_relu = all(name == "relu" for name, _ in activations)  # it commutes with the maximum
    if not (halves and one_relu and (window.P, window.Q) == (window.H // 2, window.W // 2) and inputs[-1] is None):
        return None
    return _post(conv, node, inputs, activation=activations[0] if activations else None, pool_geometry=window), conv


def _linear_of_images(graph: Graph, node: Node) -> Match:
    """linear(flatten(x)): weights are reordered once, to the memory order of images."""
    flat = _alone(graph, node.inputs[0], "flatten") if node.name == "linear" else None
    if flat is None or flat.inputs[0] is None or flat.inputs[0].ndim != 4:
        return None
    return _made("linear_of_images", (flat, node), (*flat.inputs, *node.inputs[1:]), **node.attributes), flat


# ---------------------------------------------------------------- rules

_ACTIVATION = Rule("activation as y is stored", "", _activation)
_RELU_AFTER_POOL = Rule("relu after max pooling", "", _relu_after_pool)
_CONV_POOL = Rule(
    "convolution and max pooling",
    "gradients of the weight and bias, and of small images: accumulated over the maxima alone, rounded differently; "
    "non-finite values count only where they are maxima",
    _conv_pool,
)
_NORM_POST = Rule("batch norm folded into scale and shift", "y: rounded differently", _norm_post)
_ADD_POST = Rule("sum after a convolution", "", _add_post)

TRAINING = (
    _RELU_AFTER_POOL,
    _CONV_POOL,
    Rule(
        "convolution and batch norm",
        "the gradient of the convolution's bias: exactly 0 when fused, rounding noise when not",
        _conv_norm,
    ),
    Rule("batch norm, sum and activation", "", _sum_after_norm),
    _ACTIVATION,
)
INFERENCE = (_RELU_AFTER_POOL, _CONV_POOL, _NORM_POST, _ADD_POST, _ACTIVATION)
PLAN = (  # weights are scaled once; linear layers are 1x1 convolutions
    _RELU_AFTER_POOL,
    _NORM_POST,
    _ADD_POST,
    Rule("sum after a batch norm", "", _norm_add),
    _ACTIVATION,
    Rule("2x2 max pooling after a convolution", "", _pool_post),
    Rule("linear after flatten", "y: rounded differently", _linear_of_images),
)
