"""Branches that stochastic depth drops for a whole batch, and what need not be computed then."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from fastnet.graph.ir import Graph, Node
from fastnet.ops import Stream

__all__ = ["Branch", "droppable"]

_CALL = 1e6  # multiply-adds that take about as long as Python's part of an op, which a recorded step saves


class Branch(NamedTuple):
    """What leads to a dropout of the batch and to nothing else.

    Attributes
    ----------
    drop : Node
        The dropout.
    idle : frozenset of Node
        Nodes that need not be computed where it drops: the dropout, whose value is zero, and all others but those that
        update running statistics or draw numbers, and what these read.
    still : frozenset of Node
        Nodes whose gradients are zero then: all.
    """

    drop: Node
    idle: frozenset[Node]
    still: frozenset[Node]

    def drops(self, ops: Any) -> bool:
        """Whether the next pass drops the branch; the stream stays where it is."""
        stream, dtype = self.drop.attributes["stream"], self.drop.dtype
        (number,) = ops.random_uniform((1,), dtype, stream.seed, stream.offset)
        return bool(number < dtype.type(self.drop.attributes["p"]))


def droppable(graph: Graph) -> list[Branch]:
    """The branches of a network in training, if it pays to skip them rather than to record whole steps."""
    found = [branch for node in graph.nodes if _drops_batches(graph, node) and (branch := _branch(graph, node))]
    saved = sum(b.drop.attributes["p"] * (2 * _products(b.still) + _products(b.idle)) for b in found)
    return found if saved > _CALL * len(graph.nodes) else []


def _streams(node: Node) -> list[Stream]:
    return [value for value in node.attributes.values() if isinstance(value, Stream)]


def _drops_batches(graph: Graph, node: Node) -> bool:
    """Whether it is a dropout of the batch whose next number is known before the pass."""
    if node.name != "dropout" or node.attributes["unit"] != "batch":
        return False
    return sum(stream is node.attributes["stream"] for other in graph.nodes for stream in _streams(other)) == 1


def _branch(graph: Graph, drop: Node) -> Branch | None:
    wanted = {graph.output, *graph.kept}
    still: set[Node] = {drop}
    needed: set[Node] = set()
    for node in reversed(graph.nodes):
        readers = graph.readers[node]
        if node.op is not None and node not in wanted and readers and still.issuperset(readers):
            still.add(node)
            if node.name == "opaque":
                return None
            if _acts(node) or not needed.isdisjoint(readers):
                needed.add(node)
    return Branch(drop, frozenset(still - needed), frozenset(still))


def _acts(node: Node) -> bool:
    """Whether a forward pass changes something besides its result."""
    return bool(_streams(node)) or bool(node.updated)


def _products(nodes: frozenset[Node]) -> float:
    """The multiply-adds of convolutions and linear layers."""
    weights = [(node, other) for node in nodes for other in node.inputs[1:2] if other is not None and other.ndim > 1]
    return float(sum(node.size * math.prod(weight.shape[1:]) for node, weight in weights if weight.op is None))
