"""Losses: functions ``(scores, labels) -> (loss, dscores)``, averaged over the batch.

``functools.partial(softmax_cross_entropy, label_smoothing=0.1)`` is a loss, too, for Solver, fit and TrainingPlan.
"""

from __future__ import annotations

from fastnet.losses.classes import softmax_cross_entropy, squared_hinge, svm
from fastnet.losses.names import get, measure, metric, takes_soft_labels
from fastnet.losses.targets import bce_with_logits, binary_hinge, huber, l1, mse

__all__ = [
    "bce_with_logits",
    "binary_hinge",
    "get",
    "huber",
    "l1",
    "measure",
    "metric",
    "mse",
    "softmax_cross_entropy",
    "squared_hinge",
    "svm",
    "takes_soft_labels",
]
