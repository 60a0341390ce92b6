"""Callbacks on every array that a model computes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from fastnet.types import Array

__all__ = ["trace", "tracer"]

_tracer: Callable[[str, str, Array], None] | None = None


@contextlib.contextmanager
def trace(callback: Callable[[str, str, Array], None]) -> Iterator[None]:
    """Call ``callback(name, phase, array)`` with everything that layers compute inside the ``with`` block.

    `name` is the layer's path in the model ("1.body.0"), or a parameter's name for its gradient ("1.body.0.weight");
    `phase` is "forward" (the layer's output) or "backward" (its input gradient, or a parameter's gradient).
    Exceptions of the callback propagate to the caller of ``forward`` or ``backward``. The backward pass of a forward
    pass run inside the block is traced, too. Nothing is fused inside the block.
    """
    global _tracer
    previous, _tracer = _tracer, callback
    try:
        yield
    finally:
        _tracer = previous


def tracer() -> Callable[[str, str, Array], None] | None:
    """The callback, inside :func:`trace`."""
    return _tracer
