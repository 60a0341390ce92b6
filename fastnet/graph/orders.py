"""Memory orders of the values in a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastnet.graph.ir import Node
from fastnet.ops import ACTIVATION, STATE, WEIGHT

__all__ = ["differs", "entered", "entered_gradient"]


def differs(node: Node, role: str) -> bool:
    """Whether a node's value may lie in another memory order than that of a role."""
    order = ACTIVATION if node.op is None else node.op.gradient_role
    if node.is_parameter:
        order = STATE if node.source.buffer else WEIGHT
    elif node.op is None and node.source is not None and not isinstance(node.source, str):
        order = ""  # a constant may lie anyhow
    if role == STATE or order in ("", STATE):
        return role != order
    return order != role and node.ndim in (3, 4)  # others lie in C order for both


def entered(ops: Any, node: Node, kernel: Callable[..., Any]) -> tuple[Callable[..., Any], list[Node]]:
    """A node's kernel, which first converts arrays in another memory order than it reads, and the nodes of these."""
    assert node.op is not None
    found: dict[int, str] = {}
    mixed = []
    for n, (each, other) in enumerate(zip(node.op.inputs * len(node.inputs), node.inputs, strict=False)):
        if other is not None and differs(other, each.role):
            found[n] = each.role
            mixed.append(other)
    if not found:
        return kernel, mixed
    enter = ops.enter
    return lambda *arrays: kernel(*(enter(found[n], x) if n in found else x for n, x in enumerate(arrays))), mixed


def entered_gradient(ops: Any, node: Node, kernel: Callable[..., Any]) -> Callable[..., Any]:
    """The same for the kernel of a gradient, whose dy and `add` come from other nodes' gradients."""
    assert node.op is not None
    enter, role = ops.enter, node.op.gradient_role

    def run(dy: Any, saved: Any, needs: Any, **more: Any) -> Any:
        return kernel(enter(role, dy), saved, needs, **{name: enter(ACTIVATION, x) for name, x in more.items()})

    return run
