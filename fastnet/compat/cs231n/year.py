"""The course's year, for the few names whose meaning changed.

Everything else is the same since 2016; old keyword arguments are accepted in every year.
"""

from __future__ import annotations

import operator

__all__ = ["get_year", "set_year"]

FIRST, LAST = 2015, 2026
_year = LAST


def set_year(year: int) -> None:
    """Follow the conventions of `year` in the whole process; the default is 2026.

    Up to 2017 (and in Berkeley's CS182), the `p` of dropout is the probability of *dropping* an element, and so is
    ``FullyConnectedNet(dropout=...)``; since 2018 it is the probability of *keeping* it.  A network reads the year when
    it is created and when it is called, so set the year first.

    Raises
    ------
    TypeError, ValueError
        If `year` is not an integer from 2015 to 2026.
    """
    global _year
    try:
        number = operator.index(year)
    except TypeError:
        raise TypeError(f"set_year: year must be an integer, got {year!r}") from None
    if not FIRST <= number <= LAST:
        raise ValueError(f"set_year: the course's years are {FIRST} to {LAST}, got {number}")
    _year = number


def get_year() -> int:
    """The year set by :func:`set_year`."""
    return _year


def p_is_kept() -> bool:
    """Whether dropout's p is the probability of keeping an element, rather than of dropping it."""
    return _year >= 2018
