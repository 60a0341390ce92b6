"""Penalties on the weights, added to the loss that is reported and to the gradients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fastnet.arguments import flag, real
from fastnet.backends import current
from fastnet.layers import Parameter

__all__ = ["L2"]


class L2:
    """``strength/2 * sum(W**2)`` with `half` (the default), ``strength * sum(W**2)`` without.

    The gradient is ``strength * W`` with `half`, so that L2(0.001) and an optimiser's ``weight_decay=0.001`` have the
    same effect on plain SGD, and ``2 * strength * W`` without.  Only parameters that require a gradient and have
    ``decay=True`` are penalised: never biases, never those of batch norm.

    Parameters
    ----------
    strength : float
        lambda >= 0.
    half : bool
        Whether the penalty has the factor 1/2.
    """

    def __init__(self, strength: float, half: bool = True) -> None:
        self.strength, self.half = real(strength, "L2: strength"), flag(half, "L2: half")
        if self.strength < 0:
            raise ValueError(f"L2: strength must be a finite number >= 0, got {strength!r}")

    def __repr__(self) -> str:
        return f"L2({self.strength}, half={self.half})"

    def loss(self, parameters: Iterable[Parameter]) -> float:
        """The penalty, summed in float64."""
        factor = self.strength / 2 if self.half else self.strength
        total = 0.0
        for p in self._penalised(parameters):
            total += float((p.value * p.value).sum(dtype="float64"))
        return factor * total

    def add_gradients(self, parameters: Iterable[Parameter]) -> None:
        """Add the penalty's gradient to each ``parameter.grad``; parameters without a gradient are left alone."""
        ops = current()
        factor = self.strength if self.half else 2 * self.strength
        for p in self._penalised(parameters):
            if p.grad is not None:
                ops.accumulate(p.grad, p.value * p.value.dtype.type(factor))

    @staticmethod
    def _penalised(parameters: Iterable[Parameter]) -> Iterator[Parameter]:
        return (p for p in parameters if p.requires_grad and p.decay)
