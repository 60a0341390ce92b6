"""One epoch of a Solver: its batches, its validation, and its row of the history."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastnet.training.arguments import check_factor
from fastnet.training.debug import check_state, check_validation, place
from fastnet.training.inputs import batches_of
from fastnet.training.step import Step

if TYPE_CHECKING:
    from fastnet.training.solver import Solver

__all__ = ["Epoch", "Totals"]


@dataclass
class Totals:
    """Sums over the batches of an epoch that are done; checkpoints keep them.

    Attributes
    ----------
    loss, metric : float
        Each batch's mean times its number of examples.
    seen : int
        Examples.
    seconds : float
        The time that the batches took.
    waiting : float
        The part of it in which the next batch was not ready.
    """

    loss: float = 0.0
    metric: float = 0.0
    seen: int = 0
    seconds: float = 0.0
    waiting: float = 0.0

    def add(self, loss: float, metric: float, examples: int) -> None:
        """Add the means over a batch."""
        self.loss += loss * examples
        self.metric += metric * examples
        self.seen += examples


class Epoch:
    """``epoch()`` trains a Solver from its position to the end of the epoch, validates, and adds a row to the history.

    Raises
    ------
    FloatingPointError
        The training or validation loss is not finite, or an update left a NaN or an infinity in the model.
    """

    def __init__(self, solver: Solver, step: Step) -> None:
        self.solver, self.step = solver, step

    def __call__(self) -> None:
        solver = self.solver
        solver.progress.start_epoch(solver.epoch, len(solver.loader), solver.batch)
        self._train()
        record = self._record()
        solver.history.append(record)
        solver.epoch, solver.batch, solver.running = solver.epoch + 1, 0, Totals()
        solver.progress.end_epoch(record)
        solver.notify("on_epoch_end", record)

    def _train(self) -> None:
        solver, loader, running = self.solver, self.solver.loader, self.solver.running
        total = solver.epochs * len(loader)
        start = asked = time.perf_counter()
        with contextlib.closing(batches_of(loader, solver.epoch, solver.batch)) as batches:
            for x, y in batches:
                running.waiting += time.perf_counter() - asked
                position = solver.iteration, total, len(loader)
                scale = check_factor(solver.schedule(*position))
                loss, metric = self.step(x, y, scale, solver.schedule.momentum_at(*position))
                solver.history.losses.append(loss)
                solver.history.learning_rates.append(solver.optimizer.lr * scale)
                running.add(loss, metric, len(y))
                solver.batch, solver.iteration = solver.batch + 1, solver.iteration + 1
                now = time.perf_counter()
                running.seconds, start = running.seconds + now - start, now
                solver.notify("on_iteration_end")
                solver.progress.step(solver.batch, loss, running.waiting / running.seconds)
                solver.interrupt.check()
                asked = time.perf_counter()

    def _record(self) -> dict[str, Any]:
        """Check and validate the model; the epoch's row of the history."""
        solver, running = self.solver, self.solver.running
        name, rate = solver.metric.name, solver.history.learning_rates[-1]
        record = {
            "epoch": solver.epoch + 1,
            "loss": running.loss / running.seen,
            name: running.metric / running.seen,
        }
        start = time.perf_counter()
        check_state(solver.model, place(solver, 0), rate)
        if solver.validation is not None:
            record["val_loss"], record[f"val_{name}"] = solver.evaluate_loader(solver.validation)
            check_validation(record["val_loss"], solver.validation, place(solver, 0), rate)
        training = max(running.seconds, 1e-9)
        return {
            **record,
            "lr": rate,
            "seconds": running.seconds + time.perf_counter() - start,
            "images_per_second": running.seen / training,
            "waiting": running.waiting / training,
        }
