"""Elementwise kernels: the registry's activations, by their index in csrc/kernels.def, and sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from fastnet.backends import _native
from fastnet.backends.native.arrays import KERNELS, empty, kernel
from fastnet.ops import REGISTRY, Op
from fastnet.types import Activation, Array


def _two(numbers: Sequence[float]) -> Sequence[float]:
    """A kernel's two parameters."""
    return (*numbers, 0.0, 0.0)[:2]


def _map(number: int, op: Op, x: Array, *numbers: float) -> tuple[Array, Any]:
    y = empty(x.shape, x.dtype)
    a, b = _two(numbers)
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


def activation_code(activation: Activation | None) -> tuple[int, float, float]:
    """A fused activation's index and parameters, as in ``fn_epilogue``."""
    if activation is None:
        return 0, 0.0, 0.0
    name, given = activation
    a, b = _two(tuple(given.values()))
    return _native.ACTIVATIONS[name], a, b


def kept_before(y: Array, activation: Activation | None) -> Array | None:
    """An uninitialised array for a fused activation's argument, if its gradient needs that and not y."""
    if activation is None or REGISTRY[activation[0]].saves_output(*activation[1].values()):
        return None
    return empty(y.shape, y.dtype)


def activate(x: Array, activation: Activation | None) -> tuple[Array, Array | None]:
    """(y, what the gradient needs) of a fused activation, for kernels that do not apply it; in place where it can."""
    if activation is None:
        return x, None
    name, given = activation
    keeps_x = not REGISTRY[name].saves_output(*given.values())
    y = empty(x.shape, x.dtype) if keeps_x else x
    a, b = _two(tuple(given.values()))
    _native.map_forward(_NUMBERS[name], x.size, a, b, x, y)
    return y, x if keeps_x else y


def activation_gradient(dy: Array, kept: Array | None, activation: Activation | None) -> Array:
    """The gradient before a fused activation."""
    if activation is None:
        return dy
    name, given = activation
    dx: Array = KERNELS[f"{name}_backward"](dy, (kept, *_two(tuple(given.values()))))
    return dx


@kernel
def add(a: Array, b: Array) -> tuple[Array, None]:
    y = empty(a.shape, a.dtype)
    _native.add(a.size, a, b, y)
    return y, None


@kernel
def add_backward(dy: Array, saved: Any, needs: Sequence[bool]) -> tuple[Array | None, ...]:
    return tuple(dy if need else None for need in needs)
