"""Losses by name, the metric and the op of each, and what a ``functools.partial`` of one is."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastnet.backends import current
from fastnet.losses.call import Call, targets_of
from fastnet.losses.classes import hinge_call, softmax_call, softmax_cross_entropy, squared_hinge, svm
from fastnet.losses.targets import bce_with_logits, binary_hinge, huber, l1, mse
from fastnet.ops import REGISTRY
from fastnet.ops.metrics import ACCURACY, Metric
from fastnet.types import Array, ArrayLike, Loss

__all__ = ["call_of", "get", "is_op", "labels_for", "measure", "metric", "op_name", "takes_soft_labels"]

_NAMES: dict[str, Loss] = {
    "softmax": softmax_cross_entropy,
    "svm": svm,
    "squared_hinge": squared_hinge,
    "mse": mse,
    "l1": l1,
    "huber": huber,
    "bce": bce_with_logits,
    "binary_hinge": binary_hinge,
}
_OPS: dict[Loss, str] = {  # losses that are one op, by its name (that of hard labels)
    softmax_cross_entropy: "softmax_cross_entropy",
    svm: "svm_loss",
    squared_hinge: "squared_hinge_loss",
    mse: "mse_loss",
    l1: "l1_loss",
    huber: "huber_loss",
    bce_with_logits: "bce_with_logits",
    binary_hinge: "binary_hinge_loss",
}


def metric(loss: Loss) -> Metric:
    """What is reported beside a loss: accuracy for classes and labels, the mean absolute error for regression.

    A ``functools.partial`` of a loss has its metric.  A function of your own has that of its attribute ``metric``, or
    counts as a loss of classes.
    """
    name = op_name(loss)
    known = REGISTRY[name].metric if name else getattr(_function(loss), "metric", ACCURACY)
    assert known is not None
    return known


def measure(loss: Loss, scores: Array, labels: ArrayLike) -> float:
    """The loss's metric, a mean over a batch."""
    found, ops = metric(loss), current()
    wanted: Any = labels if found.as_given else targets_of(op_name(loss) or found.name, scores, labels)
    return found.measure(ops.own(scores), ops.own(wanted), **getattr(loss, "keywords", {}))


def labels_for(loss: Loss, labels: ArrayLike) -> Any:
    """Labels as they are given to a loss: to one of your own on the backend, as scores are; an op checks them first."""
    return labels if is_op(loss) else current().own(labels)


def op_name(loss: Loss) -> str:
    """The name of the op that a loss of fastnet, or a ``functools.partial`` of one, is; "" of any other function."""
    return _OPS.get(_function(loss), "")


def is_op(loss: Loss) -> bool:
    """Whether a loss is one of fastnet, or a ``functools.partial`` of one with arguments by name."""
    return bool(op_name(loss)) and not getattr(loss, "args", ())


def call_of(loss: Loss, scores: Any, labels: ArrayLike) -> Call | None:
    """The call of an op that a loss of fastnet, or a ``functools.partial`` of one, is; else None.

    The scores may be a graph's node: only their shape and dtype are read.
    """
    if not is_op(loss):
        return None
    function, name = _function(loss), op_name(loss)
    given: dict[str, Any] = getattr(loss, "keywords", {})
    if function is softmax_cross_entropy:
        return softmax_call(scores, labels, **given)
    if function in (svm, squared_hinge):
        return hinge_call(name, scores, labels, **given)
    return Call(REGISTRY[name], (targets_of(name, scores, labels),), given)


def takes_soft_labels(loss: Loss) -> bool:
    """Whether labels may be probabilities (N, C); your own function says so by an attribute ``soft_labels``."""
    function = _function(loss)
    return function is softmax_cross_entropy or bool(getattr(function, "soft_labels", False))


def _function(loss: Loss) -> Any:
    """The function of a ``functools.partial``, or the loss itself."""
    return loss.func if isinstance(loss, partial) else loss


def get(loss: str | Loss) -> Loss:
    """The loss of that name, or `loss` itself when it is callable.

    The names: "softmax", "svm", "squared_hinge", "mse", "l1", "huber", "bce", "binary_hinge".

    Raises
    ------
    ValueError
        An unknown name.
    """
    if callable(loss):
        return loss
    if loss not in _NAMES:
        raise ValueError(f"loss must be one of {sorted(_NAMES)} or a function (scores, labels), got {loss!r}")
    return _NAMES[loss]
