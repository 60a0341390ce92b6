"""``Solver(debug="nan")``: finds the layer, pass and batch that produced the first NaN or infinity."""

from __future__ import annotations

from collections.abc import Callable

from fastnet.backends import current
from fastnet.types import Array

__all__ = ["check_finite", "guard"]


def check_finite(what: str, array: Array, where: str) -> None:
    """Raise FloatingPointError if `array` has a NaN or an infinity; the message says what and where."""
    xp = current().xp
    finite = xp.isfinite(array)
    if finite.all():
        return
    nans = int(xp.isnan(array).sum())
    infinities = int(array.size - finite.sum()) - nans
    raise FloatingPointError(
        f"{what} has {nans} NaN and {infinities} infinite of {array.size} values, shape {tuple(array.shape)}, "
        f"at {where}"
    )


def guard(where: str) -> Callable[[str, str, Array], None]:
    """A callback for ``fastnet.layers.trace`` that raises at the first array that is not finite."""

    def callback(name: str, phase: str, array: Array) -> None:
        check_finite(f"layer {name}, {phase} pass:", array, where)

    return callback
