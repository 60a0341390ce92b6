"""Elementwise kernels: the registry's activations, by their index in csrc/kernels.def, and sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from fastnet.backends import _native
from fastnet.backends.native.arrays import KERNELS, empty, kernel
from fastnet.backends.native.epilogue import two
from fastnet.ops import REGISTRY, Op
from fastnet.types import Activation, Array


def _map(number: int, op: Op, x: Array, *numbers: float) -> tuple[Array, Any]:
    y = empty(x.shape, x.dtype)
    a, b = two(numbers)
    _native.map_forward(number, x.size, a, b, x, y)
    return y, (y if op.saves_output(*numbers) else x, a, b)


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
    KERNELS[_name] = _positional(partial(_map, _number, _op), tuple(_op.attributes))
    KERNELS[f"{_name}_backward"] = partial(_map_backward, _number)


def activation_gradient(dy: Array, kept: Array | None, activation: Activation | None) -> Array:
    """The gradient before a fused activation."""
    if activation is None:
        return dy
    name, given = activation
    dx: Array = KERNELS[f"{name}_backward"](dy, (kept, *two(tuple(given.values()))))
    return dx


@kernel
def add(a: Array, b: Array) -> tuple[Array, None]:
    y = empty(a.shape, a.dtype)
    _native.add(a.size, a, b, y)
    return y, None


@kernel
def add_backward(dy: Array, saved: Any, needs: Sequence[bool]) -> tuple[Array | None, ...]:
    return tuple(dy if need else None for need in needs)
