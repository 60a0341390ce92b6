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
    _state: dict[str, int] = field(default_factory=lambda: {"part": 0}, init=False, repr=False, compare=False)

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

    def check(self, total: int, iterations_per_epoch: int | None = None) -> None:
        starts = self._starts(self._unit(0, iterations_per_epoch))
        for part, start, end in zip(self.parts, starts, [*starts[1:], total], strict=True):
            if start < total:
                part.check(min(end, total) - start, iterations_per_epoch)

    def _starts(self, unit: int) -> list[int]:
        return [0, *(math.ceil(time * unit) for time in self.milestones)]

    def _active(
        self, iteration: int, total: int | None, iterations_per_epoch: int | None
    ) -> tuple[int, tuple[int, int | None, int | None]]:
        """The number of this iteration's schedule, and what it is called with."""
        starts = self._starts(self._unit(iteration, iterations_per_epoch))
        which = sum(iteration >= start for start in starts) - 1
        end = starts[which + 1] if which + 1 < len(starts) else total
        length = None if end is None else end - starts[which]
        return which, (iteration - starts[which], length, iterations_per_epoch)

    def __call__(self, iteration: int, total: int | None = None, iterations_per_epoch: int | None = None) -> float:
        which, position = self._active(iteration, total, iterations_per_epoch)
        self._state["part"] = which
        length = self.warmup * self._unit(iteration, iterations_per_epoch)
        return (self._ramp(iteration, length) if length > 0 else 1.0) * self.parts[which](*position)

    def observe(self, record: Mapping[str, Any]) -> None:
        self.parts[self._state["part"]].observe(record)  # the others have not begun, or are over

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), **self._state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._state["part"] = int(state["part"])

    def momentum_at(self, *position: Any) -> float | None:
        which, inner = self._active(*_whole(*position))
        return self.parts[which].momentum_at(*inner)

    def ends_cycle(self, *position: Any) -> bool:
        which, inner = self._active(*_whole(*position))
        return self.parts[which].ends_cycle(*inner)


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
