"""A schedule that waits for a monitored value to stop improving."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastnet.arguments import integer, real
from fastnet.optim.schedules.base import Schedule

__all__ = ["ReduceOnPlateau"]


@dataclass(frozen=True, repr=False)
class ReduceOnPlateau(Schedule):
    """Multiply by `factor` when a value has not improved for more than `patience` epochs (PyTorch's ReduceLROnPlateau).

    The only schedule that depends on the run: Solver shows it each epoch's results and keeps its state in checkpoints.
    In a loop of your own call ``schedule.observe({"val_loss": loss})`` after each epoch.

    Parameters
    ----------
    monitor : str
        A column of the history: "val_loss", "val_accuracy", "loss", "accuracy".
    factor : float in (0, 1)
    patience : int
        Epochs without improvement that are let pass.
    threshold : float
        The least improvement that counts.
    threshold_mode : "rel" or "abs"
        Whether `threshold` is a fraction of the best value's size, or a difference.
    cooldown : int
        Epochs after a reduction in which bad ones are not counted.
    minimum : float
        The least factor, as a fraction of the base rate.
    mode : "min", "max" or "auto"
        "auto" is "max" for accuracies, "min" for everything else.
    """

    monitor: str = "val_loss"
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    threshold_mode: str = "rel"
    cooldown: int = 0
    minimum: float = 0.0
    mode: str = "auto"
    _state: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.monitor, str) or not self.monitor:
            raise TypeError(f"ReduceOnPlateau: monitor must be a column such as 'val_loss', got {self.monitor!r}")
        for name in ("factor", "threshold", "minimum"):
            self._take(name)
        if not 0 < self.factor < 1:
            raise ValueError(f"ReduceOnPlateau: factor must be between 0 and 1, got {self.factor}")
        for name in ("patience", "cooldown"):
            object.__setattr__(self, name, integer(getattr(self, name), f"ReduceOnPlateau: {name}", 0))
        for name, choices in (("mode", ("min", "max", "auto")), ("threshold_mode", ("rel", "abs"))):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"ReduceOnPlateau: {name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}"
                )
        self.load_state_dict({"factor": 1.0, "best": None, "bad": 0, "cooling": 0})

    @property
    def monitors(self) -> set[str]:
        return {self.monitor}

    def _decay(self, t: float, total: float | None, step: float) -> float:
        return float(self._state["factor"])

    def observe(self, record: Mapping[str, Any]) -> None:
        if self.monitor not in record:
            raise ValueError(
                f"ReduceOnPlateau: monitor={self.monitor!r} is not among the epoch's results, {sorted(record)}"
            )
        value, state = float(record[self.monitor]), self._state
        if self._better(value, state["best"]):
            state["best"], state["bad"] = value, 0
        else:
            state["bad"] += 1
        if state["cooling"] > 0:
            state["cooling"], state["bad"] = state["cooling"] - 1, 0
        if state["bad"] > self.patience:
            state["factor"] = max(state["factor"] * self.factor, self.minimum)
            state["cooling"], state["bad"] = self.cooldown, 0

    def _better(self, value: float, best: float | None) -> bool:
        if best is None:
            return not math.isnan(value)
        falls = self.mode == "min" or (self.mode == "auto" and "acc" not in self.monitor)
        sign = 1 if falls else -1
        margin = self.threshold * abs(best) if self.threshold_mode == "rel" else self.threshold
        return sign * value < sign * best - margin

    def state_dict(self) -> dict[str, Any]:
        return dict(self._state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        best = state["best"]
        kept = {
            "factor": real(state["factor"], "ReduceOnPlateau: factor"),
            "best": None if best is None else float(best),
            "bad": int(state["bad"]),
            "cooling": int(state["cooling"]),
        }
        self._state.update(kept)
