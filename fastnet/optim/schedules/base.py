"""Schedule: the base class, with units of time, warm-up, and what schedules can do besides giving a factor."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from fastnet.arguments import flag, frozen, integer, real
from fastnet.arrays import on_host
from fastnet.types import Array

if TYPE_CHECKING:
    import os

__all__ = ["Schedule", "FunctionSchedule", "ProductSchedule", "as_schedule"]


def number(schedule: object, name: str, value: Any, positive: bool = False) -> Any:
    """`value`, Python's or NumPy's, as a Python number, so that a schedule's repr does not depend on which it was."""
    checked, plain = real(value, f"{type(schedule).__name__}: {name}"), frozen(value)
    if not (checked > 0 if positive else checked >= 0):
        raise ValueError(f"{type(schedule).__name__}: {name} must be {'>' if positive else '>='} 0, got {plain}")
    return int(plain) if isinstance(plain, numbers.Integral) else checked


@dataclass(frozen=True, repr=False)
class Schedule:
    """The base class: units of time and warm-up; a subclass implements ``_decay(t, total, step)``.

    Schedules multiply: ``CosineDecay() * StepDecay(30)`` is a :class:`ProductSchedule`.

    Parameters
    ----------
    per : "epoch" or "iteration"
        The unit of all times given to the schedule.
    warmup : float
        Length of a linear warm-up, in units of `per`: in iteration i (from 0) of its W the schedule's factor is
        multiplied by ``(i + 1)/W``.  Decay counts from the start of training, warm-up included (Goyal et al. 2017).
    smooth : bool
        With per="epoch": whether time runs on within an epoch, instead of standing still until it ends.
    """

    per: Literal["epoch", "iteration"] = field(default="epoch", kw_only=True)
    warmup: float = field(default=0, kw_only=True)
    smooth: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        if self.per not in ("epoch", "iteration"):
            raise ValueError(f"{type(self).__name__}: per must be 'epoch' or 'iteration', got {self.per!r}")
        self._take("warmup")
        object.__setattr__(self, "smooth", flag(self.smooth, f"{type(self).__name__}: smooth"))

    def __repr__(self) -> str:
        """The call that makes it, without arguments that have their default."""
        given = (
            f"{item.name}={value!r}"
            for item in sorted(fields(self), key=lambda item: bool(item.kw_only))
            if item.repr and (value := getattr(self, item.name)) != item.default
        )
        return f"{type(self).__name__}({', '.join(given)})"

    def _take(self, name: str, positive: bool = False) -> None:
        """Check a field that is a number."""
        object.__setattr__(self, name, number(self, name, getattr(self, name), positive))

    # ---------------------------------------------------------------- values

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
            A value that the schedule needs is missing, or the schedule has ended before this iteration.
        """
        unit = self._unit(iteration, iterations_per_epoch)
        length = self.warmup * unit
        return (self._ramp(iteration, length) if length > 0 else 1.0) * self._decay(*self._time(iteration, total, unit))

    def _unit(self, iteration: int, iterations_per_epoch: int | None) -> int:
        """Iterations in a unit of time."""
        if iteration < 0:
            raise ValueError(f"{type(self).__name__}: iteration must be >= 0, got {iteration}")
        if self.per == "iteration":
            return 1
        if not iterations_per_epoch or iterations_per_epoch < 1:
            raise ValueError(
                f"{type(self).__name__}: per='epoch' needs iterations_per_epoch >= 1, "
                f"got {iterations_per_epoch!r}; give it, or choose per='iteration'"
            )
        return iterations_per_epoch

    def _time(self, iteration: int, total: int | None, unit: int) -> tuple[float, float | None, float]:
        """Now, the length of the run, and the least step of time."""
        now, step = (iteration / unit, 1 / unit) if self.smooth else (iteration // unit, 1)
        return now, None if total is None else total / unit, step

    def _ramp(self, iteration: int, length: float) -> float:
        return min((iteration + 1) / length, 1.0)

    def _decay(self, t: float, total: float | None, step: float) -> float:
        raise NotImplementedError

    def momentum_at(
        self, iteration: int, total: int | None = None, iterations_per_epoch: int | None = None
    ) -> float | None:
        """The momentum of this iteration, for :meth:`Optimizer.step`; None where the optimiser's own stays."""
        return None

    def ends_cycle(self, iteration: int, total: int | None = None, iterations_per_epoch: int | None = None) -> bool:
        """Whether a cycle ends with this iteration, in which the rate is lowest; never for schedules without cycles."""
        return False

    def check(self, total: int, iterations_per_epoch: int | None = None) -> None:
        """Raise ValueError if the schedule, or one of its parts, ends before a run of `total` iterations does."""
        self.momentum_at(total - 1, total, iterations_per_epoch)
        for part in self.parts:
            part.check(total, iterations_per_epoch)
        if not self.parts:
            self(total - 1, total, iterations_per_epoch)

    # ---------------------------------------------------------------- what depends on the run

    @property
    def parts(self) -> tuple[Schedule, ...]:
        """The schedules of which this one is composed."""
        return ()

    @property
    def monitors(self) -> set[str]:
        """The columns of the history on which the factor depends; empty if it is a function of the position alone."""
        return set().union(*(part.monitors for part in self.parts))

    def observe(self, record: Mapping[str, Any]) -> None:
        """See the results of an epoch, ``{"val_loss": 0.3, ...}``, as Solver's history has them."""
        for part in self.parts:
            part.observe(record)

    def state_dict(self) -> dict[str, Any]:
        """What the schedule remembers of the run, as plain values; {} if it is a function of the position alone."""
        return {str(position): part.state_dict() for position, part in enumerate(self.parts) if part.monitors}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for position, part in enumerate(self.parts):
            if part.monitors:
                part.load_state_dict(state[str(position)])

    # ---------------------------------------------------------------- composition, pictures

    def __mul__(self, other: Schedule) -> Schedule:
        return ProductSchedule((self, other)) if callable(other) else NotImplemented

    def values(self, total: int, iterations_per_epoch: int | None = None) -> Array:
        """The factors of iterations 0 to total - 1, (total,) float64.

        Raises
        ------
        ValueError
            The schedule ends earlier, depends on the run's results (`monitors`), or gives what is no factor.
        """
        if self.monitors:
            raise ValueError(
                f"{type(self).__name__}: the factors depend on {', '.join(sorted(self.monitors))}, so they are known "
                "only after training: History.learning_rates"
            )
        total = integer(total, f"{type(self).__name__}: total")
        given = [real(self(i, total, iterations_per_epoch), f"{self!r}: a factor") for i in range(total)]
        if min(given) < 0:
            raise ValueError(f"{self!r}: a factor must be >= 0, got {min(given)!r}")
        return on_host(given)

    def plot(
        self,
        total: int,
        iterations_per_epoch: int | None = None,
        lr: float = 1.0,
        path: str | os.PathLike[str] | None = None,
        axes: Any = None,
    ) -> Any:
        """Draw the learning rate, and the momentum where the schedule sets it, over a run of `total` iterations.

        Parameters
        ----------
        total : int
        iterations_per_epoch : int, optional
            The axis then counts epochs.
        lr : float
            The optimiser's base rate.
        path : path, optional
            Write the plot there (PNG, PDF, SVG by the suffix); no window or display is needed.
        axes : matplotlib.axes.Axes, optional
            Draw there, for several schedules in one picture; the line's label is the schedule's repr.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            matplotlib is not installed.
        ValueError
            As `values`.
        """
        from fastnet.optim.schedules.picture import draw

        return draw(self, total, iterations_per_epoch, real(lr, f"{type(self).__name__}: lr"), path, axes)


@dataclass(frozen=True, repr=False)
class FunctionSchedule(Schedule):
    """A function ``(iteration, total, iterations_per_epoch) -> factor`` as a Schedule (PyTorch's LambdaLR).

    Solver, and the schedules made of schedules, take plain functions, too.
    """

    function: Callable[[int, int | None, int | None], float]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.function) or isinstance(self.function, type):
            raise TypeError(f"FunctionSchedule: function must be callable, got {self.function!r}")
        if self.warmup or self.smooth:
            raise ValueError("FunctionSchedule: warmup and smooth are the function's own; LinearWarmup goes around it")

    def __repr__(self) -> str:
        return str(getattr(self.function, "__name__", type(self.function).__name__))

    def __call__(self, iteration: int, total: int | None = None, iterations_per_epoch: int | None = None) -> float:
        return self.function(iteration, total, iterations_per_epoch)

    def check(self, total: int, iterations_per_epoch: int | None = None) -> None:
        """Nothing: the function is called in the run alone."""


def as_schedule(given: Any, name: str) -> Schedule:
    """A Schedule itself, or a function as one; TypeError for anything else, which begins with `name`."""
    if isinstance(given, Schedule):
        return given
    if not callable(given) or isinstance(given, type):
        raise TypeError(f"{name} must be a Schedule, or a function like one, got {given!r}")
    return FunctionSchedule(given)


def several(kind: str, given: Any) -> tuple[Schedule, ...]:
    """A list of schedules and functions, as schedules; TypeError, which begins with `kind`, for anything else."""
    if not isinstance(given, (tuple, list)) or not given:
        raise TypeError(f"{kind}: schedules must be a list of at least one schedule, got {given!r}")
    return tuple(as_schedule(schedule, f"{kind}: each of schedules") for schedule in given)


@dataclass(frozen=True, repr=False)
class ProductSchedule(Schedule):
    """The product of several schedules, each of which counts from the start of training (PyTorch's ChainedScheduler).

    ``a * b`` is ``ProductSchedule([a, b])``.
    """

    schedules: Sequence[Schedule | Callable[..., float]]
    smooth: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "schedules", several("ProductSchedule", self.schedules))

    @property
    def parts(self) -> tuple[Schedule, ...]:
        return self.schedules  # type: ignore[return-value]

    def __call__(self, iteration: int, total: int | None = None, iterations_per_epoch: int | None = None) -> float:
        length = self.warmup * self._unit(iteration, iterations_per_epoch) if self.warmup else 0
        ramp = self._ramp(iteration, length) if length > 0 else 1.0
        return ramp * math.prod(schedule(iteration, total, iterations_per_epoch) for schedule in self.parts)

    def momentum_at(self, *position: Any) -> float | None:
        found = [m for schedule in self.parts if (m := schedule.momentum_at(*position)) is not None]
        if len(found) > 1:
            raise ValueError("ProductSchedule: two of its schedules set the momentum; leave one")
        return found[0] if found else None

    def ends_cycle(self, *position: Any) -> bool:
        return any(schedule.ends_cycle(*position) for schedule in self.parts)


def fraction_done(schedule: Schedule, t: float, own: float | None, run: float | None, hold: bool) -> float:
    """t divided by the schedule's own length, or by the run's; 1 from the end on.

    Raises
    ------
    ValueError
        The length is unknown, or t lies behind it and the last value is not to be held.
    """
    kind, end = type(schedule).__name__, own if own is not None else run
    if not end:
        raise ValueError(f"{kind}: the length of the run is unknown; give total (in units of per={schedule.per!r})")
    if t > end * (1 + 1e-12) and not hold:
        raise ValueError(
            f"{kind} ends after {end:g} {schedule.per}s, and {t:g} are done; give a longer total, or hold=True to stay "
            "at its last value"
        )
    return min(t / end, 1.0)
