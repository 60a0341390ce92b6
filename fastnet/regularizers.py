"""Penalties on the weights, added to the loss that is reported and to the gradients, and bounds on their norms.

``Solver(regularizer=L1(1e-5) + MaxNorm(3))`` uses them; in a loop of your own, ``regularizer.loss(parameters)`` is the
penalty, ``add_gradients(parameters)`` belongs between the backward pass and the optimiser's step, and
``project(parameters)`` after the step.

Only parameters that require a gradient and have ``decay=True`` are concerned: never biases, never those of norms.  A
strength may be a number, for all of them, or a mapping from patterns to numbers: each parameter gets the number of the
first pattern that fits its name, and 0 if there is none.  A pattern is a layer's path ("layer1", with all below it), a
parameter's name, or has ``*`` and ``?`` ("*.conv?.weight").
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastnet.arguments import flag, integer, real
from fastnet.backends import current
from fastnet.layers import Parameter
from fastnet.layers.names import fits, near
from fastnet.layers.parameter import parameters_of
from fastnet.ops import REGISTRY

__all__ = ["Combined", "ElasticNet", "L1", "L2", "MaxNorm", "Regularizer"]

Strength = float | Mapping[str, float]
"""A number, or patterns of parameters' names and their numbers."""


class Regularizer:
    """The base class: adds nothing.

    A subclass overrides what it does.  ``a + b`` does what both do.
    """

    def loss(self, parameters: Iterable[Parameter]) -> float:
        """The penalty, summed in float64."""
        return 0.0

    def add_gradients(self, parameters: Iterable[Parameter]) -> None:
        """Add the penalty's gradient to each ``parameter.grad``; parameters without a gradient are left alone."""

    def project(self, parameters: Iterable[Parameter]) -> None:
        """Move the parameters, after a step, to the nearest ones that the bounds allow."""

    @property
    def bounds(self) -> bool:
        """Whether `project` does anything."""
        return type(self).project is not Regularizer.project

    def __add__(self, other: Regularizer) -> Combined:
        return Combined(self, other) if isinstance(other, Regularizer) else NotImplemented


class Combined(Regularizer):
    """Several regularizers, one after the other.

    Parameters
    ----------
    *parts : Regularizer
    """

    def __init__(self, *parts: Regularizer) -> None:
        for part in parts:
            if not isinstance(part, Regularizer):
                raise TypeError(f"Combined: expects regularizers such as L2(1e-4), got {part!r}")
        self.parts: tuple[Regularizer, ...] = tuple(
            one for part in parts for one in (part.parts if isinstance(part, Combined) else (part,))
        )

    @property
    def bounds(self) -> bool:
        return any(part.bounds for part in self.parts)

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.parts)) or "Combined()"

    def loss(self, parameters: Iterable[Parameter]) -> float:
        parameters = parameters_of(parameters, "Combined")
        return math.fsum(part.loss(parameters) for part in self.parts)

    def add_gradients(self, parameters: Iterable[Parameter]) -> None:
        parameters = parameters_of(parameters, "Combined")
        for part in self.parts:
            part.add_gradients(parameters)

    def project(self, parameters: Iterable[Parameter]) -> None:
        parameters = parameters_of(parameters, "Combined")
        for part in self.parts:
            part.project(parameters)


class _Penalty(Regularizer):
    """sum over parameters of ``l1 * sum(|W|) + l2/2 * sum(W**2)``, where each has strengths of its own."""

    def __init__(self, l1: Strength, l2: Strength) -> None:
        self._l1, self._l2 = l1, l2

    def _terms(self, parameters: Iterable[Parameter]) -> list[tuple[Parameter, float, float]]:
        """(parameter, l1, l2) of those that are penalised."""
        name = type(self).__name__
        concerned = [p for p in parameters_of(parameters, name) if p.requires_grad and p.decay]
        strengths = numbers_of(name, self._l1, concerned), numbers_of(name, self._l2, concerned)
        return [(p, l1, l2) for p, l1, l2 in zip(concerned, *strengths, strict=True) if l1 or l2]

    def loss(self, parameters: Iterable[Parameter]) -> float:
        ops, total, terms = current(), 0.0, self._terms(parameters)
        sums = ops.power_sums_each([ops.contiguous(p.value) for p, _, _ in terms])
        for (_, l1, l2), (absolute, squares) in zip(terms, sums, strict=True):
            total += (l1 * absolute if l1 else 0.0) + (l2 / 2 * squares if l2 else 0.0)
        return total

    def add_gradients(self, parameters: Iterable[Parameter]) -> None:
        groups: dict[tuple[float, float], list[tuple[Any, ...]]] = {}
        for p, l1, l2 in self._terms(parameters):
            if p.grad is not None:
                groups.setdefault((l1, l2), []).append((p.value, p.grad))
        for (l1, l2), updates in groups.items():
            current().update_each(REGISTRY["add_penalty"], updates, {"l1": l1, "l2": l2})


class L2(_Penalty):
    """``strength/2 * sum(W**2)`` with `half` (the default), ``strength * sum(W**2)``, the lectures' form, without.

    The gradient is ``strength * W`` with `half`, so that L2(0.001) and an optimiser's ``weight_decay=0.001`` have the
    same effect on plain SGD, and ``2 * strength * W`` without.

    Parameters
    ----------
    strength : float or mapping of patterns to float
        lambda >= 0; see `fastnet.regularizers`.
    half : bool
        Whether the penalty has the factor 1/2.
    """

    def __init__(self, strength: Strength, half: bool = True) -> None:
        self.strength, self.half = strength_of(strength, "L2: strength"), flag(half, "L2: half")
        super().__init__(0.0, self.strength if self.half else times(2, self.strength))

    def __repr__(self) -> str:
        return f"L2({self.strength}, half={self.half})"


class L1(_Penalty):
    """``strength * sum(|W|)``, with the gradient ``strength * sign(W)``, 0 where W is 0 (Tibshirani 1996).

    Parameters
    ----------
    strength : float or mapping of patterns to float
        lambda >= 0; see `fastnet.regularizers`.
    """

    def __init__(self, strength: Strength) -> None:
        self.strength = strength_of(strength, "L1: strength")
        super().__init__(self.strength, 0.0)

    def __repr__(self) -> str:
        return f"L1({self.strength})"


class ElasticNet(_Penalty):
    """``l1 * sum(|W|) + l2 * sum(W**2)``, without a factor 1/2 (Zou & Hastie 2005).

    The lectures write ``beta W**2 + |W|`` times a strength lambda: ``ElasticNet(lambda, lambda * beta)``, which
    :meth:`of` makes; or ``beta W**2 + gamma |W|``: ``ElasticNet(gamma, beta)``.

    Parameters
    ----------
    l1, l2 : float or mapping of patterns to float
        Both >= 0; see `fastnet.regularizers`.
    """

    def __init__(self, l1: Strength, l2: Strength) -> None:
        self.l1, self.l2 = strength_of(l1, "ElasticNet: l1"), strength_of(l2, "ElasticNet: l2")
        super().__init__(self.l1, times(2, self.l2))

    @classmethod
    def of(cls, strength: float, beta: float) -> ElasticNet:
        """``strength * sum(beta * W**2 + |W|)``."""
        number = real(strength, "ElasticNet.of: strength")
        return cls(number, number * real(beta, "ElasticNet.of: beta"))

    def __repr__(self) -> str:
        return f"ElasticNet({self.l1}, {self.l2})"


class MaxNorm(Regularizer):
    """``||w|| <= limit`` for the weights w of each neuron or filter, enforced after each update.

    A longer w is scaled to length `limit`, its projection on the ball (Srebro et al. 2005; with dropout, Srivastava et
    al. 2014, with limits of 3 to 4).

    Parameters
    ----------
    limit : float or mapping of patterns to float
        c > 0; see `fastnet.regularizers`.
    axis : int
        The weight's axis of neurons or filters, along which w is not summed: 0 for Linear and Conv2d, whose weights are
        (out, in) and (K, C, R, S), 1 for ConvTranspose2d, whose weights are (C, K, R, S).
    """

    def __init__(self, limit: Strength, axis: int = 0) -> None:
        self.limit, self.axis = strength_of(limit, "MaxNorm: limit", True), integer(axis, "MaxNorm: axis", 0)

    def __repr__(self) -> str:
        return f"MaxNorm({self.limit}{f', axis={self.axis}' if self.axis else ''})"

    def project(self, parameters: Iterable[Parameter]) -> None:
        concerned = [p for p in parameters_of(parameters, "MaxNorm") if p.requires_grad and p.decay]
        groups: dict[tuple[int, int, float], list[tuple[Any, ...]]] = {}
        for p, limit in zip(concerned, numbers_of("MaxNorm", self.limit, concerned), strict=True):
            if not limit or not p.size:
                continue
            if len(p.shape) <= self.axis:
                raise ValueError(f"MaxNorm: axis={self.axis}, but {p.name or 'a parameter'} has shape {p.shape}")
            shape = p.shape[self.axis :]
            groups.setdefault((shape[0], math.prod(shape[1:]), limit), []).append((p.value,))
        for (rows, after, limit), updates in groups.items():
            attributes = {"rows": rows, "after": after, "limit": limit}
            current().update_each(REGISTRY["limit_norms"], updates, attributes)


# ---------------------------------------------------------------- strengths


def strength_of(strength: Strength, name: str, positive: bool = False) -> Strength:
    """A number >= 0 (or > 0), or a mapping of patterns to such numbers; TypeError or ValueError otherwise."""
    if isinstance(strength, Mapping):
        if not strength:
            raise ValueError(f"{name}: the mapping has no patterns")
        if wrong := [pattern for pattern in strength if not isinstance(pattern, str)]:
            raise TypeError(f"{name}: patterns of parameters' names must be str, got {wrong[0]!r}")
        return {pattern: _number(value, f"{name}[{pattern!r}]", positive) for pattern, value in strength.items()}
    return _number(strength, name, positive)


def _number(value: float, name: str, positive: bool) -> float:
    number = real(value, name)
    if number < 0 or (positive and number == 0):
        raise ValueError(f"{name} must be a finite number {'>' if positive else '>='} 0, got {value!r}")
    return number


def times(factor: float, strength: Strength) -> Strength:
    """A strength multiplied by a number."""
    if isinstance(strength, Mapping):
        return {pattern: factor * value for pattern, value in strength.items()}
    return factor * strength


def numbers_of(name: str, strength: Strength, parameters: Sequence[Parameter]) -> list[float]:
    """The strength of each parameter; ValueError if a pattern fits none of their names."""
    if not isinstance(strength, Mapping):
        return [strength] * len(parameters)
    unused, numbers = dict.fromkeys(strength), []
    for p in parameters:
        fitting = [pattern for pattern in strength if fits(pattern, p.name)]
        for pattern in fitting:
            unused.pop(pattern, None)
        numbers.append(strength[fitting[0]] if fitting else 0.0)
    if unused:
        pattern, names = next(iter(unused)), [p.name for p in parameters]
        raise ValueError(
            f"{name}: no parameter that is regularized is named {pattern!r}; {near(pattern, names)} (biases, norms' "
            "parameters and frozen ones are not regularized)"
        )
    return numbers
