"""The report of a gradient check: errors of each array, as a table and in words."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fastnet.tables import html_table, text_table
from fastnet.types import Shape

__all__ = ["Coordinate", "Entry", "GradientCheck", "verdict"]

_TITLES = ["array", "verdict", "shape", "checked", "kinks", "worst error", "at", "gradient", "difference"]


def verdict(error: float) -> str:
    """What a relative error means, as CS231n's readings judge it."""
    if not error <= 1e-2:
        return "wrong"
    if error > 1e-4:
        return "uncomfortable"
    return "fine with kinks" if error > 1e-7 else "happy"


@dataclass(frozen=True)
class Coordinate:
    """One coordinate: its gradient, the numerical one, their relative error, and whether the step crossed a kink."""

    index: tuple[int, ...]
    analytic: float
    numerical: float
    error: float
    kink: bool


@dataclass(frozen=True)
class Entry:
    """The coordinates that were checked of one array."""

    name: str
    shape: Shape
    coordinates: list[Coordinate]

    @property
    def worst(self) -> Coordinate | None:
        """The coordinate of the largest error; None if all lie at kinks."""
        return max((c for c in self.coordinates if not c.kink), key=lambda c: c.error, default=None)

    @property
    def kinks(self) -> int:
        """Coordinates that were left out, since the step crossed a kink."""
        return sum(c.kink for c in self.coordinates)


@dataclass(frozen=True)
class GradientCheck:
    """A gradient check; prints as a table and a sentence.

    Attributes
    ----------
    entries : list of Entry
        One for each array: "x", then the parameters by name.
    scheme : "centred" or "one-sided"
    h : float
    """

    entries: list[Entry]
    scheme: str
    h: float

    @property
    def error(self) -> float:
        """The largest relative error; NaN if nothing could be checked."""
        worst = self.worst
        return worst[1].error if worst else math.nan

    @property
    def worst(self) -> tuple[str, Coordinate] | None:
        """The name of the array with the largest error, and the coordinate."""
        found = [(entry.name, entry.worst) for entry in self.entries if entry.worst is not None]
        return max(((name, c) for name, c in found if c is not None), key=lambda pair: pair[1].error, default=None)

    @property
    def ok(self) -> bool:
        """Whether something was checked, and no error is over 1e-4."""
        return self.error <= 1e-4

    def __str__(self) -> str:
        kind = "f(x + h) - f(x - h) over 2 h" if self.scheme == "centred" else "f(x + h) - f(x) over h"
        head = f"gradient check in float64, {self.scheme} differences ({kind}), h = {self.h:g}"
        return f"{head}\n\n{text_table(_TITLES, self._rows(), left=2)}\n\n{self.sentence()}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_table(_TITLES, self._rows(), self.sentence())

    def sentence(self) -> str:
        """The result in one sentence."""
        kinks, count = sum(entry.kinks for entry in self.entries), sum(len(e.coordinates) for e in self.entries)
        left = (
            f"; {kinks} of {count} coordinates were left out, since a step of h crosses a kink there" if kinks else ""
        )
        if self.worst is None:
            return f"nothing could be checked{left}: change x, or take a smaller h"
        name, at = self.worst
        if self.ok:
            if not at.error:
                return f"the gradients agree up to the rounding of the differences{left}"
            comment = "" if self.error <= 1e-7 else ", which kinks explain, but not smooth functions"
            return f"the gradients agree: the largest relative error is {at.error:.1e}, of {name}{comment}{left}"
        place = f"{name}[{', '.join(map(str, at.index))}]"
        return (
            f"{verdict(at.error).upper()}: the gradient of {place} is {at.analytic:.8g}, differences give "
            f"{at.numerical:.8g}, relative error {at.error:.1e}{left}"
        )

    def _rows(self) -> list[list[str]]:
        rows = []
        for entry in self.entries:
            worst, shape = entry.worst, "x".join(map(str, entry.shape))
            numbers = [shape, str(len(entry.coordinates)), str(entry.kinks)]
            if worst is None:
                rows.append([entry.name, "only kinks", *numbers, "", "", "", ""])
                continue
            place = ",".join(map(str, worst.index))
            values = [
                f"{worst.error:.1e}" if worst.error else "rounding",
                place,
                f"{worst.analytic:.6g}",
                f"{worst.numerical:.6g}",
            ]
            rows.append([entry.name, verdict(worst.error), *numbers, *values])
        return rows
