"""Rules for the backward pass of rectifiers, which pictures of networks replace; the forward pass stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastnet.graph.ir import Graph, Node
from fastnet.ops import REGISTRY, Op

__all__ = ["RECTIFIERS", "RULES", "apply_rule"]

RECTIFIERS = ("relu", "relu6")


def _positive(ops: Any, dy: Any) -> Any:
    return ops.kernel(REGISTRY["relu"])(dy)[0]


def _guided(op: Op) -> Callable[..., Any]:
    return lambda ops, dy, saved, needs=(True,): ops.gradient(op)(_positive(ops, dy), saved, needs)


def _deconvnet(op: Op) -> Callable[..., Any]:
    return lambda ops, dy, saved, needs=(True,): _positive(ops, dy)


RULES = {"guided": _guided, "deconvnet": _deconvnet}
"""The gradient of a rectifier by name: ``RULES[name](op)``.

guided: dy where it is positive and the rectifier lets x through (Springenberg et al. 2014, arXiv:1412.6806).
deconvnet: dy where it is positive, whatever x was (Zeiler & Fergus 2013, arXiv:1311.2901).
"""


def _ruled(op: Op, rule: str) -> Op:
    def forward(ops: Any, x: Any, **given: Any) -> Any:
        return ops.kernel(op)(x, **given)

    name, backward = f"{op.name} ({rule})", RULES[rule](op)
    return Op(name, op.inputs, op.shape, forward, backward, op.attributes, composed=True, doc=op.doc)


def apply_rule(graph: Graph, rule: str) -> int:
    """Replace the gradients of all rectifiers of an unfused graph; returns how many there are."""
    found = [node for node in graph.nodes if node.name in RECTIFIERS]
    ops = {name: _ruled(REGISTRY[name], rule) for name in {node.name for node in found}}
    for node in found:
        graph.replace(
            node, Node(ops[node.name], node.inputs, node.attributes, node.shape, node.dtype, None, node.layers)
        )
    return len(found)
