"""Elementwise kernels: the registry's activations, by their index in csrc/kernels.def, and sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from fastnet.backends import _native
from fastnet.backends.native.arrays import KERNELS, empty, kernel
from fastnet.ops import REGISTRY
from fastnet.types import Activation, Array


def _map(number: int, saves_output: bool, x: Array, a: float = 0.0, b: float = 0.0) -> tuple[Array, Any]:
    y = empty(x.shape, x.dtype)
    _native.map_forward(number, x.size, a, b, x, y)
    return y, (y if saves_output else x, a, b)


def _map_backward(number: int, dy: Array, saved: Any, needs: Sequence[bool] = (True,)) -> Array:
    array, a, b = saved
    dx = empty(array.shape, array.dtype)
    _native.map_backward(number, array.size, a, b, dy, array, dx)
    return dx


def _positional(function: Callable[..., Any], names: tuple[str, ...]) -> Callable[..., Any]:
    """Adapt the function: it takes attributes by name instead of positional parameters in the record's order."""
    if not names:
        return function
    return lambda x, **given: function(x, *(given[name] for name in names))


_NUMBERS = {name: number for number, name in enumerate(_native.ELEMENTWISE)}
for _name, _number in _NUMBERS.items():
    _op = REGISTRY[_name]
    KERNELS[_name] = _positional(partial(_map, _number, _op.saves_output), tuple(_op.attributes))
    KERNELS[f"{_name}_backward"] = partial(_map_backward, _number)


def activation_code(activation: Activation | None) -> tuple[int, float]:
    """A fused activation's index and parameter, as in ``fn_epilogue``."""
    if activation is None:
        return 0, 0.0
    name, given = activation
    return _native.ACTIVATIONS[name], next(iter(given.values()), 0.0)


def activate_in_place(y: Array, activation: Activation) -> None:
    """Apply a fused activation to y, for kernels that do not apply it themselves."""
    name, given = activation
    a, b = (*given.values(), 0.0, 0.0)[:2]
    _native.map_forward(_NUMBERS[name], y.size, a, b, y, y)


def activation_gradient(dy: Array, y: Array | None, activation: Activation | None) -> Array:
    """The gradient before a fused activation, computed from its output y."""
    if activation is None:
        return dy
    name, given = activation
    dx: Array = KERNELS[f"{name}_backward"](dy, (y, *given.values(), *(0.0, 0.0)[len(given) :]))
    return dx


@kernel
def add(a: Array, b: Array) -> tuple[Array, None]:
    y = empty(a.shape, a.dtype)
    _native.add(a.size, a, b, y)
    return y, None


@kernel
def add_backward(dy: Array, saved: Any, needs: Sequence[bool]) -> tuple[Array | None, ...]:
    return tuple(dy if need else None for need in needs)
