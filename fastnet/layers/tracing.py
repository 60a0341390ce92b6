"""A look at every array that a model computes, on its way."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

__all__ = ["trace", "tracing", "step"]

_tracer: Callable | None = None


@contextlib.contextmanager
def trace(callback: Callable) -> Iterator[None]:
    """Call ``callback(name, phase, array)`` with everything that layers compute inside the ``with`` block.

    `name` is the layer's path in the model ("1.body.0"), or a parameter's name for its gradient ("1.body.0.weight");
    `phase` is "forward" (the layer's output) or "backward" (its input gradient, or a parameter's gradient).
    What the callback raises goes through to the caller of ``forward`` or ``backward``.  Forward passes that run
    inside the block are traced on their way back too.
    """
    global _tracer
    previous, _tracer = _tracer, callback
    try:
        yield
    finally:
        _tracer = previous


def tracing() -> bool:
    """Whether somebody looks: then containers run their layers one by one."""
    return _tracer is not None


def step(layer, x, training: bool, ops, **options):
    """``layer.run`` under the eyes of :func:`trace`; containers call their children through it."""
    if _tracer is None or not layer.traced:
        return layer.run(x, training, ops, **options)
    tracer, name = _tracer, layer.path or type(layer).__name__
    y, backward = layer.run(x, training, ops, **options)
    tracer(name, "forward", y)

    def traced_backward(dy, input_gradient=True):
        dx = backward(dy, input_gradient)
        for parameter in layer.own.values():
            if parameter.trainable and parameter.grad is not None:
                tracer(parameter.name, "backward", parameter.grad)
        if dx is not None:
            tracer(name, "backward", dx)
        return dx

    return y, traced_backward
