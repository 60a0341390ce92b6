"""Checks of optimisers' settings: functions ``(value, name) -> value`` that raise TypeError or ValueError."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from fastnet.arguments import flag, frozen, real

__all__ = ["Check", "at_least_zero", "betas", "below_one", "choice", "flag", "positive"]

Check = Callable[[Any, str], Any]


def _number(value: Any, name: str, below: float = math.inf, positive: bool = False) -> float:
    number = real(value, name)
    if not ((number > 0 if positive else number >= 0) and number < below):
        low, high = "> 0" if positive else ">= 0", "" if below == math.inf else f" and < {below:g}"
        raise ValueError(f"{name} must be {low}{high}, got {value!r}")
    return number


def at_least_zero(value: Any, name: str) -> float:
    return _number(value, name)


def positive(value: Any, name: str) -> float:
    return _number(value, name, positive=True)


def below_one(value: Any, name: str) -> float:
    """In [0, 1)."""
    return _number(value, name, below=1)


def betas(value: Any, name: str) -> tuple[float, float]:
    pair = frozen(value)
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise TypeError(f"{name} must be a pair such as (0.9, 0.999), got {value!r}")
    return below_one(pair[0], f"{name}[0]"), below_one(pair[1], f"{name}[1]")


def choice(*names: str) -> Check:
    """One of the strings `names`."""

    def check(value: Any, name: str) -> Any:
        if not isinstance(value, str) or value not in names:
            kind = ValueError if isinstance(value, str) else TypeError
            raise kind(f"{name} must be {' or '.join(map(repr, names))}, got {value!r}")
        return value

    return check
