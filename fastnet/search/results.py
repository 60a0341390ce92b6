"""The runs of a search: the best, the lectures' lines, advice on the ranges."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastnet.search import journal
from fastnet.search.plan import DESCRIPTION
from fastnet.search.space import Dimension, Range, of_dict, show
from fastnet.training import History

__all__ = ["Results", "Run", "load", "read"]

STATES = ("finished", "pruned", "failed", "unfinished")


@dataclass(frozen=True)
class Run:
    """A trial.

    Attributes
    ----------
    number, of : int
        From 1; the stage's number of trials.
    stage : "coarse" or "fine"
        "coarse" if the search has one stage only.
    setting : dict
        The hyperparameters' values.
    state : "finished", "pruned", "failed" or "unfinished"
        pruned: stopped early, or diverged; failed: the user's function raised an error; unfinished: still running, or
        interrupted.
    value : float or None
        The result of a finished run: the monitored value after the last epoch, the mean over the folds.
    folds : tuple of float
        The result of each fold.
    reason : str
        Why a run was pruned, or how it failed.
    histories : tuple of History
        The learning curves, one for each fold; none if the function returned a number.
    seconds : float
    """

    number: int
    of: int
    stage: str
    setting: dict[str, Any]
    state: str
    value: float | None = None
    folds: tuple[float, ...] = ()
    reason: str = ""
    histories: tuple[History, ...] = field(default=(), repr=False)
    seconds: float = 0.0

    @property
    def spread(self) -> float | None:
        """The standard deviation of the folds' results (of a sample: n - 1); None with fewer than two folds."""
        return statistics.stdev(self.folds) if len(self.folds) > 1 else None


class Results:
    """The runs of a search.

    Attributes
    ----------
    runs : list of Run
        In the order of the stages and numbers.
    spaces : dict of str to dict
        Each stage's ranges and choices.
    monitor : str
    maximize : bool
    """

    def __init__(
        self, runs: Sequence[Run], spaces: Mapping[str, Mapping[str, Dimension]], monitor: str, maximize: bool
    ) -> None:
        self.runs, self.monitor, self.maximize = list(runs), monitor, maximize
        self.spaces = {stage: dict(space) for stage, space in spaces.items()}

    def __repr__(self) -> str:
        counts = ", ".join(f"{self.count(state)} {state}" for state in STATES if self.count(state))
        return f"Results({counts or 'no runs'}; best: {self.line(self.ranked()[0]) if self.ranked() else 'none'})"

    def count(self, state: str) -> int:
        """How many runs are in this state."""
        return sum(run.state == state for run in self.runs)

    def ranked(self, stage: str | None = None) -> list[Run]:
        """The finished runs, the best first; of one stage, if given."""
        runs = [run for run in self.runs if run.state == "finished" and stage in (None, run.stage)]
        return sorted(runs, key=lambda run: -_of(run) if self.maximize else _of(run))

    @property
    def best(self) -> Run:
        """The best run of all stages.

        Raises
        ------
        RuntimeError
            No run has finished; the message says what became of them.
        """
        ranked = self.ranked()
        if not ranked:
            raise RuntimeError(f"search: no trial has finished: {self.fates()}")
        return ranked[0]

    def fates(self, *states: str) -> str:
        """What became of the runs that did not finish (or of those in `states`), with an example of each kind."""
        parts = []
        for state in states or STATES[1:]:
            runs = [run for run in self.runs if run.state == state]
            if runs:
                example = f", the first ({_values(runs[0].setting)}): {runs[0].reason}" if runs[0].reason else ""
                parts.append(f"{len(runs)} of {len(self.runs)} {state}{example}")
        return "; ".join(parts)

    def line(self, run: Run) -> str:
        """A run as the lectures print it: ``val_acc: 0.412000, lr: 1.405206e-04, reg: 4.793564e-01, (1 / 100)``."""
        name = self.monitor.replace("accuracy", "acc")
        if run.state == "finished":
            head = f"{name}: {run.value:.6f}"
            if run.spread is not None:
                head += f" +- {run.spread:.6f}"
        else:
            head = f"{run.state}{': ' if run.reason else ''}{run.reason}"
        return f"{head}, {_values(run.setting)}, ({run.number} / {run.of})"

    def lines(self) -> list[str]:
        """All finished runs, the best first, then the others; with the stage, if there are two."""
        runs = self.ranked() + [run for run in self.runs if run.state != "finished"]
        return [self.line(run) + (f" {run.stage}" if len(self.spaces) > 1 else "") for run in runs]

    def advice(self) -> list[str]:
        """What the best run says about the ranges: which of its values lie on a border, and where to search next."""
        best, found = self.best, []
        for name, dimension in self.spaces[best.stage].items():
            value = best.setting[name]
            side = dimension.border(value)
            if not side:
                continue
            where = f"the best {name}, {show(value)}, lies on the {side} border of its {best.stage} range, {dimension}"
            if isinstance(dimension, Range):
                around = dimension.around(value)
                where += f": better values may lie {'above' if side == 'upper' else 'below'}; "
                where += f"search {show(around.low)} to {show(around.high)}"
            else:
                where += f": try {'greater' if side == 'upper' else 'smaller'} values, too"
            found.append(where)
        return found

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw all runs on one picture: learning curves, and each hyperparameter against the result.

        Parameters
        ----------
        path : path, optional
            Write the picture there (PNG, PDF, SVG by the suffix), atomically.

        Returns
        -------
        matplotlib.figure.Figure
            Without `path` it is pyplot's current figure: ``plt.show()`` shows it.
        """
        from fastnet.search.picture import draw, write

        figure = draw(self, path)
        if path is not None:
            write(figure, path)
        return figure

    def page(self, path: str | os.PathLike[str]) -> None:
        """Write an HTML page with the picture and the table of all runs, the best first; it needs no other file."""
        from fastnet.search.page import write

        write(self, path)


def _of(run: Run) -> float:
    assert run.value is not None
    return run.value


def _values(setting: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {f'{v:.6e}' if isinstance(v, float) else v}" for name, v in setting.items())


def narrowed(space: Mapping[str, Dimension], ranked: Sequence[Run]) -> dict[str, Dimension]:
    """The ranges of a finer stage, around the best fifth of the runs, and at least three of them."""
    best = ranked[: max(3, round(len(ranked) / 5))]
    return {name: dimension.narrowed([run.setting[name] for run in best]) for name, dimension in space.items()}


def load(folder: str | os.PathLike[str]) -> Results:
    """The runs of a search so far, from its folder; it may still be going on.

    Raises
    ------
    FileNotFoundError
        The folder holds no search.
    """
    folder = Path(folder)
    if not (folder / DESCRIPTION).is_file():
        raise FileNotFoundError(f"{folder} holds no search: there is no {DESCRIPTION} in it")
    description = json.loads((folder / DESCRIPTION).read_bytes())
    with journal.quiet():
        return read(folder, journal.find_studies(journal.open_storage(folder)), description)


def read(folder: Path, studies: Mapping[str, Any], description: Mapping[str, Any], curves: bool = True) -> Results:
    """The results of a search's studies; without `curves`, their learning curves are left out."""
    runs, spaces = [], {}
    for stage in ("coarse", "fine"):
        if stage in studies and "trials" in studies[stage].user_attrs:
            study, attributes = studies[stage], studies[stage].user_attrs
            spaces[stage] = {name: of_dict(entry) for name, entry in attributes["space"].items()}
            trials = (trial for trial in study.get_trials(deepcopy=False) if "claim" in trial.user_attrs)
            latest = {trial.user_attrs["claim"]["slot"]: trial for trial in trials}
            runs += [
                _run(stage, attributes["trials"], slot, trial, history_file(folder, stage, slot) if curves else None)
                for slot, trial in sorted(latest.items())
            ]
    return Results(runs, spaces, description["monitor"], description["maximize"])


def _run(stage: str, of: int, slot: int, trial: Any, file: Path | None) -> Run:
    outcome = trial.user_attrs.get("outcome", {})
    state = {"COMPLETE": "finished", "PRUNED": "pruned"}.get(trial.state.name, "unfinished")
    if trial.state.name == "FAIL" and outcome:  # without an outcome it was given up, and is run again
        state = "failed"
    histories = []
    if state != "unfinished" and file is not None and file.is_file():
        histories = json.loads(file.read_bytes())["histories"]
    return Run(
        slot + 1,
        of,
        stage,
        dict(trial.params),
        state,
        trial.value if state == "finished" else None,
        tuple(outcome.get("folds", ())),
        outcome.get("reason", ""),
        tuple(map(History.from_dict, histories)),
        outcome.get("seconds", 0.0),
    )


def history_file(folder: Path, stage: str, slot: int) -> Path:
    """Where a run's learning curves are kept."""
    return folder / "runs" / f"{stage}-{slot + 1:04d}.json"
