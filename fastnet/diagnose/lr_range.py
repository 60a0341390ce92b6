"""The learning-rate range test."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastnet.arguments import integer, real
from fastnet.diagnose.causes import EXPLODES, FLAT
from fastnet.diagnose.short_runs import Data, check_optimizer, short_run, subject
from fastnet.drawing import new_figure, save
from fastnet.layers import Model
from fastnet.optim import SGD, Optimizer
from fastnet.types import Array, Loss, Preprocess

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["RangeTest", "lr_range_test"]


def _momentum(lr: float) -> Optimizer:
    return SGD(lr, momentum=0.9)


@dataclass(frozen=True)
class RangeTest:
    """The loss at a rate that rises from step to step; prints as a sentence.

    Attributes
    ----------
    rates, losses, smooth : arrays
        One value for each step: the rate, the loss, and its exponential average.
    suggestion : float or None
        The rate where the average falls most steeply, a good choice; None if it never falls.
    low, high : float or None
        Where it begins to fall (by 5 %) and where it is lowest: the bounds of a cyclic rate.
    """

    rates: Array
    losses: Array
    smooth: Array
    suggestion: float | None
    low: float | None
    high: float | None

    def __str__(self) -> str:
        tried = f"rates from {self.rates[0]:.1g} to {self.rates[-1]:.1g} in {len(self.rates)} steps"
        if self.suggestion is None:
            exploded = not math.isfinite(self.losses[-1]) or self.losses[-1] > 2 * self.losses[0]
            return f"{tried}: {EXPLODES if exploded else FLAT}"
        return (
            f"{tried}: take about {self.suggestion:.1e}, where the loss falls most steeply; it begins to fall at "
            f"{self.low:.1e} and is lowest at {self.high:.1e}, the bounds of a cyclic rate"
        )

    __repr__ = __str__

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw loss against rate, with the suggestion; see :meth:`fastnet.training.History.plot`."""
        figure = new_figure(path, 7, 4.2)
        axes = figure.subplots()
        axes.plot(self.rates, self.losses, ".", alpha=0.4, label="each step")
        axes.plot(self.rates, self.smooth, label="average")
        if self.suggestion is not None and self.low is not None and self.high is not None:
            axes.axvline(self.suggestion, color="C2", linestyle="--", label=f"suggested: {self.suggestion:.1e}")
            axes.axvspan(self.low, self.high, color="C2", alpha=0.1, label="cyclic rate")
        top = 1.3 * float(self.losses[0])
        finite = self.losses[np.isfinite(self.losses)]
        axes.set(xscale="log", xlabel="learning rate (logarithmic)", ylabel="loss", title="Learning-rate range test")
        axes.set_ylim(float(min(finite.min(), self.smooth.min())) * 0.95, max(top, float(self.smooth.min()) * 1.5))
        axes.grid(alpha=0.3)
        axes.legend()
        return save(figure, path)


def lr_range_test(
    model: Model,
    data: Data,
    *,
    loss: str | Loss = "softmax",
    low: float = 1e-6,
    high: float = 10.0,
    iterations: int = 100,
    optimizer: Callable[[float], Optimizer] = _momentum,
    batch_size: int = 128,
    preprocess: Preprocess | str | None = None,
    seed: int = 0,
) -> RangeTest:
    """Train with a rate that rises geometrically from `low` to `high`, and see where the loss falls and explodes.

    It ends when the loss is over 3 times the first.  Smith 2017, "Cyclical learning rates for training neural
    networks", arXiv:1506.01186; the geometric rise is common practice since.

    Parameters
    ----------
    model : Model
        Restored afterwards.
    data : (X, y), Dataset or Loader
        As for Solver.
    loss : str or function
    low, high : float
    iterations : int
    optimizer : function of the rate
        SGD with momentum 0.9 by default.
    batch_size, preprocess, seed
        As for Solver.
    """
    iterations = integer(iterations, "lr_range_test: iterations", 10)
    low, high = real(low, "lr_range_test: low"), real(high, "lr_range_test: high")
    if not 0 < low < high:
        raise ValueError(f"lr_range_test: needs 0 < low < high, got low={low:g}, high={high:g}")
    check_optimizer("lr_range_test", optimizer)
    rates = np.geomspace(low, high, iterations)
    with subject(model, data, loss, batch_size, preprocess, seed) as (loader, function):
        run = short_run(model, loader, function, optimizer(1.0), iterations, scale=lambda step: float(rates[step]))
    values = np.asarray(run.losses, float)
    rates, smooth = rates[: len(values)], _smoothed(values)
    lowest = int(np.nanargmin(np.where(np.isfinite(smooth), smooth, np.inf)))
    start = float(np.median(values[: max(5, len(values) // 10)]))
    above = np.flatnonzero(smooth[: lowest + 1] >= 0.95 * start)
    begins = int(above[-1]) + 1 if len(above) else 0  # from here on it stays 5 % below the start
    if begins >= lowest:
        return RangeTest(rates, values, smooth, None, None, None)
    slopes = np.gradient(smooth[: lowest + 1], np.log(rates[: lowest + 1]))
    steepest = begins + int(slopes[begins:].argmin())
    return RangeTest(rates, values, smooth, float(rates[steepest]), float(rates[begins]), float(rates[lowest]))


def _smoothed(values: Array, beta: float = 0.9) -> Array:
    """The exponential average, with Adam's correction of its start."""
    average, result = 0.0, np.empty(len(values))
    for n, value in enumerate(values):
        average = beta * average + (1 - beta) * value
        result[n] = average / (1 - beta ** (n + 1))
    return result
