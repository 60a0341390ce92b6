"""Memory orders of the values in a graph."""

from __future__ import annotations

from fastnet.graph.ir import Node
from fastnet.ops import ACTIVATION, STATE, WEIGHT

__all__ = ["differs"]


def differs(node: Node, role: str) -> bool:
    """Whether a node's value may lie in another memory order than that of a role."""
    order = ACTIVATION if node.op is None else node.op.gradient_role
    if hasattr(node.source, "value"):
        order = STATE if node.source.buffer else WEIGHT
    elif node.op is None and node.source is not None and not isinstance(node.source, str):
        order = ""  # a constant may lie anyhow
    if role == STATE or order in ("", STATE):
        return role != order
    return order != role and node.ndim in (3, 4)  # others lie in C order for both
