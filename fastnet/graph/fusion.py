"""All fusion rules: which ops are fused, and which bits this may change.

A rule examines a node and its inputs, and returns the fused node with the nodes that it absorbs, or None. A node is
absorbed only if nothing else reads it. The rules of a list are applied in order, each to the whole graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from fastnet.graph.ir import Graph, Node
from fastnet.ops import REGISTRY
from fastnet.ops.fused_prelu import AFTER

__all__ = ["INFERENCE", "PLAN", "TRAINING", "Rule", "fuse"]

_SLOPES = 7  # the position of PReLU's slopes among the inputs of conv2d_post

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
    return conv.inputs if conv.name == "conv2d_post" else (*conv.inputs, *(None,) * 6)


def _is_activated(conv: Node) -> bool:
    """Whether a convolution already ends in an activation or PReLU."""
    return bool(conv.attributes["activation"]) or (conv.name == "conv2d_post" and conv.inputs[_SLOPES] is not None)


# ---------------------------------------------------------------- activations


def _after(node: Node) -> tuple[str, ...]:
    """The ops whose kernels can apply the node, an activation, as they store y: their records say which."""
    if node.name == "prelu":
        return (*AFTER, "batch_norm")
    ends = [name for name, op in REGISTRY.items() if "activation" in op.attributes and node.name in op.activations]
    return (*ends, "batch_norm") if node.name in REGISTRY["batch_norm_activation"].activations else tuple(ends)


def _ended(parts: tuple[Node, ...], inputs: Iterable[Node | None]) -> Node:
    """The first part, with these inputs, ends in the last one, an activation or a PReLU."""
    first, last = parts[0], parts[-1]
    op = "batch_norm_activation" if first.name == "batch_norm" else first.name
    given = {**first.attributes, "activation": _as_activation(last)}
    if last.name != "prelu":
        return _made(op, parts, inputs, **given)
    del given["activation"]
    return _made(AFTER[op], parts, (*inputs, last.inputs[1]), **given)


def _activation(graph: Graph, node: Node) -> Match:
    """activation(op(x)): applied to y as it is stored; relu(relu(y)) is relu(y)."""
    ops = _after(node)
    x = _alone(graph, node.inputs[0], *ops) if ops else None
    if x is None or x.attributes.get("activation") not in (None, _as_activation(node) if node.name == "relu" else None):
        return None
    if x.name == "conv2d_post" and _is_activated(x) and not x.attributes["activation"]:
        return None
    return _ended((x, node), (*x.inputs, None) if x.name == "batch_norm" else x.inputs), x


def _activation_post(graph: Graph, node: Node) -> Match:
    """activation(conv2d(x)) without a gradient, for which conv2d would keep the activation's argument."""
    conv = _alone(graph, node.inputs[0], "conv2d") if "conv2d" in _after(node) else None
    if conv is None or conv.attributes["activation"]:
        return None
    return _post(conv, node, _post_inputs(conv), activation=_as_activation(node)), conv


def _maxout(graph: Graph, node: Node) -> Match:
    """maxout(conv2d(x)): a few images at a time, reduced while they are in the cache."""
    conv = _alone(graph, node.inputs[0], "conv2d") if node.name == "maxout" else None
    if conv is None or conv.attributes["activation"]:
        return None
    given = {"geometry": conv.attributes["geometry"], **node.attributes}
    return _made("conv2d_maxout", (conv, node), conv.inputs, **given), conv


def _prelu_post(graph: Graph, node: Node) -> Match:
    """prelu(conv2d(x)), whatever lies between."""
    conv = _alone(graph, node.inputs[0], "conv2d", "conv2d_post") if node.name == "prelu" else None
    if conv is None or _is_activated(conv) or conv.attributes.get("pool_geometry"):
        return None
    inputs = _post_inputs(conv)
    return _post(conv, node, (*inputs[:_SLOPES], node.inputs[1], *inputs[_SLOPES + 1 :])), conv


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
    """activation(batch_norm(x) + add), the end of a residual block."""
    total = _alone(graph, node.inputs[0], "add") if "batch_norm" in _after(node) else None
    if total is None:
        return None
    for norm, add in _summands(graph, total, "batch_norm", "conv2d_batch_norm"):
        inputs = norm.inputs if norm.name == "batch_norm" else norm.inputs[:-1]
        return _ended((norm, total, node), (*inputs, add)), norm, total
    return None


# ---------------------------------------------------------------- after a convolution, in inference


def _norm_post(graph: Graph, node: Node) -> Match:
    """batch_norm(conv2d(x)) with running statistics: one scale and shift for each filter."""
    conv = _alone(graph, node.inputs[0], "conv2d") if node.name == "batch_norm" else None
    if conv is None or node.attributes["training"]:
        return None
    return _post(conv, node, (*conv.inputs, *node.inputs[1:], None, None), eps=node.attributes["eps"]), conv


def _add_post(graph: Graph, node: Node) -> Match:
    """conv2d(x) + add, with or without a norm in between."""
    if node.name != "add":
        return None
    for conv, add in _summands(graph, node, "conv2d", "conv2d_post"):
        inputs = _post_inputs(conv)
        if inputs[-1] is None and not _is_activated(conv) and not conv.attributes.get("pool_geometry"):
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
    whole = (window.P, window.Q) == (window.H // 2, window.W // 2)
    if not (halves and one_relu and whole and inputs[-1] is None and inputs[_SLOPES] is None):
        return None
    return _post(conv, node, inputs, activation=activations[0] if activations else None, pool_geometry=window), conv


def _linear_of_images(graph: Graph, node: Node) -> Match:
    """linear(flatten(x)): weights are reordered once, to the memory order of images."""
    flat = _alone(graph, node.inputs[0], "flatten") if node.name in ("linear", "linear_prelu") else None
    if flat is None or flat.inputs[0] is None or flat.inputs[0].ndim != 4:
        return None
    inputs = (*flat.inputs, *node.inputs[1:], *(() if node.name == "linear_prelu" else (None,)))
    return _made("linear_of_images", (flat, node), inputs, **node.attributes), flat


# ---------------------------------------------------------------- rules

_ACTIVATION = Rule("activation as y is stored", "", _activation)
_RELU_AFTER_POOL = Rule("relu after max pooling", "", _relu_after_pool)
_PRELU_POST = Rule("prelu after a convolution", "", _prelu_post)
_MAXOUT = Rule("convolution and maxout", "", _maxout)
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
    _MAXOUT,
    _ACTIVATION,
)
_ACTIVATION_POST = Rule("activation after a convolution", "", _activation_post)
INFERENCE = (_RELU_AFTER_POOL, _CONV_POOL, _MAXOUT, _NORM_POST, _ADD_POST, _PRELU_POST, _ACTIVATION_POST, _ACTIVATION)
PLAN = (  # weights are scaled once; linear layers are 1x1 convolutions
    _RELU_AFTER_POOL,
    _NORM_POST,
    _ADD_POST,
    Rule("sum after a batch norm", "", _norm_add),
    _PRELU_POST,
    _ACTIVATION,
    Rule("2x2 max pooling after a convolution", "", _pool_post),
    Rule("linear after flatten", "y: rounded differently", _linear_of_images),
)
