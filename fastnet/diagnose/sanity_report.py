"""The report of a sanity check: its findings, as a table, in words and as a picture."""

from __future__ import annotations

import os
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fastnet.diagnose.short_runs import Run
from fastnet.drawing import new_figure, save
from fastnet.tables import html_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SanityCheck", "Step"]


@dataclass(frozen=True)
class Step:
    """One check: what was done, how it went ("look": odd, but perhaps right), and why, a sentence a line."""

    title: str
    status: Literal["ok", "look", "problem"]
    lines: list[str]


@dataclass(frozen=True)
class SanityCheck:
    """The checks made before training; prints as text.

    Attributes
    ----------
    steps : list of Step
        The initial loss without and with a penalty, overfitting a few examples, the search for a rate; and where there
        is a problem, what the network and the data show.
    rate : float or None
        The rate at which the loss fell most; None if it fell at none.
    overfit, search : dict of float to Run
        The runs of the last two steps, by rate.
    """

    steps: list[Step]
    rate: float | None
    overfit: dict[float, Run]
    search: dict[float, Run]

    @property
    def ok(self) -> bool:
        """Whether no step found a problem."""
        return all(step.status != "problem" for step in self.steps)

    def __str__(self) -> str:
        lines = []
        for number, step in zip(("1", " ", "2", "3", " "), self.steps, strict=False):
            lines.append(f"{number}  {step.title}: {step.status}")
            for line in step.lines:
                lines += textwrap.wrap(line, 110, initial_indent="     ", subsequent_indent="       ")
        return "\n".join([*lines, "", self.sentence()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [[step.title, step.status, "; ".join(step.lines)] for step in self.steps]
        return html_table(["check", "", "found"], rows, self.sentence())

    def sentence(self) -> str:
        """The result in one sentence."""
        if self.ok:
            odd = sum(step.status == "look" for step in self.steps)
            look = f"; {odd} of the checks deserve{'s' * (odd == 1)} a look" if odd else ""
            return f"ready to train, with a rate of about {self.rate:g}{look}"
        bad = [step.title for step in self.steps if step.status == "problem"]
        return f"not ready to train: {bad[0]}" + (f", and {len(bad) - 1} more" if len(bad) > 1 else "")

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the losses of the last two steps, one line for each rate; see :meth:`fastnet.training.History.plot`."""
        figure = new_figure(path, 11, 4.2)
        for axes, runs, title in zip(
            figure.subplots(1, 2), (self.overfit, self.search), ("A few examples", "All data"), strict=True
        ):
            for rate, run in runs.items():
                axes.plot(range(1, len(run.losses) + 1), run.losses, label=f"rate {rate:g}")
            axes.set(xlabel="iteration", ylabel="loss", title=title)
            axes.grid(alpha=0.3)
            axes.legend()
        return save(figure, path)
