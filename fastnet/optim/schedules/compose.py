"""Schedules made of schedules: one after the other, or with one for the momentum."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastnet.optim.schedules.base import Schedule, as_schedule, number, several

__all__ = ["SequentialSchedule", "WithMomentum"]


@dataclass(frozen=True, repr=False)
class SequentialSchedule(Schedule):
    """One schedule after the other (PyTorch's SequentialLR): each counts from its own start.

    ``SequentialSchedule([LinearRamp(0.01, 1), CosineDecay()], [5])`` warms up for 5 epochs, then falls in the rest of
    the run: what a schedule takes for the length of the run is the length of its own part.

    Parameters
    ----------
    schedules : sequence of Schedule or function
    milestones : sequence of float
        When each but the first begins, in units of `per`.
    """

    schedules: Sequence[Schedule | Callable[..., float]]
    milestones: Sequence[float]
    smooth: bool = field(default=False, init=False, repr=False)
    _last: dict[str, Schedule] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "schedules", several("SequentialSchedule", self.schedules))
        times = self.milestones
        if not isinstance(times, Iterable) or isinstance(times, (str, bytes, dict, set)):
            raise TypeError(f"SequentialSchedule: milestones must be a sequence of numbers, got {times!r}")
        checked = tuple(number(self, "milestones", time, positive=True) for time in times)
        if len(checked) != len(self.schedules) - 1 or any(b <= a for a, b in zip(checked, checked[1:], strict=False)):
            raise ValueError(
                f"SequentialSchedule: {len(self.schedules)} schedules need {len(self.schedules) - 1} milestones, each "
                f"later than the last, got {checked}"
            )
        object.__setattr__(self, "milestones", checked)

    @property
    def parts(self) -> tuple[Schedule, ...]:
        return self.schedules  # type: ignore[return-value]

    def _active(
        self, iteration: int, total: int | None, iterations_per_epoch: int | None
    ) -> tuple[Schedule, tuple[int, int | None, int | None]]:
        """The schedule of this iteration, and what it is called with."""
        unit = self._unit(iteration, iterations_per_epoch)
        starts = [0, *(math.ceil(time * unit) for time in self.milestones)]
        which = sum(iteration >= start for start in starts) - 1
        end = starts[which + 1] if which + 1 < len(starts) else total
        length = None if end is None else end - starts[which]
        return self.parts[which], (iteration - starts[which], length, iterations_per_epoch)

    def __call__(self, iteration: int, total: int | None = None, iterations_per_epoch: int | None = None) -> float:
        schedule, position = self._active(iteration, total, iterations_per_epoch)
        self._last["called"] = schedule
        length = self.warmup * self._unit(iteration, iterations_per_epoch)
        return (self._ramp(iteration, length) if length > 0 else 1.0) * schedule(*position)

    def observe(self, record: Mapping[str, Any]) -> None:
        if self._last:
            self._last["called"].observe(record)  # the others have not begun, or are over

    def momentum_at(self, *position: Any) -> float | None:
        schedule, inner = self._active(*_whole(*position))
        return schedule.momentum_at(*inner)

    def ends_cycle(self, *position: Any) -> bool:
        schedule, inner = self._active(*_whole(*position))
        return schedule.ends_cycle(*inner)


def _whole(
    iteration: int, total: int | None = None, iterations_per_epoch: int | None = None
) -> tuple[int, int | None, int | None]:
    return iteration, total, iterations_per_epoch


@dataclass(frozen=True, repr=False)
class WithMomentum(Schedule):
    """A schedule of the rate, and one of the momentum: ``WithMomentum(StepDecay(20), LinearRamp(0.5, 0.99))``.

    Parameters
    ----------
    schedule : Schedule or function
        Of the rate.
    momentum : Schedule or function
        Its values are the momentum, in [0, 1); for Adam it is beta1.
    """

    schedule: Schedule
    momentum: Schedule
    smooth: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("schedule", "momentum"):
            object.__setattr__(self, name, as_schedule(getattr(self, name), f"WithMomentum: {name}"))
        if self.warmup:
            raise ValueError("WithMomentum: give warmup to the schedule of the rate")

    @property
    def parts(self) -> tuple[Schedule, ...]:
        return self.schedule, self.momentum

    def __call__(self, iteration: int, total: int | None = None, iterations_per_epoch: int | None = None) -> float:
        return self.schedule(iteration, total, iterations_per_epoch)

    def momentum_at(self, *position: Any) -> float | None:
        if self.schedule.momentum_at(*position) is not None:
            raise ValueError(f"WithMomentum: {type(self.schedule).__name__} sets the momentum, too; leave one")
        return self.momentum(*position)

    def ends_cycle(self, *position: Any) -> bool:
        return self.schedule.ends_cycle(*position)
