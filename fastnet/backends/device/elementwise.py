"""Elementwise kernels: the registry's activations, alone and as the end of other ops, and sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from fastnet.backends.device.arrays import KERNELS, empty, kernel
from fastnet.backends.device.compiler import launch, spread
from fastnet.ops import REGISTRY, Op
from fastnet.types import Activation, Array

__all__ = ["ACTIVATIONS", "NO_ACTIVATION", "activation_code", "activation_gradient"]

# By their numbers in csrc/cuda/activations.h.
ACTIVATIONS = (
    *("relu", "leaky_relu", "sigmoid", "tanh", "gelu", "elu", "softplus", "relu6", "hardsigmoid", "hardswish"),
    *("scale", "selu", "gelu_tanh", "silu"),
)
NO_ACTIVATION = -1


def _spread(n: int) -> tuple[int, int]:
    """(blocks, threads) for n elements, four a thread."""
    return spread(-(-n // 4))


def _two(numbers: Sequence[float]) -> tuple[float, float]:
    """A kernel's two parameters."""
    a, b = (*map(float, numbers), 0.0, 0.0)[:2]
    return a, b


def activation_code(activation: Activation | None) -> tuple[int, float, float]:
    """A fused activation's number and parameters, as the device function ``activation`` takes them."""
    if activation is None:
        return NO_ACTIVATION, 0.0, 0.0
    name, given = activation
    return ACTIVATIONS.index(name), *_two(tuple(given.values()))


def _map(number: int, op: Op, x: Array, **given: float) -> tuple[Array, Any]:
    y, numbers = empty(x.shape, x.dtype), tuple(given[name] for name in op.attributes)
    a, b = _two(numbers)
    launch("elementwise", "map_forward", x.dtype, *_spread(x.size), x, y, x.size, number, a, b)
    return y, (y if op.saves_output(*numbers) else x, a, b)


def _map_backward(number: int, dy: Array, saved: Any, needs: Sequence[bool] = (True,)) -> Array:
    array, a, b = saved
    dx = empty(array.shape, array.dtype)
    launch("elementwise", "map_backward", dy.dtype, *_spread(dy.size), dy, array, dx, dy.size, number, a, b)
    return dx


def _kernels(number: int, op: Op) -> dict[str, Callable[..., Any]]:
    return {op.name: partial(_map, number, op), f"{op.name}_backward": partial(_map_backward, number)}


for _number, _name in enumerate(ACTIVATIONS):
    KERNELS.update(_kernels(_number, REGISTRY[_name]))


def activation_gradient(dy: Array, kept: Array | None, activation: Activation | None) -> Array:
    """The gradient before a fused activation."""
    if activation is None:
        return dy
    number, a, b = activation_code(activation)
    return _map_backward(number, dy, (kept, a, b))


@kernel
def add(a: Array, b: Array) -> tuple[Array, None]:
    y = empty(a.shape, a.dtype)
    launch("elementwise", "add", a.dtype, *_spread(a.size), a, b, y, a.size)
    return y, None


@kernel
def add_backward(dy: Array, saved: Any, needs: Sequence[bool]) -> tuple[Array | None, ...]:
    return tuple(dy if need else None for need in needs)


@kernel
def accumulate(total: Array, x: Array) -> None:
    launch("elementwise", "add", total.dtype, *_spread(total.size), total, x, total, total.size)
