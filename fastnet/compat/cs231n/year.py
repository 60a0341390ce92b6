"""The course's year, for the few names that changed their meaning and kept their spelling.

Everything else is the same from 2016 on, and old keyword arguments are understood in every year.
"""

from __future__ import annotations

import operator

__all__ = ["get_year", "set_year"]

FIRST, LAST = 2015, 2026
_year = LAST


def set_year(year: int) -> None:
    """Follow the conventions of `year`, for the whole process; 2026 at the start.

    To 2017 (and in Berkeley's CS182) the `p` of dropout is the probability to *drop* a number, and so is
    ``FullyConnectedNet(dropout=...)``; from 2018 on it is the probability to *keep* it.  A net follows the year in
    which it is made and called: set the year first.

    Raises
    ------
    TypeError, ValueError
        Not a year from 2015 to 2026.
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
    """The year that :func:`set_year` was given last."""
    return _year


def p_is_kept() -> bool:
    """Whether dropout's p is the probability to keep a number (else to drop it)."""
    return _year >= 2018
