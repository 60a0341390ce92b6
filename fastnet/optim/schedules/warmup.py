"""Warm-ups in front of any schedule."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fastnet.arguments import real
from fastnet.optim.schedules.base import Schedule, as_schedule
from fastnet.optim.schedules.decay import ConstantLR

__all__ = ["LinearWarmup", "ConstantWarmup"]


@dataclass(frozen=True, repr=False)
class _Warmup(Schedule):
    """A factor on another schedule, which counts from the start of training, warm-up included."""

    length: float
    schedule: Schedule = ConstantLR(per="iteration")
    warmup: float = field(default=0, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        kind = type(self).__name__
        if real(self.warmup, f"{kind}: warmup") != 0:
            raise ValueError(f"{kind}: give the length of the warm-up as its first argument, not as warmup=")
        object.__setattr__(self, "schedule", as_schedule(self.schedule, f"{kind}: schedule"))
        self._take("length", positive=True)
        object.__setattr__(self, "warmup", self.length)
        super().__post_init__()

    def __call__(self, iteration: int, total: int | None = None, iterations_per_epoch: int | None = None) -> float:
        ramp = super().__call__(iteration, total, iterations_per_epoch)
        return ramp * self.schedule(iteration, total, iterations_per_epoch)

    def _decay(self, t: float, total: float | None, step: float) -> float:
        return 1.0

    @property
    def parts(self) -> tuple[Schedule, ...]:
        return (self.schedule,)

    def momentum_at(self, *position: Any) -> float | None:
        return self.schedule.momentum_at(*position)

    def ends_cycle(self, *position: Any) -> bool:
        return self.schedule.ends_cycle(*position)


@dataclass(frozen=True, repr=False)
class LinearWarmup(_Warmup):
    """Warm-up of `length` (in units of `per`) in front of any schedule: ``LinearWarmup(5, StepDecay((30, 60)))``.

    Iteration i (from 0) of its W has the factor ``(i + 1)/W``, or with `start` ``start + (1 - start)*i/W``, as
    PyTorch's LinearLR has (Goyal et al. 2017, arXiv:1706.02677).

    Parameters
    ----------
    length : float
    schedule : Schedule or function
        Counts from the start of training, warm-up included; :class:`SequentialSchedule` starts it after the warm-up.
    start : float, optional
        The first factor.
    """

    start: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start is not None:
            self._take("start")

    def _ramp(self, iteration: int, length: float) -> float:
        if self.start is None:
            return super()._ramp(iteration, length)
        return self.start + (1 - self.start) * min(iteration / length, 1.0)


@dataclass(frozen=True, repr=False)
class ConstantWarmup(_Warmup):
    """`factor` for the first `length` (in units of `per`), then 1, times any schedule (PyTorch's ConstantLR).

    He et al. 2016, arXiv:1512.03385, train their 110-layer network at a tenth of the rate first.
    """

    factor: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._take("factor")

    def _ramp(self, iteration: int, length: float) -> float:
        return self.factor if iteration < length else 1.0
