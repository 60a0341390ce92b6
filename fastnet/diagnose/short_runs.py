"""Short runs of a model on its data: what sanity checks and range tests are made of."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastnet import losses
from fastnet.backends import current
from fastnet.data import Dataset, Loader
from fastnet.diagnose.causes import EXPLODED
from fastnet.layers import Model
from fastnet.layers.preserved import preserved
from fastnet.optim import Optimizer
from fastnet.training import Solver, TrainingPlan
from fastnet.types import Array, ArrayLike, Loss, Preprocess

__all__ = ["Data", "Run", "check_optimizer", "subject", "short_run"]

Data = tuple[ArrayLike, ArrayLike] | Dataset | Loader


@dataclass
class Run:
    """The losses and accuracies of a few steps, and the largest relative update of a weight matrix in the last."""

    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    ratio: float = math.nan


@contextlib.contextmanager
def subject(
    model: Model, data: Data, loss: str | Loss, batch_size: int, preprocess: Preprocess | str | None, seed: int
) -> Iterator[tuple[Loader, Loss]]:
    """The loader and the loss that a Solver makes of these arguments; the model is restored afterwards."""
    names = getattr(model, "class_names", None)
    solver = Solver(model, data, loss=loss, batch_size=batch_size, preprocess=preprocess, seed=seed, verbose=False)
    if not model.parameters(requires_grad=True):
        raise ValueError("the model has no parameter that could be trained: it has none, or all are frozen")
    with preserved(model):
        try:
            yield solver.loader, solver.loss
        finally:
            model.class_names = names


def check_optimizer(name: str, optimizer: object) -> None:
    """Raise TypeError, which begins with `name`, unless an optimizer is a function of the rate."""
    if not callable(optimizer):
        raise TypeError(f"{name}: optimizer must be a function of the rate, such as optim.SGD, got {optimizer!r}")


def short_run(
    model: Model,
    loader: Loader,
    loss: Loss,
    optimizer: Optimizer,
    iterations: int,
    *,
    regularizer: Any = None,
    scale: Callable[[int], float] = lambda step: 1.0,
    until: Callable[[Run], bool] = lambda run: False,
) -> Run:
    """Train for some iterations; end earlier if the loss explodes or `until` says so.  The weights are then restored.

    Parameters
    ----------
    regularizer : object with ``loss`` and ``add_gradients``, optional
    scale : function of the step, from 0
        The factor on the optimiser's rate.
    """
    run, plan, parameters, done = Run(), TrainingPlan(model, loss), model.parameters(), 0
    matrices = [parameter for parameter in parameters if parameter.value.ndim > 1 and parameter.requires_grad]
    with preserved(model), np.errstate(all="ignore"):
        for epoch in range(iterations):
            for x, labels in loader.batches(epoch):
                model.zero_grad()
                value, scores = plan(x, labels)
                run.accuracies.append(losses.measure(loss, scores, labels))
                if regularizer is not None:
                    value += regularizer.loss(parameters)
                    regularizer.add_gradients(parameters)
                run.losses.append(float(value))
                done += 1
                if not math.isfinite(value) or value > EXPLODED * max(run.losses[0], 1e-3) or until(run):
                    return run
                before = [parameter.value.copy() for parameter in matrices] if done == iterations else []
                optimizer.step(parameters, scale(done - 1))
                if done == iterations:
                    run.ratio = _largest(before, [parameter.value for parameter in matrices])
                    return run
    return run


def _largest(before: list[Array], after: list[Array]) -> float:
    """The largest ratio of the length of an update to that of the weights before it."""
    down = current().to_numpy
    lengths = [
        (np.linalg.norm(down(new - old)), np.linalg.norm(down(old))) for old, new in zip(before, after, strict=True)
    ]
    ratios = [float(step / length) for step, length in lengths]
    return max((ratio for ratio in ratios if math.isfinite(ratio)), default=math.nan)
