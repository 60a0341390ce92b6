"""Clipping of gradients before a step: all together by their norm, or each element by its size."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import reduce
from operator import add

from fastnet.arguments import positive
from fastnet.backends import current
from fastnet.layers import Parameter
from fastnet.layers.parameter import parameters_of
from fastnet.ops import REGISTRY

__all__ = ["clip_grad_norm", "clip_grad_value"]


def clip_grad_norm(parameters: Iterable[Parameter], max_norm: float) -> float:
    """Scale all gradients by one factor so that their norm is at most `max_norm`, in place.

    If norm > max_norm, ``g *= max_norm / (norm + 1e-6)``, PyTorch's formula, of Pascanu, Mikolov & Bengio, "On the
    difficulty of training recurrent neural networks", 2013, arXiv:1211.5063.

    Parameters
    ----------
    parameters : iterable of Parameter
        Those without a gradient, and frozen ones, are passed over.
    max_norm : float
        > 0; gradients whose norm is not greater keep their bits.

    Returns
    -------
    float
        The norm before: the root of the sum of all squares, accumulated in float64 in a fixed order.

    Raises
    ------
    FloatingPointError
        A gradient holds a NaN or an infinity, which its scaling would spread; gradients are left as they are.
    """
    max_norm = positive(max_norm, "clip_grad_norm: max_norm")
    ops, ready = current(), _with_gradients(parameters, "clip_grad_norm")
    squares = [square for _, square in ops.power_sums_each([p.grad for p in ready if p.grad is not None])]
    norm = math.sqrt(reduce(add, squares, 0.0))
    if not math.isfinite(norm):
        first = next(i for i, square in enumerate([*squares, math.nan]) if not math.isfinite(square))
        name = repr(ready[first].name or f"parameter {first}") if first < len(ready) else "all parameters together"
        raise FloatingPointError(
            f"clip_grad_norm: the squared gradient of {name} is not finite; lower the learning rate, or use "
            "Solver(debug='nan') to see where it comes from"
        )
    if norm > max_norm:
        ops.update_each(REGISTRY["rescale"], [(p.grad,) for p in ready], {"factor": max_norm / (norm + 1e-6)})
    return norm


def clip_grad_value(parameters: Iterable[Parameter], max_value: float) -> None:
    """Limit every element of every gradient to [-max_value, max_value], in place; NaN stays NaN.

    Parameters
    ----------
    parameters : iterable of Parameter
        Those without a gradient, and frozen ones, are passed over.
    max_value : float
        > 0.
    """
    size = positive(max_value, "clip_grad_value: max_value")
    if ready := _with_gradients(parameters, "clip_grad_value"):
        current().update_each(REGISTRY["clip"], [(p.grad,) for p in ready], {"size": size})


def _with_gradients(parameters: Iterable[Parameter], caller: str) -> list[Parameter]:
    """Those whose gradient is clipped, on the backend in use."""
    ready = [p for p in parameters_of(parameters, caller) if p.requires_grad and p.grad is not None]
    for parameter in ready:
        parameter.move()
    return ready
