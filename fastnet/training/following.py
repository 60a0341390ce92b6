"""How a run and its schedule fit together: checked before it, followed during it."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

from fastnet.optim.schedules import Schedule
from fastnet.training.callbacks import Callback
from fastnet.types import Array

if TYPE_CHECKING:
    from fastnet.training.solver import Solver

__all__ = ["Following", "check_schedule"]


class Following(Callback):
    """Show a schedule that depends on the run each epoch's results; checkpoints keep what it remembers."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule

    @classmethod
    def of(cls, schedule: Schedule) -> list[Following]:
        """One for a schedule that needs it."""
        return [cls(schedule)] if schedule.monitors else []

    def on_train_begin(self, solver: Solver) -> None:
        missing = [name for name in sorted(self.schedule.monitors) if name.startswith("val_")]
        if missing and solver.validation is None:
            raise ValueError(
                f"Solver: the schedule's monitor={missing[0]!r} needs validation data; give Solver(validation=(X, y))"
            )

    def on_epoch_end(self, solver: Solver, record: dict[str, Any]) -> None:
        self.schedule.observe(record)

    def state_dict(self) -> tuple[dict[str, Any], dict[str, Array]]:
        return self.schedule.state_dict(), {}

    def load_state_dict(self, plain: dict[str, Any], arrays: dict[str, Array]) -> None:
        self.schedule.load_state_dict(plain)


def check_schedule(solver: Solver) -> None:
    """Refuse a schedule that ends before the run does; warn of one that changes the rate at once.

    A schedule that ends with the run, such as CosineDecay, is stretched by more epochs: a rate that had come down goes
    up again.
    """
    schedule, per_epoch, done = solver.schedule, len(solver.loader), solver.iteration
    total = solver.epochs * per_epoch
    if done >= total:
        return
    try:
        schedule.check(total, per_epoch)
    except ValueError as error:
        raise ValueError(f"Solver: schedule, in a run of {total} iterations: {error}") from error
    if not done or schedule.monitors:
        return
    had = solver.history.learning_rates[-1]
    would, next_one = (solver.optimizer.lr * schedule(i, total, per_epoch) for i in (done - 1, done))
    if not math.isclose(had, would, rel_tol=1e-3):
        warnings.warn(
            f"train: the learning rate jumps: the last iteration had {had:.3g}, the next has {next_one:.3g} "
            f"({solver.optimizer!r}, {schedule!r} over {solver.epochs} epochs)",
            stacklevel=3,
        )
