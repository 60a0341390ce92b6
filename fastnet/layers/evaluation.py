"""Evaluation: what a model makes of a data set, in two means."""

from __future__ import annotations

from typing import NamedTuple, NoReturn

__all__ = ["Evaluation", "RegressionEvaluation", "evaluation"]


class Evaluation(NamedTuple):
    """Means over a data set."""

    loss: float
    accuracy: float


class RegressionEvaluation(Evaluation):
    """Means over a data set, for losses of regression: ``(loss, mae)``, the mean absolute error."""

    __slots__ = ()

    @property
    def mae(self) -> float:
        return self[1]

    @property
    def accuracy(self) -> NoReturn:
        raise AttributeError("regression has no accuracy; its metric is the mean absolute error, mae")

    def __repr__(self) -> str:
        return f"RegressionEvaluation(loss={self.loss}, mae={self.mae})"


def evaluation(metric: str, loss: float, value: float) -> Evaluation:
    """The two means under the metric's name, "accuracy" or "mae"."""
    return Evaluation(loss, value) if metric == "accuracy" else RegressionEvaluation(loss, value)
