"""Finds NaN and infinity: in the state of a model, and with ``Solver(debug="nan")`` in every layer, pass and batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from fastnet.backends import current
from fastnet.data import Loader
from fastnet.layers import Model
from fastnet.types import Array

if TYPE_CHECKING:
    from fastnet.training.solver import Solver

__all__ = ["check_finite", "check_state", "check_validation", "guard", "place"]


def place(solver: Solver, ahead: int = 1) -> str:
    """A Solver's position for error messages, from 1: of the current step, or with 0 of the last that was done."""
    batch = solver.batch + ahead
    where = f"epoch {solver.epoch + 1}, batch {batch}" if batch else f"the end of epoch {solver.epoch}"
    return f"{where} (iteration {solver.iteration + ahead})"


def check_finite(what: str, array: Array, where: str) -> None:
    """Raise FloatingPointError if `array` has a NaN or an infinity; the message says what and where."""
    ops = current()
    array, xp = ops.own(array), ops.xp
    finite = xp.isfinite(array)
    if finite.all():
        return
    nans = int(xp.isnan(array).sum())
    infinities = int(array.size - finite.sum()) - nans
    raise FloatingPointError(
        f"{what} has {nans} NaN and {infinities} infinite of {array.size} values, shape {tuple(array.shape)}, "
        f"at {where}"
    )


def check_state(model: Model, where: str, lr: float) -> None:
    """Raise FloatingPointError if an update left a NaN or an infinity in a parameter or a running statistic."""
    advice = f"lower the learning rate ({lr:g}), or check the initial weights"
    for name, parameter in [*model.named_parameters(), *model.named_buffers()]:
        check_finite(f"after the update, {name}", parameter.value, f"{where}; {advice}")


def check_validation(loss: float, loader: Loader, where: str, lr: float) -> None:
    """Raise FloatingPointError if the validation loss is not finite, and say whether the images are the reason."""
    if math.isfinite(loss):
        return
    for x, _ in loader.batches(0):
        check_finite("the validation data:", x, where)
    raise FloatingPointError(f"the validation loss is {loss} at {where}; lower the learning rate ({lr:g})")


def guard(where: str) -> Callable[[str, str, Array], None]:
    """A callback for ``fastnet.layers.trace`` that raises at the first array that is not finite."""

    def callback(name: str, phase: str, array: Array) -> None:
        check_finite(f"layer {name}, {phase} pass:", array, where)

    return callback
