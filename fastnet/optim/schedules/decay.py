"""Schedules that only fall: constant, step, exponential, 1/t, linear, polynomial, cosine; and a linear ramp."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fastnet.arguments import flag
from fastnet.optim.schedules.base import Schedule, fraction_done, number

__all__ = [
    "ConstantLR",
    "StepDecay",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LinearDecay",
    "PolynomialDecay",
    "CosineDecay",
    "LinearRamp",
]


@dataclass(frozen=True, repr=False)
class ConstantLR(Schedule):
    """Constantly `factor` (after the warm-up)."""

    factor: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._take("factor")

    def _decay(self, t: float, total: float | None, step: float) -> float:
        return self.factor


@dataclass(frozen=True, repr=False)
class StepDecay(Schedule):
    """Multiply by `factor` every `every` epochs, or at each time of a sequence (PyTorch's StepLR and MultiStepLR).

    StepDecay(10) divides the rate by 10 after every 10 epochs; StepDecay((80, 120)) after epochs 80 and 120.
    """

    every: float | Sequence[float]
    factor: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        every: Any = self.every
        if isinstance(every, Iterable) and getattr(every, "shape", None) != ():
            if isinstance(every, (bytes, dict, set)) or not len(every := tuple(every)):
                raise TypeError(f"StepDecay: every must be a number or a sequence of numbers, got {self.every!r}")
            object.__setattr__(self, "every", tuple(number(self, "every", time, positive=True) for time in every))
        else:
            self._take("every", positive=True)
        self._take("factor", positive=True)

    def _decay(self, t: float, total: float | None, step: float) -> float:
        every: Any = self.every
        return float(self.factor ** (sum(t >= m for m in every) if isinstance(every, tuple) else t // every))


@dataclass(frozen=True, repr=False)
class ExponentialDecay(Schedule):
    """``exp(-k*t)``."""

    k: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._take("k")

    def _decay(self, t: float, total: float | None, step: float) -> float:
        return math.exp(-self.k * t)


@dataclass(frozen=True, repr=False)
class InverseTimeDecay(Schedule):
    """``1 / (1 + k*t)``."""

    k: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._take("k")

    def _decay(self, t: float, total: float | None, step: float) -> float:
        return 1 / (1 + self.k * t)


@dataclass(frozen=True, repr=False)
class ToTheEnd(Schedule):
    """From 1 at t = 0 to `minimum` at t = `total`, in a shape that a subclass gives as ``_shape(fraction)``."""

    total: float | None = None
    minimum: float = 0.0
    per: Literal["epoch", "iteration"] = field(default="iteration", kw_only=True)
    hold: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.total is not None:
            self._take("total", positive=True)
        self._take("minimum")
        flag(self.hold, f"{type(self).__name__}: hold")

    def _decay(self, t: float, total: float | None, step: float) -> float:
        return self.minimum + (1 - self.minimum) * self._shape(fraction_done(self, t, self.total, total, self.hold))

    def _shape(self, fraction: float) -> float:
        raise NotImplementedError


@dataclass(frozen=True, repr=False)
class LinearDecay(ToTheEnd):
    """``1 - t/total``, down to `minimum`; the parameters are :class:`CosineDecay`'s."""

    def _shape(self, fraction: float) -> float:
        return 1 - fraction


@dataclass(frozen=True, repr=False)
class PolynomialDecay(ToTheEnd):
    """``(1 - t/total)**power``, down to `minimum` (PyTorch's PolynomialLR; its default power is 1).

    The parameters are :class:`CosineDecay`'s, and `power`.
    """

    power: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._take("power", positive=True)

    def _shape(self, fraction: float) -> float:
        return float((1 - fraction) ** self.power)


@dataclass(frozen=True, repr=False)
class CosineDecay(ToTheEnd):
    """``(1 + cos(pi * t/total)) / 2``, down to `minimum` (Loshchilov & Hutter 2017, arXiv:1608.03983).

    Parameters
    ----------
    total : float, optional
        In units of `per`, which is "iteration" here by default; None is the whole run.
    minimum : float
        As a fraction of the base rate.
    hold : bool
        Whether to stay at `minimum` where t > total, which is an error otherwise.
    """

    def _shape(self, fraction: float) -> float:
        return 0.5 * (1 + math.cos(math.pi * fraction))


@dataclass(frozen=True, repr=False)
class LinearRamp(Schedule):
    """From `start` to `stop` in a straight line, for settings that are not factors: a momentum from 0.5 to 0.99.

    Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013, raise the momentum in
    the course of training; the CS231n notes name 0.5 and 0.99.

    Parameters
    ----------
    start, stop : float
    total, hold
        As for :class:`CosineDecay`.
    """

    start: float = 0.5
    stop: float = 0.99
    total: float | None = None
    per: Literal["epoch", "iteration"] = field(default="iteration", kw_only=True)
    hold: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._take("start")
        self._take("stop")
        if self.total is not None:
            self._take("total", positive=True)
        flag(self.hold, "LinearRamp: hold")

    def _decay(self, t: float, total: float | None, step: float) -> float:
        return self.start + (self.stop - self.start) * fraction_done(self, t, self.total, total, self.hold)
