"""Schedules that rise again: warm restarts, cyclic rates, one cycle; the last two can move the momentum as well."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from fastnet.arguments import flag, frozen
from fastnet.optim.schedules.base import Schedule, fraction_done, number

__all__ = ["CosineRestarts", "CyclicRate", "OneCycle"]


@dataclass(frozen=True, repr=False)
class _Cyclic(Schedule):
    """A schedule with cycles: a subclass gives the number of the cycle, from 0, and the place in it."""

    smooth: bool = field(default=True, kw_only=True)

    def ends_cycle(self, iteration: int, total: int | None = None, iterations_per_epoch: int | None = None) -> bool:
        unit = self._unit(iteration, iterations_per_epoch)
        now, after = (self._cycle(self._time(i, total, unit)[0])[0] for i in (iteration, iteration + 1))
        return now != after

    def _cycle(self, t: float) -> tuple[int, float]:
        """The cycle's number, and t counted from its start as a fraction of its length."""
        raise NotImplementedError


@dataclass(frozen=True, repr=False)
class CosineRestarts(_Cyclic):
    """Cosine decay with warm restarts, SGDR (Loshchilov & Hutter 2017, arXiv:1608.03983).

    ``minimum + (peak - minimum) * (1 + cos(pi * T_cur/T_i)) / 2``, where T_cur counts from the last restart; after n
    restarts the cycle's length T_i is ``T_0 * T_mult**n``, and its peak ``decay**n``.

    Parameters
    ----------
    T_0 : float
        Length of the first cycle, in units of `per`.  The rate falls at every iteration, as in the paper, also with
        per="epoch" (smooth=False: at every epoch).
    T_mult : float
        Each cycle is this many times as long as the last, >= 1.
    minimum : float
        As a fraction of the base rate.
    decay : float
        Each restart's peak is this fraction of the last.
    """

    T_0: float
    T_mult: float = 1
    minimum: float = 0.0
    decay: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._take("T_0", positive=True)
        for name in ("T_mult", "minimum", "decay"):
            self._take(name)
        if self.T_mult < 1:
            raise ValueError(f"CosineRestarts: T_mult must be >= 1, got {self.T_mult}")

    def _cycle(self, t: float) -> tuple[int, float]:
        if self.T_mult == 1:
            cycle, rest = divmod(t, self.T_0)
            return int(cycle), rest / self.T_0
        start, length, cycle = 0.0, float(self.T_0), 0
        while t >= start + length:
            start, length, cycle = start + length, length * self.T_mult, cycle + 1
        return cycle, (t - start) / length

    def _decay(self, t: float, total: float | None, step: float) -> float:
        cycle, place = self._cycle(t)
        height = float(self.decay**cycle) - self.minimum
        return self.minimum + height * (1 + math.cos(math.pi * place)) / 2


def _range(schedule: object, momentum: Any) -> tuple[float, float] | None:
    """A pair (low, high) of momenta, or None."""
    kind, given = type(schedule).__name__, frozen(momentum)
    if given is None:
        return None
    if not isinstance(given, tuple) or len(given) != 2:
        raise TypeError(f"{kind}: momentum must be a pair such as (0.85, 0.95), or None, got {momentum!r}")
    low, high = (number(schedule, "momentum", value) for value in given)
    if not low <= high < 1:
        raise ValueError(f"{kind}: momentum must be (low, high) with low <= high < 1, got {momentum!r}")
    return low, high


@dataclass(frozen=True, repr=False)
class CyclicRate(_Cyclic):
    """A rate that rises and falls in straight lines (Smith 2017, arXiv:1506.01186; PyTorch's CyclicLR).

    ``minimum + (1 - minimum) * height * shrink``, where `height` rises from 0 to 1 in `up`, then falls to 0 in `down`;
    `shrink` is 1 ("triangular"), 1/2**n after n cycles ("triangular2"), or gamma**t ("exp_range").

    Parameters
    ----------
    up : float
        Length of the rise, in units of `per`.
    down : float, optional
        Length of the fall; as long as the rise by default.
    mode : "triangular", "triangular2" or "exp_range"
    gamma : float
    minimum : float
        As a fraction of the base rate, which is the highest.
    momentum : (low, high), optional
        Moves the momentum the other way: high where the rate is low.
    """

    up: float
    down: float | None = None
    mode: str = "triangular"
    gamma: float = 1.0
    minimum: float = 0.1
    momentum: tuple[float, float] | None = None
    per: Literal["epoch", "iteration"] = field(default="iteration", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._take("up", positive=True)
        if self.down is not None:
            self._take("down", positive=True)
        if self.mode not in ("triangular", "triangular2", "exp_range"):
            raise ValueError(f"CyclicRate: mode must be triangular, triangular2 or exp_range, got {self.mode!r}")
        self._take("gamma", positive=True)
        self._take("minimum")
        object.__setattr__(self, "momentum", _range(self, self.momentum))

    def _cycle(self, t: float) -> tuple[int, float]:
        length = self.up + (self.down or self.up)
        cycle, rest = divmod(t, length)
        return int(cycle), rest / length

    def _height(self, t: float) -> float:
        cycle, place = self._cycle(t)
        turn = self.up / (self.up + (self.down or self.up))
        height = place / turn if place <= turn else (1 - place) / (1 - turn)
        if self.mode == "triangular":
            return height
        return height / 2.0**cycle if self.mode == "triangular2" else float(height * self.gamma**t)

    def _decay(self, t: float, total: float | None, step: float) -> float:
        return self.minimum + (1 - self.minimum) * self._height(t)

    def momentum_at(
        self, iteration: int, total: int | None = None, iterations_per_epoch: int | None = None
    ) -> float | None:
        if self.momentum is None:
            return None
        t = self._time(iteration, total, self._unit(iteration, iterations_per_epoch))[0]
        low, high = self.momentum
        return high - (high - low) * self._height(t)


@dataclass(frozen=True, repr=False)
class OneCycle(Schedule):
    """One rise to the base rate and one fall to almost 0 (Smith 2018, arXiv:1803.09820; PyTorch's OneCycleLR).

    Parameters
    ----------
    total : float, optional
        In units of `per`, which is "iteration" here by default; None is the whole run.
    pct_start : float
        The share of the run in which the rate rises.
    anneal : "cos" or "linear"
        The shape of rise and fall.
    div_factor, final_div_factor : float
        The first rate is 1/div_factor of the base rate, the last 1/final_div_factor of the first.
    three_phase : bool
        Fall to the first rate in as many steps as it rose, then to the last.
    momentum : (low, high), optional
        Moves the momentum the other way: high where the rate is low.
    hold : bool
        Whether to stay at the last rate where t > total, which is an error otherwise.
    """

    total: float | None = None
    pct_start: float = 0.3
    anneal: str = "cos"
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    three_phase: bool = False
    momentum: tuple[float, float] | None = None
    per: Literal["epoch", "iteration"] = field(default="iteration", kw_only=True)
    hold: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.total is not None:
            self._take("total", positive=True)
        for name in ("pct_start", "div_factor", "final_div_factor"):
            self._take(name, positive=True)
        if self.pct_start > (0.5 if self.three_phase else 1):
            raise ValueError(
                f"OneCycle: pct_start must be <= 1 (0.5 with three_phase), got {self.pct_start} with "
                f"three_phase={self.three_phase}"
            )
        if self.anneal not in ("cos", "linear"):
            raise ValueError(f"OneCycle: anneal must be 'cos' or 'linear', got {self.anneal!r}")
        flag(self.three_phase, "OneCycle: three_phase")
        flag(self.hold, "OneCycle: hold")
        object.__setattr__(self, "momentum", _range(self, self.momentum))

    def _between(self, corners: tuple[float, ...], t: float, total: float | None, step: float) -> float:
        """The value at t of a curve through `corners`, which are its values at the ends of the phases."""
        fraction_done(self, t, self.total, total, self.hold)
        length = self.total if self.total is not None else total
        assert length is not None  # fraction_done refuses it
        rise, last = self.pct_start * length - step, length - step
        ends = (0.0, rise, 2 * rise, last) if self.three_phase else (0.0, rise, last)
        phase = next((i for i in range(len(ends) - 2) if t <= ends[i + 1]), len(ends) - 2)
        start, end = ends[phase : phase + 2]
        place = min((t - start) / (end - start), 1.0) if end > start else 1.0
        before, after = corners[phase : phase + 2]
        if self.anneal == "cos":
            return after + (before - after) / 2 * (1 + math.cos(math.pi * place))
        return before + (after - before) * place

    def _decay(self, t: float, total: float | None, step: float) -> float:
        first = 1 / self.div_factor
        last = first / self.final_div_factor
        return self._between((first, 1.0, first, last) if self.three_phase else (first, 1.0, last), t, total, step)

    def momentum_at(
        self, iteration: int, total: int | None = None, iterations_per_epoch: int | None = None
    ) -> float | None:
        if self.momentum is None:
            return None
        low, high = self.momentum
        time = self._time(iteration, total, self._unit(iteration, iterations_per_epoch))
        return self._between((high, low, high, high)[: 4 if self.three_phase else 3], *time)
