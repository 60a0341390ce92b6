"""Live diagnosis: what goes wrong in a run, in words, when it happens."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastnet.arguments import integer, real
from fastnet.diagnose.causes import EXPLODES, FLAT, RELAPSE, RISEN, SLOW_START, UNITS
from fastnet.diagnose.statistics import activation_statistics
from fastnet.diagnose.symptoms import units
from fastnet.training import Callback, Solver
from fastnet.types import Array

__all__ = ["Finding", "LiveDiagnosis"]

_WINDOW = 20  # iterations that are averaged


class Finding(NamedTuple):
    """What was found, and after which iteration; `kind` is one word, such as "flat"."""

    iteration: int
    kind: str
    text: str


class LiveDiagnosis(Callback):
    """Watches a run, and says once, between the rows of the Solver's table, what it sees:

    - the loss is barely changing after `patience` iterations, or falls only after it was flat that long;
    - the loss explodes: 1.3 times the first (a loss of NaN ends the run by an error of the Solver's), or rises again to
      where it began;
    - many units of a layer are dead or saturated, looked at after each epoch;
    - a gap between training and validation accuracy: overfitting; or the validation loss rises while the training
      loss falls;
    - no gap at the end: the network can be larger.

    Each with the causes that the lectures name (CS231n 2024, "Training neural networks").

    Parameters
    ----------
    patience : int
        Iterations after which a loss should have fallen by 1 %.
    gap : float
        Between training and validation accuracy.
    examples : int
        How many are run to look for dead units; 0 for none.

    Attributes
    ----------
    findings : list of Finding
    """

    def __init__(self, patience: int = 100, gap: float = 0.1, examples: int = 128) -> None:
        self.patience = integer(patience, "LiveDiagnosis: patience", _WINDOW)
        self.gap, self.examples = real(gap, "LiveDiagnosis: gap"), integer(examples, "LiveDiagnosis: examples", 0)
        self.findings: list[Finding] = []
        self._lowest = 1.0  # of the averaged losses, as a share of the first

    def _say(self, solver: Solver, kind: str, text: str) -> None:
        if not self._said(kind):
            self.findings.append(Finding(solver.iteration, kind, text))
            solver.report(f"iteration {solver.iteration}: {text}")

    def _said(self, *kinds: str) -> bool:
        return any(finding.kind in kinds for finding in self.findings)

    def on_iteration_end(self, solver: Solver) -> None:
        losses, done = solver.history.losses, solver.iteration
        if done % _WINDOW or len(losses) < 2 * _WINDOW:
            return
        first, recent = float(np.mean(losses[:5])), float(np.mean(losses[-_WINDOW:]))
        self._lowest = min(self._lowest, recent / first)
        numbers = f"loss {recent:.4g}, at first {first:.4g}"
        if recent > RISEN * first:
            self._say(solver, "exploding", f"{numbers}: {EXPLODES}")
        elif recent > 0.99 * first and self._lowest < 0.7:
            self._say(solver, "relapse", f"{numbers}: {RELAPSE}")
        elif recent > 0.99 * first and done >= self.patience and self._lowest > 0.95:
            self._say(solver, "flat", f"{numbers}: {FLAT}")
        elif recent < 0.9 * first and self._said("flat"):
            self._say(solver, "slow start", f"{numbers}: {SLOW_START}")

    def on_epoch_end(self, solver: Solver, record: dict[str, Any]) -> None:
        if self.examples:
            x, _ = next(solver.loader.batches(0))
            for layer, text in units(activation_statistics(solver.model, x[: self.examples])).items():
                self._say(solver, f"units of {layer}", f"{text}: {UNITS}")
        if "val_loss" not in record or record["loss"] > 0.9 * solver.history.losses[0]:
            return
        if "accuracy" in record and record["accuracy"] - record["val_accuracy"] > self.gap:
            numbers = f"training accuracy {record['accuracy']:.1%}, validation {record['val_accuracy']:.1%}"
            self._say(solver, "overfitting", f"{numbers}: a gap, overfitting; regularize more, or get more data")
        columns = solver.history.history
        rising = np.diff(columns["val_loss"][-4:])
        if len(rising) == 3 and (rising > 0).all() and (np.diff(columns["loss"][-4:]) < 0).all():
            text = "the validation loss has risen for 3 epochs while the training loss fell: overfitting"
            self._say(solver, "validation loss rises", f"{text}; stop early, or regularize more")

    def on_train_end(self, solver: Solver) -> None:
        columns = solver.history.history
        if "val_accuracy" not in columns or not columns["val_accuracy"]:
            return
        right, held = columns["accuracy"][-1], columns["val_accuracy"][-1]
        if right < 0.98 and right - held < 0.02 and not self._said("flat", "exploding", "relapse"):
            numbers = f"training accuracy {right:.1%}, validation {held:.1%}"
            self._say(solver, "no gap", f"{numbers}: no gap; a larger network, or longer training, may do better")

    def state_dict(self) -> tuple[dict[str, Any], dict[str, Array]]:
        return {"findings": [list(finding) for finding in self.findings], "lowest": self._lowest}, {}

    def load_state_dict(self, plain: dict[str, Any], arrays: dict[str, Array]) -> None:
        self.findings, self._lowest = [Finding(*finding) for finding in plain["findings"]], plain["lowest"]
