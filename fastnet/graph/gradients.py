"""Gradients over a graph: which nodes run backward, in which order, and where gradients accumulate."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from fastnet.graph.ir import Graph, Node

__all__ = ["Backward", "schedule"]


class Backward(NamedTuple):
    """One node's step of the backward pass.

    Attributes
    ----------
    node : Node
    needs : tuple of bool
        Which of the op's gradients are needed.
    add : Node or None
        An input; the op adds this input's existing gradient to its own.
    targets : list of (int, Node, bool)
        The position among the op's gradients, its node, and whether to add it to an existing gradient.
    """

    node: Node
    needs: tuple[bool, ...]
    add: Node | None
    targets: list[tuple[int, Node, bool]]


def schedule(
    graph: Graph, wanted: Callable[[Node], bool], trains: Callable[[Node], bool], given: Iterable[Node] = ()
) -> list[Backward]:
    """The steps that compute the gradients of all wanted nodes.

    A node runs when its own gradient is complete, after all nodes that read it. Several readers run, and their
    gradients are accumulated, in the order in which they read the node; the sum's bits depend only on that order.

    Parameters
    ----------
    wanted : function of a node
        Whether its gradient is needed.
    trains : function of a node
        Whether it computes parameter gradients itself (a layer that defines ``run``).
    given : nodes, optional
        Those whose gradient the caller gives, which is added to what their readers contribute; default: the output.
    """
    active: set[Node] = set()  # nodes whose gradient is computed
    for node in graph.nodes:
        if wanted(node) or trains(node) or any(_gradient_of(node, i) in active for i in _inputs(node)):
            active.add(node)
    steps: list[Backward] = []
    found = set(given) or {graph.output}  # nodes that have a gradient, complete or not
    for node in _order(graph, active):
        positions = _inputs(node)
        needs = tuple(_gradient_of(node, i) in active for i in positions)
        if node not in found or not (any(needs) or trains(node)):
            continue
        first = node.inputs[positions[0]]
        add = first if node.op is not None and node.op.accumulates and needs[0] and first in found else None
        targets = []
        for position, (i, need) in enumerate(zip(positions, needs, strict=True)):
            other = node.inputs[i]
            if need and other is not None:
                targets.append((position, other, other in found and not (other is add and position == 0)))
                found.add(other)
        steps.append(Backward(node, needs, add, targets))
    return steps


def _inputs(node: Node) -> tuple[int, ...]:
    """The positions of the inputs that have gradients."""
    if node.op is None:
        return ()
    return tuple(range(len(node.inputs))) if node.op.variadic else node.op.differentiable


def _gradient_of(node: Node, position: int) -> Node | None:
    return node.inputs[position]


def _order(graph: Graph, active: set[Node]) -> list[Node]:
    """Active nodes, each after its active readers: a depth-first walk from the sources to the output."""
    order: list[Node] = []
    seen: set[Node] = set()
    for root in graph.nodes:
        if root not in active or root in seen:
            continue
        seen.add(root)
        stack = [(root, iter(graph.readers[root]))]
        while stack:
            node, readers = stack[-1]
            for reader in readers:
                if reader in active and reader not in seen:
                    seen.add(reader)
                    stack.append((reader, iter(graph.readers[reader])))
                    break
            else:
                stack.pop()
                if node.op is not None:
                    order.append(node)
    return order
