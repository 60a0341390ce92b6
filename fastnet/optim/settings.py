"""Checks of optimisers' settings: functions ``(value, name) -> value`` that raise TypeError or ValueError."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastnet.arguments import at_least_zero, flag, frozen, positive, real

__all__ = ["Check", "at_least_zero", "betas", "below_one", "choice", "flag", "positive"]

Check = Callable[[Any, str], Any]


def below_one(value: Any, name: str) -> float:
    """In [0, 1)."""
    number = real(value, name)
    if not 0 <= number < 1:
        raise ValueError(f"{name} must be >= 0 and < 1, got {value!r}")
    return number


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
