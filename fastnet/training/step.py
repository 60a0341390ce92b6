"""One step of training: gradients of a batch, penalties, clipping, and the optimiser's update."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

from fastnet import losses
from fastnet.layers import trace
from fastnet.optim import clip_grad_norm, clip_grad_value
from fastnet.training.debug import check_finite, guard, place
from fastnet.training.plan import TrainingPlan
from fastnet.types import Array

if TYPE_CHECKING:
    from fastnet.training.solver import Solver

__all__ = ["Step"]


class Step:
    """``loss, metric = step(x, y, scale, momentum)``: updates the model of a Solver, with the Solver's settings.

    Raises
    ------
    FloatingPointError
        The loss is not finite; with debug="nan" also any array on the way.  The parameters are then as before.
    """

    def __init__(self, solver: Solver) -> None:
        self.solver, self.parameters = solver, solver.model.parameters()
        self.plan = TrainingPlan(solver.model, self._checked_loss if solver.debug else solver.loss)

    def __call__(self, x: Array, y: Array, scale: float, momentum: float | None) -> tuple[float, float]:
        solver, parameters = self.solver, self.parameters
        for parameter in parameters:
            parameter.zero_grad()
        with solver.optimizer.lookahead(parameters, scale, momentum):
            with trace(guard(place(solver))) if solver.debug else contextlib.nullcontext():
                if solver.debug:
                    check_finite("the data:", x, place(solver))
                loss, scores = self.plan(x, y)
            if solver.regularizer is not None:
                loss += solver.regularizer.loss(parameters)
                solver.regularizer.add_gradients(parameters)
        if not math.isfinite(loss):
            check_finite("the training data:", x, place(solver))
            raise FloatingPointError(
                f"the loss is {loss} at {place(solver)}; lower the learning rate ({solver.optimizer.lr * scale:g}), or "
                "check the initial weights; Solver(debug='nan') shows where it comes from"
            )
        if solver.clip_value is not None:
            clip_grad_value(parameters, solver.clip_value)
        if solver.clip_norm is not None:
            clip_grad_norm(parameters, solver.clip_norm)
        solver.optimizer.step(parameters, scale, momentum)
        if solver.regularizer is not None:
            solver.regularizer.project(parameters)
        return float(loss), losses.measure(solver.loss, scores, self.plan.labels)

    def _checked_loss(self, scores: Array, labels: Array) -> tuple[float, Array]:
        loss, dscores = self.solver.loss(scores, labels)
        check_finite("the loss's gradient:", dscores, place(self.solver))
        return loss, dscores
