"""A look at every array that a model computes on its way, and at every step while it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from fastnet.types import Array

__all__ = ["trace", "tracing", "watch", "step", "infer"]

_tracer: Callable[[str, str, Array], None] | None = None
_watcher = None


@contextlib.contextmanager
def trace(callback: Callable[[str, str, Array], None]) -> Iterator[None]:
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


@contextlib.contextmanager
def watch(watcher) -> Iterator[None]:
    """Leave it to ``watcher.run(step, x, training, ops, options)``, and in inference to ``watcher.infer(step, x, ops,
    options)``, to call the ``run`` and ``infer`` of every step, fused as always, inside the ``with`` block.
    """
    global _watcher
    previous, _watcher = _watcher, watcher
    try:
        yield
    finally:
        _watcher = previous


def infer(layer, x, ops, **options):
    """``layer.infer`` under the eyes of :func:`watch`; containers call their children through it."""
    return layer.infer(x, ops, **options) if _watcher is None else _watcher.infer(layer, x, ops, options)


def step(layer, x, training: bool, ops, **options):
    """``layer.run`` under the eyes of :func:`trace` and :func:`watch`; containers call their children through it."""
    if _watcher is not None:
        return _watcher.run(layer, x, training, ops, options)
    if _tracer is None or not layer.traced:
        return layer.run(x, training, ops, **options)
    tracer, name = _tracer, layer.path or type(layer).__name__
    y, backward = layer.run(x, training, ops, **options)
    tracer(name, "forward", y)

    def traced_backward(dy, input_gradient=True):
        dx = backward(dy, input_gradient)
        for parameter in layer.own.values():
            if parameter.requires_grad and parameter.grad is not None:
                tracer(parameter.name, "backward", parameter.grad)
        if dx is not None:
            tracer(name, "backward", dx)
        return dx

    return y, traced_backward
