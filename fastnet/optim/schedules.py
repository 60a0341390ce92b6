"""Learning-rate schedules: pure functions of the position in training, so a resumed run needs no state.

``schedule(iteration, total, iterations_per_epoch)`` is the factor on the optimiser's base rate, with `iteration` from
0.  Time t is in whole epochs or in iterations, as `per` says.  Solver passes `total` and `iterations_per_epoch`.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from fastnet.arguments import frozen, real

__all__ = [
    "Schedule",
    "ConstantLR",
    "StepDecay",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LinearDecay",
    "CosineDecay",
    "LinearWarmup",
]


def _number(schedule: object, name: str, value: Any, positive: bool = False) -> Any:
    """`value`, Python's or NumPy's, as a Python number, so that a schedule's repr does not depend on which it was."""
    number, plain = real(value, f"{type(schedule).__name__}: {name}"), frozen(value)
    if not (number > 0 if positive else number >= 0):
        raise ValueError(f"{type(schedule).__name__}: {name} must be {'>' if positive else '>='} 0, got {plain}")
    return int(plain) if isinstance(plain, numbers.Integral) else number


@dataclass(frozen=True)
class Schedule:
    """The base class: units of time and warm-up; a subclass implements ``_decay(t, total)``.

    Parameters
    ----------
    per : "epoch" or "iteration"
        The unit of all times given to the schedule.
    warmup : float
        Length of a linear warm-up, in units of `per`: in iteration i (from 0) of its W the schedule's factor is
        multiplied by ``(i + 1)/W``.  Decay counts from the start of training, warm-up included (Goyal et al. 2017).
    """

    per: Literal["epoch", "iteration"] = field(default="epoch", kw_only=True)
    warmup: float = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        if self.per not in ("epoch", "iteration"):
            raise ValueError(f"{type(self).__name__}: per must be 'epoch' or 'iteration', got {self.per!r}")
        self._take("warmup")

    def _take(self, name: str, positive: bool = False) -> None:
        """Check a field that is a number."""
        object.__setattr__(self, name, _number(self, name, getattr(self, name), positive))

    def __call__(self, iteration: int, total: int | None = None, iterations_per_epoch: int | None = None) -> float:
        """The factor on the base rate.

        Parameters
        ----------
        iteration : int
            Updates done so far, >= 0.
        total : int, optional
            Iterations of the whole run.
        iterations_per_epoch : int, optional
            Needed when time counts in epochs.

        Raises
        ------
        ValueError
            A value that the schedule needs is missing.
        """
        if iteration < 0:
            raise ValueError(f"{type(self).__name__}: iteration must be >= 0, got {iteration}")
        unit = 1
        if self.per == "epoch":
            if not iterations_per_epoch or iterations_per_epoch < 1:
                raise ValueError(
                    f"{type(self).__name__}: per='epoch' needs iterations_per_epoch >= 1, "
                    f"got {iterations_per_epoch!r}; give it, or choose per='iteration'"
                )
            unit = iterations_per_epoch
        length = self.warmup * unit
        ramp = min((iteration + 1) / length, 1.0) if length > 0 else 1.0
        return ramp * self._decay(iteration // unit, None if total is None else total / unit)

    def _decay(self, t: int, total: float | None) -> float:
        raise NotImplementedError


@dataclass(frozen=True)
class ConstantLR(Schedule):
    """Constantly 1 (after the warm-up)."""

    def _decay(self, t: int, total: float | None) -> float:
        return 1.0


@dataclass(frozen=True)
class StepDecay(Schedule):
    """Multiply by `factor` every `every` epochs, or at each time of a sequence (PyTorch's StepLR and MultiStepLR).

    StepDecay(10) divides the rate by 10 after every 10 epochs; StepDecay((80, 120)) after epochs 80 and 120.
    """

    every: int | tuple[int, ...]
    factor: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        every: Any = self.every
        if isinstance(every, Iterable) and getattr(every, "shape", None) != ():
            if isinstance(every, (bytes, dict, set)) or not len(every := tuple(every)):
                raise TypeError(f"StepDecay: every must be a number or a sequence of numbers, got {self.every!r}")
            object.__setattr__(self, "every", tuple(_number(self, "every", time, positive=True) for time in every))
        else:
            self._take("every", positive=True)
        self._take("factor", positive=True)

    def _decay(self, t: int, total: float | None) -> float:
        steps = sum(t >= m for m in self.every) if isinstance(self.every, tuple) else t // self.every
        return self.factor**steps


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """``exp(-k*t)``."""

    k: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._take("k")

    def _decay(self, t: int, total: float | None) -> float:
        return math.exp(-self.k * t)


@dataclass(frozen=True)
class InverseTimeDecay(Schedule):
    """``1 / (1 + k*t)``."""

    k: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._take("k")

    def _decay(self, t: int, total: float | None) -> float:
        return 1 / (1 + self.k * t)


@dataclass(frozen=True)
class _ToTheEnd(Schedule):
    """From 1 at t = 0 to `minimum` at t = `total`, in a shape that a subclass gives as ``_shape(fraction)``."""

    total: float | None = None
    minimum: float = 0.0
    per: Literal["epoch", "iteration"] = field(default="iteration", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.total is not None:
            self._take("total", positive=True)
        self._take("minimum")

    def _decay(self, t: int, total: float | None) -> float:
        total = self.total if self.total is not None else total
        if not total:
            raise ValueError(
                f"{type(self).__name__}: the length of the run is unknown; give total (in units of per={self.per!r})"
            )
        return self.minimum + (1 - self.minimum) * self._shape(min(t / total, 1.0))

    def _shape(self, fraction: float) -> float:
        raise NotImplementedError


@dataclass(frozen=True)
class LinearDecay(_ToTheEnd):
    """``1 - t/total``, down to `minimum` (a fraction of the base rate); `total` None is the whole run."""

    def _shape(self, fraction: float) -> float:
        return 1 - fraction


@dataclass(frozen=True)
class CosineDecay(_ToTheEnd):
    """``(1 + cos(pi * t/total)) / 2``, down to `minimum` (Loshchilov & Hutter 2017); `total` None is the whole run.

    Parameters
    ----------
    total : float, optional
        In units of `per`, which is "iteration" here by default.
    minimum : float
        As a fraction of the base rate.
    """

    def _shape(self, fraction: float) -> float:
        return 0.5 * (1 + math.cos(math.pi * fraction))


@dataclass(frozen=True)
class LinearWarmup(Schedule):
    """Warm-up of `length` (in units of `per`) in front of any schedule: ``LinearWarmup(5, StepDecay((30, 60)))``."""

    length: float
    schedule: Schedule = ConstantLR()

    def __post_init__(self) -> None:
        if real(self.warmup, "LinearWarmup: warmup") != 0:
            raise ValueError("LinearWarmup: give the length of the warm-up as its first argument, not as warmup=")
        if not callable(self.schedule):
            raise TypeError(f"LinearWarmup: schedule must be a Schedule, or a function like one, got {self.schedule!r}")
        self._take("length", positive=True)
        object.__setattr__(self, "warmup", self.length)
        super().__post_init__()

    def __call__(self, iteration: int, total: int | None = None, iterations_per_epoch: int | None = None) -> float:
        ramp = super().__call__(iteration, total, iterations_per_epoch)
        return ramp * self.schedule(iteration, total, iterations_per_epoch)

    def _decay(self, t: int, total: float | None) -> float:
        return 1.0
