"""Epilogues: what products, convolutions and norms do to their results before they store them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from fastnet.backends import _native
from fastnet.backends.native.arrays import empty
from fastnet.ops import REGISTRY
from fastnet.types import Activation, Array

__all__ = ["NOTHING", "Epilogue", "activation_code", "ending", "kept_before", "per_channel", "two"]


class Epilogue(NamedTuple):
    """``activation(sum * scale + shift + add)``, ``fn_epilogue`` of csrc/fastnet.h.

    Attributes
    ----------
    scale, shift, slopes
        One element for each channel; the slopes are PReLU's.
    add, before
        Like the result: an array to add, and one that receives the activation's argument.
    activation, a, b
        Of ``_native.ACTIVATIONS``, and its parameters.
    """

    scale: Array | None = None
    shift: Array | None = None
    slopes: Array | None = None
    add: Array | None = None
    before: Array | None = None
    activation: int = 0
    a: float = 0.0
    b: float = 0.0


NOTHING = Epilogue()


def two(numbers: Sequence[float]) -> Sequence[float]:
    """A kernel's two parameters."""
    return (*numbers, 0.0, 0.0)[:2]


def activation_code(activation: Activation | None) -> tuple[int, float, float]:
    """A fused activation's index and parameters, as in ``fn_epilogue``."""
    if activation is None:
        return 0, 0.0, 0.0
    name, given = activation
    a, b = two(tuple(given.values()))
    return _native.ACTIVATIONS[name], a, b


def per_channel(slopes: Array, channels: int) -> Array:
    """PReLU's slopes, one for each channel."""
    if slopes.size == channels:
        return slopes
    each = empty((channels,), slopes.dtype)
    _native.copy_rows(channels, 1, slopes, 0, 0, each, 0, 1)
    return each


def ending(channels: int, activation: Activation | None, slopes: Array | None = None, **more: Any) -> Epilogue:
    """An epilogue with an activation, or PReLU with `slopes`; `more` are its other fields."""
    if slopes is not None:
        return Epilogue(slopes=per_channel(slopes, channels), activation=_native.ACTIVATIONS["prelu"], **more)
    code, a, b = activation_code(activation)
    return Epilogue(activation=code, a=a, b=b, **more)


def kept_before(y: Array, activation: Activation | None, slopes: Array | None = None) -> Array | None:
    """An uninitialised array for the argument of a fused activation or PReLU, if its gradient needs that and not y."""
    keeps_y = activation is None or REGISTRY[activation[0]].saves_output(*activation[1].values())
    return None if slopes is None and keeps_y else empty(y.shape, y.dtype)
