"""Callbacks, called at fixed points of the training loop: the base class, the best snapshot, early stopping."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fastnet.arguments import at_least_zero, integer
from fastnet.storage import number
from fastnet.types import Array

if TYPE_CHECKING:
    from fastnet.training.solver import Solver

__all__ = ["Callback", "BestSnapshot", "EarlyStopping"]


class Callback:
    """The base class: does nothing.  Solver passes itself to these methods; ``solver.stop(reason)`` ends training.

    A callback that has state returns it from `state_dict` as ``(plain, arrays)``, a dict for JSON and a dict of arrays;
    checkpoints hold both.

    Attributes
    ----------
    holds_model : bool
        Whether these arrays are a state dict of the model that replaces the last weights when training ends.
    """

    holds_model = False

    def on_train_begin(self, solver: Solver) -> None:
        """Before the first iteration, and after a checkpoint was loaded."""

    def on_iteration_end(self, solver: Solver) -> None:
        """After each update of the parameters; ``solver.history.losses[-1]`` is its loss."""

    def on_epoch_end(self, solver: Solver, record: dict[str, Any]) -> None:
        """After validation; `record` is the epoch's row of the history."""

    def on_train_end(self, solver: Solver) -> None:
        """After the last epoch, or after `solver.stop`; not after an error or Ctrl-C."""

    def state_dict(self) -> tuple[dict[str, Any], dict[str, Array]]:
        return {}, {}

    def load_state_dict(self, plain: dict[str, Any], arrays: dict[str, Array]) -> None:
        """Restore what `state_dict` returned."""


class BestSnapshot(Callback):
    """Keep the parameters of the best epoch, and restore them when training ends.

    Parameters
    ----------
    monitor : str
        A column of the history: "val_loss", "val_accuracy", "loss", "accuracy".
    min_delta : float
        The least improvement that counts, >= 0.
    mode : "min", "max" or "auto"
        "auto" is "max" for accuracies, "min" for everything else.
    restore_best : bool
        Whether to restore the best parameters when training ends; `best_state` has them in any case.

    Attributes
    ----------
    best : float or None
        The best value so far.
    best_epoch : int or None
        Its epoch, from 1.
    best_state : dict or None
        ``model.state_dict()`` after that epoch.
    """

    holds_model = True

    def __init__(
        self, monitor: str = "val_loss", min_delta: float = 0.0, mode: str = "auto", restore_best: bool = True
    ) -> None:
        name = type(self).__name__
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"{name}: mode must be 'auto', 'min' or 'max', got {mode!r}")
        if not isinstance(monitor, str):
            raise TypeError(f"{name}: monitor must be a column of the history such as 'val_loss', got {monitor!r}")
        self.monitor, self.restore_best = monitor, bool(restore_best)
        self.min_delta = at_least_zero(min_delta, f"{name}: min_delta")
        self.mode = mode if mode != "auto" else "max" if "acc" in monitor else "min"
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.best_state: dict[str, Array] | None = None

    def on_train_begin(self, solver: Solver) -> None:
        if self.monitor.startswith("val_") and solver.validation is None:
            raise ValueError(
                f"{type(self).__name__}: monitor={self.monitor!r} needs validation data; give Solver(validation=(X, y))"
            )

    def on_epoch_end(self, solver: Solver, record: dict[str, Any]) -> None:
        if self.monitor not in record:
            raise ValueError(f"{type(self).__name__}: monitor must be one of {sorted(record)}, got {self.monitor!r}")
        if self.better(record[self.monitor]):
            self.best, self.best_epoch = record[self.monitor], record["epoch"]
            self.best_state = solver.model.state_dict()

    def better(self, value: float) -> bool:
        """Whether `value` beats the best by more than `min_delta`; NaN never does."""
        if self.best is None:
            return not math.isnan(value)
        return value < self.best - self.min_delta if self.mode == "min" else value > self.best + self.min_delta

    def on_train_end(self, solver: Solver) -> None:
        if self.restore_best and self.best_state is not None and self.best_epoch != len(solver.history):
            solver.model.load_state_dict(self.best_state)
            solver.report(f"restored the parameters of epoch {self.best_epoch}: {self.monitor} {self.best:.4f}")

    def state_dict(self) -> tuple[dict[str, Any], dict[str, Array]]:
        return {"best": self.best, "best_epoch": self.best_epoch}, dict(self.best_state or {})

    def load_state_dict(self, plain: dict[str, Any], arrays: dict[str, Array]) -> None:
        self.best, self.best_epoch = number(plain["best"]), plain["best_epoch"]
        self.best_state = dict(arrays) if self.best_epoch is not None else None


class EarlyStopping(BestSnapshot):
    """Stop when the monitored value has not improved for `patience` epochs, and restore the best parameters.

    Parameters
    ----------
    monitor, min_delta, mode, restore_best
        As for `BestSnapshot`.
    patience : int
        Epochs without improvement after which training stops; 0 and 1 both stop at the first.

    Attributes
    ----------
    wait : int
        Epochs since the best.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        mode: str = "auto",
        restore_best: bool = True,
    ) -> None:
        super().__init__(monitor, min_delta, mode, restore_best)
        self.patience, self.wait = integer(patience, "EarlyStopping: patience", 0), 0

    @classmethod
    def of(cls, given: Any) -> EarlyStopping:
        """Solver's `early_stopping`: itself, or an integer, the patience.

        Raises
        ------
        TypeError, ValueError
            Neither of these.
        """
        if isinstance(given, EarlyStopping):
            return given
        try:
            return cls(patience=given)
        except TypeError as error:
            wanted = "an int (epochs of patience) or EarlyStopping"
            raise TypeError(f"Solver: early_stopping must be {wanted}, got {given!r}") from error

    def on_train_begin(self, solver: Solver) -> None:
        super().on_train_begin(solver)
        self._stop_if_due(solver)

    def on_epoch_end(self, solver: Solver, record: dict[str, Any]) -> None:
        super().on_epoch_end(solver, record)
        self.wait = 0 if self.best_epoch == record["epoch"] else self.wait + 1
        self._stop_if_due(solver)

    def _stop_if_due(self, solver: Solver) -> None:
        if self.wait and self.wait >= self.patience:
            solver.stop(f"{self.monitor} has not improved for {self.wait} epochs")

    def state_dict(self) -> tuple[dict[str, Any], dict[str, Array]]:
        plain, arrays = super().state_dict()
        return {**plain, "wait": self.wait}, arrays

    def load_state_dict(self, plain: dict[str, Any], arrays: dict[str, Array]) -> None:
        super().load_state_dict(plain, arrays)
        self.wait = plain["wait"]
