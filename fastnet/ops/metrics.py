"""Metrics: how good scores are, beside the loss that training minimises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastnet.types import Array

__all__ = ["ACCURACY", "LABEL_ACCURACY", "MAE", "Metric"]


@dataclass(frozen=True)
class Metric:
    """A mean over a data set.

    Attributes
    ----------
    name : str
        In tables and histories.
    measure : function
        ``measure(scores, labels, **attributes)`` returns the mean over a batch; attributes are those of the loss.
    as_given : bool
        Whether labels are passed as they are, rather than as targets of the scores' shape and dtype.
    """

    name: str
    measure: Callable[..., float]
    as_given: bool = False


def _accuracy(scores: Array, labels: Array, ignore_index: int | None = None, **_: Any) -> float:
    if labels.dtype.kind == "f":  # probabilities
        labels = labels.argmax(axis=1)
    right, counted = scores.argmax(axis=1) == labels, labels.size
    if ignore_index is not None:
        kept = labels != ignore_index
        right, counted = right & kept, int(kept.sum())
    return float(right.sum() / max(counted, 1))


def _label_accuracy(scores: Array, targets: Array, **_: Any) -> float:
    return float(((scores > 0) == (targets > 0.5)).mean())


def _mae(scores: Array, targets: Array, **_: Any) -> float:
    return float(abs(scores - targets).mean(dtype="float64"))


# the share of labels, or of largest probabilities, with the largest score
ACCURACY = Metric("accuracy", _accuracy, as_given=True)
LABEL_ACCURACY = Metric("accuracy", _label_accuracy)  # of targets 0 and 1 on whose side the score is
MAE = Metric("mae", _mae)  # the mean absolute error
