"""One trial: trains a setting's Solvers, and stops them early where they cannot win."""

from __future__ import annotations

import math
import numbers
import sys
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastnet.data import Dataset
from fastnet.layers import Model
from fastnet.training import Callback, History, Solver

__all__ = ["Outcome", "Pruned", "Rules", "evaluate"]

_SECONDS_BETWEEN_LINES = 10.0
_WINDOW = 10  # iterations: good runs may spike for some, such as Adam's first ones
_MODELS: weakref.WeakSet[Model] = weakref.WeakSet()  # those that a search has trained


class Pruned(Exception):
    """The trial is stopped early; the message says why."""


@dataclass(frozen=True)
class Rules:
    """How trials are run and judged.

    Attributes
    ----------
    monitor : str
        The column of the history whose last value is a run's result.
    maximize : bool
    epochs : int or None
        Epochs of each run; None leaves them to the Solver.
    stop_above : float or None
        A run is stopped when the mean of its last ten losses is above this multiple of the first.
    """

    monitor: str
    maximize: bool
    epochs: int | None
    stop_above: float | None


@dataclass
class Outcome:
    """What a trial has given so far, one value and one History for each fold."""

    values: list[float] = field(default_factory=list)
    histories: list[History] = field(default_factory=list)


class _Watch(Callback):
    """Stops a run whose loss explodes, or which the study's pruner gives up; tells how far it is."""

    def __init__(self, rules: Rules, trial: Any, fold: int, title: str) -> None:
        self.rules, self.trial, self.fold, self.title = rules, trial, fold, title
        self._last = time.monotonic()

    def on_iteration_end(self, solver: Solver) -> None:
        losses, factor = solver.history.losses, self.rules.stop_above
        if factor is not None and len(losses) >= _WINDOW:
            mean = sum(losses[-_WINDOW:]) / _WINDOW
            if mean > factor * losses[0]:
                count = f"{len(losses)} iterations"
                raise Pruned(f"the loss is {mean:.4g} after {count}, above {factor:g} x the first, {losses[0]:.4g}")
        if self.title and time.monotonic() - self._last > _SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            place = f"epoch {solver.epoch + 1}/{solver.epochs}, loss {losses[-1]:.4f}"
            print(f"{self.title}: {place}", file=sys.stderr, flush=True)

    def on_epoch_end(self, solver: Solver, record: dict[str, Any]) -> None:
        value = result(record, self.rules.monitor)
        if math.isfinite(value):
            step = self.fold * solver.epochs + solver.epoch
            self.trial.report(value, step)
            if self.trial.should_prune():
                raise Pruned(
                    f"{self.rules.monitor} {value:.4f} after epoch {record['epoch']} is worse than half of the trials"
                )


def result(record: dict[str, Any], monitor: str) -> float:
    """The monitored value of an epoch."""
    if monitor not in record:
        hint = ""
        if monitor.startswith("val_"):
            hint = "; it needs validation images: give search(data=...) and pass them on to Solver"
        raise ValueError(f"search: monitor must be one of {', '.join(sorted(record))}, got {monitor!r}{hint}")
    return float(record[monitor])


def evaluate(
    function: Callable[..., Any],
    setting: dict[str, Any],
    parts: Sequence[Callable[[], Dataset]],
    rules: Rules,
    trial: Any,
    outcome: Outcome,
    title: str,
) -> None:
    """Run a setting on all `parts`, the folds (none: the function has its own data), into `outcome`.

    Raises
    ------
    Pruned
        It is stopped early, or its loss is not finite.
    Exception
        What `function` raises, or Solver.
    """
    for fold, part in enumerate(parts or [None]):
        made = function(**setting) if part is None else function(part(), **setting)
        if isinstance(made, Solver):
            name = f"{title}, fold {fold + 1}/{len(parts)}" if title and len(parts) > 1 else title
            value = _train(made, rules, trial, fold, name, outcome)
        elif isinstance(made, numbers.Real) and not isinstance(made, bool):
            value = float(made)
        else:
            raise TypeError(f"search: the function must return a Solver or a number, got {type(made).__name__}")
        if not math.isfinite(value):
            raise Pruned(f"the result is {value}")
        outcome.values.append(value)


def _train(solver: Solver, rules: Rules, trial: Any, fold: int, title: str, outcome: Outcome) -> float:
    if solver.iteration or solver.model in _MODELS:
        raise ValueError("search: the function must build a new model for each call; this one is trained already")
    _MODELS.add(solver.model)
    if rules.epochs is not None:
        solver.epochs = rules.epochs
    solver.verbose = False
    solver.callbacks.append(_Watch(rules, trial, fold, title))
    outcome.histories.append(solver.history)
    try:
        solver.train()
    except FloatingPointError as error:
        raise Pruned(str(error)) from error
    return result(solver.history.rows()[-1], rules.monitor)
