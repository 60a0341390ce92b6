"""The values that a search may try: ranges and choices."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastnet import arguments
from fastnet.arguments import flag, real

__all__ = [
    "Choice",
    "Dimension",
    "Range",
    "as_dicts",
    "check",
    "choice",
    "grid",
    "integer",
    "log_uniform",
    "of_dict",
    "show",
    "uniform",
]

_MARGIN = 0.1  # of a range's width: how far a finer range reaches beyond the best values
_BORDER = 0.05  # of a range's width: how near its end a value lies on the border


class Dimension(ABC):
    """The values of one hyperparameter."""

    @abstractmethod
    def distribution(self) -> Any:
        """Optuna's distribution."""

    @abstractmethod
    def example(self) -> Any:
        """One of the values."""

    @abstractmethod
    def grid(self, points: int) -> list[Any]:
        """Its values in a grid, of a range `points` values."""

    @abstractmethod
    def narrowed(self, best: Sequence[Any]) -> Dimension:
        """A part of the values, around the best."""

    @abstractmethod
    def border(self, value: Any) -> str:
        """ "upper" or "lower" if the value lies at that end, else ""."""


@dataclass(frozen=True)
class Range(Dimension):
    """Numbers between two ends, which are included; `log` measures distances in the logarithm, `whole` rounds."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def distribution(self) -> Any:
        """Optuna's distribution."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    def example(self) -> float:
        """One of the values."""
        return self._typed(self.low)

    def grid(self, points: int) -> list[float]:
        """`points` values at equal distances, from end to end; of integers perhaps fewer."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        values = [self._value(low + (high - low) * i / max(points - 1, 1)) for i in range(points)]
        values[0], values[-1] = self._typed(self.low), self._typed(self.high)
        return list(dict.fromkeys(values))

    def narrowed(self, best: Sequence[float]) -> Range:
        """The part of this range around the best values: from the least to the greatest, and a tenth on both sides."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        margin = _MARGIN * (high - low)
        least, most = self._scaled(min(best)) - margin, self._scaled(max(best)) + margin
        return Range(
            self.low if least <= low else max(self.low, self._value(least, -1)),
            self.high if most >= high else min(self.high, self._value(most, 1)),
            self.log,
            self.whole,
        )

    def border(self, value: float) -> str:
        """ "upper" or "lower" if the value lies within a twentieth of the range from that end, else ""."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        place = (self._scaled(value) - low) / (high - low) if high > low else 0.5
        return "lower" if place <= _BORDER else "upper" if place >= 1 - _BORDER else ""

    def around(self, value: float) -> Range:
        """A range of the same width with `value` in its middle; of integers not below the lower end 1."""
        half = (self._scaled(self.high) - self._scaled(self.low)) / 2
        middle = self._scaled(value)
        low, high = self._value(middle - half), self._value(middle + half)
        return Range(max(low, 1) if self.whole and self.low >= 1 else low, high, self.log, self.whole)

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.log else float(value)

    def _value(self, scaled: float, outward: int = 0) -> float:
        value = math.exp(scaled) if self.log else scaled
        if self.whole:
            return round(value) if not outward else math.floor(value) if outward < 0 else math.ceil(value)
        return value

    def _typed(self, value: float) -> float:
        return int(value) if self.whole else float(value)

    def __str__(self) -> str:
        scale = ", log-uniform" if self.log else ""
        return f"{show(self.low)} to {show(self.high)}{scale}"


@dataclass(frozen=True)
class Choice(Dimension):
    """One of several values."""

    values: tuple[Any, ...]

    def distribution(self) -> Any:
        """Optuna's distribution."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.values)

    def example(self) -> Any:
        """One of the values."""
        return self.values[0]

    def grid(self, points: int) -> list[Any]:
        """All values."""
        return list(self.values)

    def narrowed(self, best: Sequence[Any]) -> Choice:
        """Those values that are among the best."""
        return Choice(tuple(value for value in self.values if value in best))

    def border(self, value: Any) -> str:
        """ "upper" or "lower" if all values are numbers and this one is the greatest, or the least and above 0."""
        numbers = [v for v in self.values if isinstance(v, (int, float)) and not isinstance(v, bool)]
        if len(numbers) < len(self.values) or len(numbers) < 2:
            return ""
        return "upper" if value == max(numbers) else "lower" if value == min(numbers) and value > 0 else ""

    def __str__(self) -> str:
        return ", ".join(map(show, self.values))


def show(value: Any) -> str:
    """A value in few characters."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def log_uniform(low: float, high: float) -> Range:
    """Numbers from `low` to `high`, 0 < low < high, whose logarithm is uniform: for learning rates and penalties."""
    low, high = _ends("log_uniform", low, high)
    if low <= 0:
        raise ValueError(f"log_uniform: low must be > 0, since 0 has no logarithm, got {low:g}; a choice may hold 0")
    return Range(low, high, log=True)


def uniform(low: float, high: float) -> Range:
    """Numbers from `low` to `high`, low < high, all equally likely."""
    return Range(*_ends("uniform", low, high))


def integer(low: int, high: int, log: bool = False) -> Range:
    """Whole numbers from `low` to `high`, low < high, both included; with `log` their logarithm is uniform."""
    low = arguments.integer(low, "integer: low", 1 - 2**31)
    high = arguments.integer(high, "integer: high", 1 - 2**31)
    if low >= high:
        raise ValueError(f"integer: low must be below high, got {low} and {high}")
    if flag(log, "integer: log") and low < 1:
        raise ValueError(f"integer: with log=True low must be >= 1, got {low}")
    return Range(low, high, log, whole=True)


def choice(*values: Any) -> Choice:
    """One of `values`: strings, numbers, True, False or None, each only once."""
    if len(values) == 1 and isinstance(values[0], (list, tuple)):
        values = tuple(values[0])
    if not values or len({(type(value), value) for value in values if _plain(value)}) < len(values):
        raise ValueError(f"choice: expected different strings, numbers, True, False or None, got {values!r}")
    return Choice(values)


def _plain(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, (str, int, bool))


def _ends(name: str, low: float, high: float) -> tuple[float, float]:
    low, high = real(low, f"{name}: low"), real(high, f"{name}: high")
    if low >= high:
        raise ValueError(f"{name}: low must be below high, got {low:g} and {high:g}")
    return low, high


def check(space: Any) -> dict[str, Dimension]:
    """The space, if it is one.

    Raises
    ------
    TypeError, ValueError
        Not a dict of names to ranges and choices, or an empty one.
    """
    if not isinstance(space, Mapping) or not all(isinstance(name, str) for name in space):
        raise TypeError(f'search: space must be a dict such as {{"lr": log_uniform(1e-5, 1e-1)}}, got {space!r}')
    for name, dimension in space.items():
        if not isinstance(dimension, (Range, Choice)):
            raise TypeError(
                f"search: space[{name!r}] must be log_uniform(...), uniform(...), integer(...) or choice(...), "
                f"got {dimension!r}"
            )
    if not space:
        raise ValueError("search: the space is empty; there is nothing to search")
    return dict(space)


def of_dict(entry: Mapping[str, Any]) -> Dimension:
    """The dimension whose fields a JSON file holds."""
    return Choice(tuple(entry["values"])) if "values" in entry else Range(**entry)


def as_dicts(space: Mapping[str, Dimension]) -> dict[str, Any]:
    """The space in dicts and lists, for JSON."""
    return {name: dict(vars(dimension)) for name, dimension in space.items()}


def grid(space: Mapping[str, Dimension], trials: int) -> list[dict[str, Any]]:
    """All combinations of the choices' values and of equally many values of each range, as many as `trials` allow.

    Raises
    ------
    ValueError
        `trials` does not even allow two values of each range.
    """
    import itertools

    choices = math.prod(len(d.values) for d in space.values() if isinstance(d, Choice))
    ranges = [d for d in space.values() if isinstance(d, Range)]
    least = choices * 2 ** len(ranges)
    if trials < least:
        raise ValueError(
            f"search: a grid over {', '.join(space)} needs at least {least} trials (two values of each range, all of "
            f"each choice), got trials={trials}; method='random' takes any number"
        )
    points = 2
    while ranges and choices * (points + 1) ** len(ranges) <= trials:
        points += 1
    axes = [dimension.grid(points) for dimension in space.values()]
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*axes)]
