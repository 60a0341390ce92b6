"""A small computational graph that explains itself: values, gates, and the backward pass gate by gate.

>>> from fastnet.gates import Value
>>> x, y, z = Value(-2, "x"), Value(5, "y"), Value(-4, "z")
>>> f = ((x + y).named("q") * z).named("f")
>>> print(f.backward())
f = q * z = -12, df/df = 1
  the multiply gate switches: each input gets the gradient times the other
    df/dq = -4
    df/dz = 3
q = x + y = 3, df/dq = -4
  the add gate distributes: each input gets the gradient
    df/dx = -4
    df/dy = -4

It is for reading, on numbers and small arrays in float64; networks run on fastnet.layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnet.arguments import real
from fastnet.arrays import on_host
from fastnet.types import Array

__all__ = ["Backward", "Step", "Value"]

Number = Any
"""A number, an array, or a Value."""


class Step(NamedTuple):
    """What one gate does in a backward pass.

    Attributes
    ----------
    output : Value
        What the gate computed; ``output.grad`` is the gradient that arrives.
    gradients : tuple of arrays
        What it passes to each of ``output.inputs``.
    """

    output: Value
    gradients: tuple[Array, ...]


class Backward:
    """The steps of a backward pass, from the output to the inputs; prints as text.

    Attributes
    ----------
    steps : list of Step
    """

    def __init__(self, of: Value, steps: list[Step]) -> None:
        self.of, self.steps = of, steps

    def __str__(self) -> str:
        names = _names(self.of)
        name = names[self.of]
        lines = []
        for step in self.steps:
            output, inputs = step.output, step.output.inputs
            formula = output.formula.format(*(names[each] for each in inputs))
            lines.append(f"{names[output]} = {formula} = {_text(output.data)}, d{name}/d{names[output]} = ")
            lines[-1] += _text(output.grad)
            lines.append(f"  the {output.gate} gate {output.rule}")
            for each, gradient in zip(inputs, step.gradients, strict=True):
                if each.learns:
                    again = ", added to what other gates send" if each.readers > 1 else ""
                    lines.append(f"    d{name}/d{names[each]} = {_text(gradient)}{again}")
        return "\n".join(lines)

    __repr__ = __str__


def _text(array: Array) -> str:
    if array.ndim == 0:
        return f"{float(array):.6g}"
    return " ".join(np.array2string(array, precision=4, suppress_small=True).split())


class Value:
    """A number or array in a computational graph.

    Parameters
    ----------
    data : number or array
        Kept in float64.
    name : str
        For the text of the backward pass.

    Attributes
    ----------
    data : array
    grad : array
        The gradient of the output whose :meth:`backward` was called last.
    gate : str
        What computed it; "" for an input.
    inputs : tuple of Value
    """

    __array_priority__ = 100  # array + Value is a Value

    def __init__(self, data: Number, name: str = "") -> None:
        self.data: Array = np.array(on_host(data, "Value: data"), np.float64)
        self.name, self.grad = name, np.zeros_like(self.data)
        self.inputs: tuple[Value, ...] = ()
        self.gate = self.formula = self.rule = ""
        self.learns, self.readers = True, 0
        self._local: Callable[[Array], Sequence[Array]] = lambda g: ()

    def __repr__(self) -> str:
        return f"Value({_text(self.data)}{f', {self.name!r}' if self.name else ''})"

    def named(self, name: str) -> Value:
        """This value, called `name`."""
        self.name = name
        return self

    def backward(self) -> Backward:
        """Set the `grad` of every value that this one is computed from, and say how.

        Raises
        ------
        ValueError
            This is an array: only a single number has a gradient in this sense; ``.sum()`` makes one.
        """
        if self.data.ndim:
            raise ValueError(f"backward: the output must be a number, got shape {self.data.shape}; use .sum()")
        order = list(_order(self))
        for value in order:
            value.grad, value.readers = np.zeros_like(value.data), 0
        for value in order:
            for each in value.inputs:
                each.readers += 1
        self.grad = np.ones_like(self.data)
        steps = []
        for value in reversed(order):
            if value.inputs:
                gradients = tuple(
                    _summed(np.asarray(gradient), each.data.shape)
                    for gradient, each in zip(value._local(value.grad), value.inputs, strict=True)
                )
                for each, gradient in zip(value.inputs, gradients, strict=True):
                    each.grad = each.grad + gradient
                steps.append(Step(value, gradients))
        return Backward(self, steps)

    # ---------------------------------------------------------------- gates

    def __add__(self, other: Number) -> Value:
        rule = "distributes: each input gets the gradient"
        return _gate("add", "{} + {}", rule, np.add, lambda g, a, b, y: (g, g), self, other)

    def __sub__(self, other: Number) -> Value:
        rule = "distributes: the first input gets the gradient, the second its negative"
        return _gate("subtract", "{} - {}", rule, np.subtract, lambda g, a, b, y: (g, -g), self, other)

    def __mul__(self, other: Number) -> Value:
        rule = "switches: each input gets the gradient times the other"
        return _gate("multiply", "{} * {}", rule, np.multiply, lambda g, a, b, y: (g * b, g * a), self, other)

    def __truediv__(self, other: Number) -> Value:
        return self * _value(other).reciprocal()

    def __matmul__(self, other: Number) -> Value:
        """The product of a matrix with a vector or matrix."""

        def local(g: Array, a: Array, b: Array, y: Array) -> tuple[Array, Array]:
            if b.ndim == 1:
                return np.outer(g, b), a.T @ g
            return g @ b.T, a.T @ g

        other = _value(other)
        if self.data.ndim != 2 or other.data.ndim not in (1, 2):
            shapes = f"{self.data.shape} and {other.data.shape}"
            raise ValueError(f"matrix product: a matrix and a vector or matrix are expected, got shapes {shapes}")
        rule = "switches: each matrix gets the gradient times the other, transposed"
        return _gate("matrix product", "{} @ {}", rule, np.matmul, local, self, other)

    def __neg__(self) -> Value:
        return _gate("negate", "-{}", "gives the negative", np.negative, lambda g, x, y: (-g,), self)

    def __pow__(self, power: float) -> Value:
        n = real(power, "power")
        text = f"multiplies by the slope of x**{n:g}, {n:g} x**{n - 1:g}"
        return _gate("power", f"{{}}**{n:g}", text, lambda x: x**n, lambda g, x, y: (g * n * x ** (n - 1),), self)

    def __radd__(self, other: Number) -> Value:
        return _value(other) + self

    def __rsub__(self, other: Number) -> Value:
        return _value(other) - self

    def __rmul__(self, other: Number) -> Value:
        return _value(other) * self

    def __rtruediv__(self, other: Number) -> Value:
        return _value(other) / self

    def __rmatmul__(self, other: Number) -> Value:
        return _value(other) @ self

    def maximum(self, other: Number) -> Value:
        """The larger of the two; in a tie the first."""

        def local(g: Array, a: Array, b: Array, y: Array) -> tuple[Array, Array]:
            return np.where(a >= b, g, 0), np.where(a >= b, 0, g)

        rule = "routes: the larger input gets the gradient, the other 0"
        return _gate("max", "max({}, {})", rule, np.maximum, local, self, other)

    def relu(self) -> Value:
        """max(0, x)."""
        rule = "routes: the input gets the gradient where it is positive, else 0"
        return _gate("ReLU", "max(0, {})", rule, lambda x: np.maximum(x, 0), lambda g, x, y: (g * (x > 0),), self)

    def exp(self) -> Value:
        rule = "multiplies by its output: (e**x)' = e**x"
        return _gate("exp", "exp({})", rule, np.exp, lambda g, x, y: (g * y,), self)

    def log(self) -> Value:
        return _gate("log", "log({})", "multiplies by the slope of log x, 1/x", np.log, lambda g, x, y: (g / x,), self)

    def reciprocal(self) -> Value:
        """1/x."""
        rule = "multiplies by the slope of 1/x, -1/x**2"
        return _gate("1/x", "1/{}", rule, np.reciprocal, lambda g, x, y: (-g * y * y,), self)

    def sigmoid(self) -> Value:
        """1/(1 + exp(-x)), as one gate."""
        rule = "multiplies by the slope of s(x), (1 - s) s"
        return _gate("sigmoid", "s({})", rule, _sigmoid, lambda g, x, y: (g * (1 - y) * y,), self)

    def sum(self) -> Value:
        """The sum of all elements."""
        rule = "distributes: each element gets the gradient"
        return _gate("sum", "sum({})", rule, np.sum, lambda g, x, y: (np.full_like(x, g),), self)


def _value(given: Number) -> Value:
    """A Value; a constant is one whose gradient nobody asked for."""
    if isinstance(given, Value):
        return given
    constant = Value(given)
    constant.learns = False
    return constant


def _sigmoid(x: Array) -> Array:
    small = np.exp(-np.abs(x))  # e**x of a large x would overflow
    return np.asarray(np.where(x >= 0, 1, small) / (1 + small))


def _gate(
    gate: str, formula: str, rule: str, run: Callable[..., Any], local: Callable[..., Any], *given: Number
) -> Value:
    """The output of a gate: ``run(*arrays)``, and ``local(g, *arrays, output)``, a gradient for each array."""
    inputs = tuple(map(_value, given))
    output = Value(run(*(each.data for each in inputs)))
    output.inputs, output.gate, output.formula, output.rule = inputs, gate, formula, rule
    output._local = lambda g: local(g, *(each.data for each in inputs), output.data)
    output.learns = any(each.learns for each in inputs)
    return output


def _summed(gradient: Array, shape: tuple[int, ...]) -> Array:
    """The gradient of an array that was broadcast: summed over the axes along which it was repeated."""
    extra = gradient.ndim - len(shape)
    axes = [n for n in range(gradient.ndim) if n < extra or (shape[n - extra] == 1 and gradient.shape[n] != 1)]
    return np.asarray(gradient.sum(axis=tuple(axes), keepdims=True).reshape(shape) if axes else gradient)


def _order(of: Value) -> Iterator[Value]:
    """Every value that `of` is computed from, each after its inputs, without recursion."""
    seen: set[Value] = set()
    stack = [(of, False)]
    while stack:
        value, ready = stack.pop()
        if ready:
            yield value
        elif value not in seen:
            seen.add(value)
            stack.append((value, True))
            stack.extend((each, False) for each in reversed(value.inputs))


def _names(of: Value) -> dict[Value, str]:
    """A name for each value: its own, the number of a constant, else v1, v2... in the order of computation."""
    names: dict[Value, str] = {}
    taken = {value.name for value in _order(of)}
    number = 0
    for value in _order(of):
        if value.name:
            names[value] = value.name
        elif not value.inputs and not value.learns:
            names[value] = _text(value.data)
        else:
            number += 1
            while f"v{number}" in taken:
                number += 1
            names[value] = f"v{number}"
    return names
