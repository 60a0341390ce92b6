"""What products and convolutions do to their sums before they store them: csrc/cuda/ending.h."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastnet.backends.device.arrays import empty
from fastnet.backends.device.compiler import launch, spread
from fastnet.backends.device.elementwise import activation_code
from fastnet.ops import REGISTRY
from fastnet.types import Activation, Array

__all__ = ["NOTHING", "Ending", "finish", "kept_before"]


class Ending(NamedTuple):
    """``activation(sum * scale + shift + add)``; `before` receives the activation's argument."""

    scale: Array | None = None
    shift: Array | None = None
    add: Array | None = None
    before: Array | None = None
    activation: Activation | None = None

    def arguments(self, y: Array) -> tuple[Any, ...]:
        """A kernel's ENDING_ARGUMENTS."""
        return self.scale, self.shift, self.add, self.before, y, *activation_code(self.activation)


NOTHING = Ending()


def kept_before(y: Array, activation: Activation | None) -> Array | None:
    """An uninitialised array for a fused activation's argument, if its gradient needs that and not y."""
    keeps_y = activation is None or REGISTRY[activation[0]].saves_output(*activation[1].values())
    return None if keeps_y else empty(y.shape, y.dtype)


def finish(parts: Array, count: int, end: Ending, y: Array) -> None:
    """y = end(the sum of `count` parts, each like y); channels are y's axis 1."""
    launch("ending", "finish", y.dtype, *spread(y.size), parts, count, y.size, y.shape[1], *end.arguments(y))
