"""Update ratios: by how much of their length the steps change the weights."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.arguments import integer
from fastnet.backends import current
from fastnet.drawing import new_figure, save
from fastnet.tables import html_table, text_table
from fastnet.training import Callback, Solver
from fastnet.types import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["UpdateRatios"]


class UpdateRatios(Callback):
    """Measures |update| / |weights| of every weight matrix while a Solver trains.

    About 1e-3 is good: much lower means that the learning rate is too low, much higher that it is too high (CS231n's
    readings).

    >>> ratios = fn.diagnose.UpdateRatios()
    >>> fn.Solver(model, data, callbacks=[ratios]).train()
    >>> print(ratios)

    Parameters
    ----------
    every : int
        How many iterations lie between two measurements.

    Attributes
    ----------
    iterations : list of int
        When a measurement was made.
    ratios : dict of str to list of float
        By the parameter's name.
    """

    def __init__(self, every: int = 20) -> None:
        self.every = integer(every, "UpdateRatios: every")
        self.iterations: list[int] = []
        self.ratios: dict[str, list[float]] = {}
        self._before: dict[str, Array] = {}

    def on_train_begin(self, solver: Solver) -> None:
        self._before = {}
        if (solver.iteration + 1) % self.every == 0:
            self._remember(solver)

    def on_iteration_end(self, solver: Solver) -> None:
        if self._before:
            self.iterations.append(solver.iteration)
            for name, parameter in solver.model.named_parameters():
                if name in self._before:
                    old, new = self._before[name], current().to_numpy(parameter.value)
                    length = float(np.linalg.norm(old))
                    ratio = float(np.linalg.norm(new - old)) / length if length else math.nan
                    self.ratios.setdefault(name, []).append(ratio)
            self._before = {}
        if (solver.iteration + 1) % self.every == 0:
            self._remember(solver)

    def _remember(self, solver: Solver) -> None:
        matrices = [(n, p) for n, p in solver.model.named_parameters() if p.value.ndim > 1 and p.requires_grad]
        self._before = {name: current().to_numpy(parameter.value).copy() for name, parameter in matrices}

    def state_dict(self) -> tuple[dict[str, Any], dict[str, Array]]:
        return {"iterations": self.iterations, "ratios": self.ratios}, {}

    def load_state_dict(self, plain: dict[str, Any], arrays: dict[str, Array]) -> None:
        self.iterations = list(plain["iterations"])
        self.ratios = {name: [float(value) for value in values] for name, values in plain["ratios"].items()}

    def sentence(self) -> str:
        """What the last measurements say about the rate."""
        last = [values[-1] for values in self.ratios.values() if math.isfinite(values[-1])]
        if not last:
            return f"no update was measured: training had fewer than {self.every} iterations"
        middle = float(np.median(last))
        found = f"the median of the last update ratios is {middle:.1e}"
        if middle < 1e-4:
            return f"{found}, far under 1e-3: the learning rate is probably too low"
        if middle > 1e-2:
            return f"{found}, far over 1e-3: the learning rate is probably too high"
        return f"{found}: about 1e-3 is good"

    def _rows(self) -> list[list[str]]:
        return [
            [name, f"{values[0]:.1e}", f"{float(np.median(values)):.1e}", f"{values[-1]:.1e}"]
            for name, values in self.ratios.items()
        ]

    def __str__(self) -> str:
        titles = ["update / weights", "first", "median", "last"]
        return f"{text_table(titles, self._rows())}\n\n{self.sentence()}"

    def _repr_html_(self) -> str:
        return html_table(["update / weights", "first", "median", "last"], self._rows(), self.sentence())

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the ratios over the iterations; see :meth:`fastnet.training.History.plot`."""
        figure = new_figure(path, 8, 4.2)
        axes = figure.subplots()
        for name, values in self.ratios.items():
            axes.plot(self.iterations, values, label=name)
        axes.axhline(1e-3, color="black", linestyle="--", linewidth=1, label="1e-3")
        axes.set(yscale="log", xlabel="iteration", ylabel="|update| / |weights| (logarithmic)", title="Update ratios")
        axes.grid(alpha=0.3)
        figure.legend(loc="outside right upper", fontsize=8)
        return save(figure, path)
