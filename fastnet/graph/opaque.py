"""Ops outside the registry: layers that define ``run``, and observers, which pass an array to a callback."""

from __future__ import annotations

from typing import Any

from fastnet.graph.ir import Node
from fastnet.ops import Input, Op

__all__ = ["OBSERVE", "OPAQUE", "observe", "opaque"]


def _run_layer(
    ops: Any, x: Any, layer: Any, training: bool, shape: tuple[int, ...] | None, keep: bool, tell: Any
) -> Any:
    """``layer.run``, or ``layer.infer`` if no gradient is needed.

    shape: the required shape of y, for which later nodes were recorded; None for the network's output.
    """
    x = ops.protected(x)  # it may be the caller's data, or saved for an earlier node's gradient
    y, inner = layer.run(x, training, ops) if keep or training else (layer.infer(x, ops), None)
    what = f"{type(layer).__name__}{f' (layer {layer.path})' if layer.path else ''}"
    if not hasattr(y, "dtype"):
        raise TypeError(f"{what}: run returned {type(y).__name__} where y, an array, was expected")
    if y.dtype != x.dtype:
        raise TypeError(
            f"{what}: run returned y in {y.dtype}, the model computes in {x.dtype}; cast with .astype(x.dtype)"
        )
    if shape is not None and tuple(y.shape) != shape:
        raise ValueError(
            f"{what}: run returned y of shape {tuple(y.shape)}; from x of shape {tuple(x.shape)} its setup declared "
            f"{shape}"
        )
    return ops.asarray(y, y.dtype), (inner, layer, tell, x.dtype)


def _layer_gradient(ops: Any, dy: Any, saved: Any, needs: tuple[bool, ...] = (True,)) -> Any:
    inner, layer, tell, dtype = saved
    dx = inner(dy, needs[0])
    if tell is not None:
        for parameter in layer.own.values():
            if parameter.requires_grad and parameter.grad is not None:
                tell(parameter.name, "backward", parameter.grad)
    return ops.asarray(dx, dtype) if needs[0] else None


OPAQUE = Op(
    "opaque",
    (Input("x"),),
    shape=lambda x, **attributes: attributes["shape"],
    forward=_run_layer,
    backward=_layer_gradient,
    composed=True,
    doc="A layer that defines run(x, training, ops), and so its own gradient.",
)


def opaque(x: Node, layer: Any, training: bool, tell: Any) -> tuple[Any, ...]:
    """The arguments of ``Recorder.append`` for a layer that defines ``run``."""
    shape = (x.shape[0], *layer.shape_of(x.shape[1:]))
    attributes = {"layer": layer, "training": training, "shape": shape, "keep": True, "tell": tell}
    return OPAQUE, [x], attributes, shape, x.dtype


def _look(xp: Any, x: Any, layer: Any, phase: str, tell: Any) -> Any:
    if phase == "forward":
        tell(layer.path or type(layer).__name__, "forward", x)
    return x, (layer, phase, tell)


def _look_back(xp: Any, dy: Any, saved: Any, needs: tuple[bool, ...] = (True,)) -> Any:
    layer, phase, tell = saved
    if phase == "backward":
        tell(layer.path or type(layer).__name__, "backward", dy)
    return dy


OBSERVE = Op(
    "observe",
    (Input("x"),),
    shape=lambda x, **attributes: tuple(x.shape),
    forward=_look,
    backward=_look_back,
    doc="x itself; the callback of ``trace`` is called with x, or with its gradient.",
)


def observe(x: Node, layer: Any, phase: str, tell: Any) -> tuple[Any, ...]:
    """The arguments of ``Recorder.append`` to observe a layer's output ("forward") or input gradient ("backward")."""
    return OBSERVE, [x], {"layer": layer, "phase": phase, "tell": tell}, x.shape, x.dtype
