"""Which side of its kinks a network is on: for every ReLU the sign of its input, for every maximum who wins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastnet.graph import Node
from fastnet.types import Array

__all__ = ["Winners"]

# The inputs at which an elementwise op has a kink.
_KINKS: dict[str, tuple[float, ...]] = {
    "relu": (0.0,),
    "leaky_relu": (0.0,),
    "prelu": (0.0,),
    "relu6": (0.0, 6.0),
    "hardsigmoid": (-3.0, 3.0),
    "hardswish": (-3.0, 3.0),
    "selu": (0.0,),
    "elu": (0.0,),
}
_SHARP_LOSSES = ("svm_loss", "l1_loss", "binary_hinge_loss", "")  # "": a function of your own, which may be


class Winners:
    """Collects the winners of a pass; two passes with equal `seen` lie on the same smooth piece.

    ``Program(graph, ops, True, around=winners.around)`` collects those of a network.
    """

    def __init__(self, ops: Any) -> None:
        self.ops = ops
        self.seen: list[bytes] = []

    def around(self, node: Node, phase: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        """The kernel, which also adds its winners in forward passes."""
        name, kinks, xp = node.name, _KINKS.get(node.name), self.ops.xp
        if name == "elu" and node.attributes["alpha"] == 1:  # its slope is continuous
            kinks = None
        if phase != "forward" or not (kinks or "max_pool" in name or name == "maxout"):
            return kernel

        def run(*arrays: Any) -> Any:
            y, saved = kernel(*arrays)
            if kinks:
                for kink in kinks:
                    self.add(arrays[0] > kink)
            else:  # who gets the gradient has won
                needs = tuple(array is not None for array in arrays)
                dx = self.ops.gradient(node.op)(xp.ones_like(y), saved, needs)
                self.add((dx[0] if isinstance(dx, tuple) else dx) != 0)
            return y, saved

        return run

    def loss(self, loss: Any, dscores: Array) -> None:
        """Add the winners of a loss: which margins count, which differences are positive."""
        from fastnet.losses.names import op_name

        if op_name(loss) in _SHARP_LOSSES:
            self.add(self.ops.xp.sign(self.ops.own(dscores)))

    def add(self, winners: Any) -> None:
        self.seen.append(self.ops.to_numpy(self.ops.xp.asarray(winners, "int8")).tobytes())
