"""Losses: functions ``(scores, labels) -> (loss, dscores)``, averaged over the batch."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastnet.arrays import as_array
from fastnet.backends import current
from fastnet.ops import REGISTRY
from fastnet.ops.checks import check_shape
from fastnet.ops.metrics import ACCURACY, Metric
from fastnet.types import Array, ArrayLike, Loss

__all__ = ["bce_with_logits", "get", "huber", "l1", "measure", "metric", "mse", "softmax_cross_entropy", "svm"]


def softmax_cross_entropy(scores: Array, labels: Array, ignore_index: int | None = None) -> tuple[float, Array]:
    """Softmax cross-entropy: the mean of ``-log softmax(scores)[label]``.

    It is log(C) if all scores are equal, as they nearly are after initialisation.

    Parameters
    ----------
    scores : array (N, C), or (N, C, H, W) or (N, C, L) with a label for each pixel or element; float32 or float64
        Unnormalised scores of C classes.
    labels : array (N,), (N, H, W) or (N, L), integers in 0..C-1
    ignore_index : int, optional
        A label that does not count: the mean is over the others, or 0 if there are none.

    Returns
    -------
    loss : float
        In nats, summed in float64.
    dscores : array of the shape and dtype of `scores`
        The gradient, ``(softmax - onehot)`` divided by the number of labels that count.

    Raises
    ------
    ValueError, TypeError
        Shapes that do not match, labels outside 0..C-1 or not integers.
    """
    loss, dscores = current().softmax_cross_entropy(scores, labels, ignore_index)
    return loss, dscores


def svm(scores: Array, labels: Array, margin: float = 1.0) -> tuple[float, Array]:
    """Multiclass SVM (hinge) loss: the mean over N of ``sum_{j != y} max(0, s_j - s_y + margin)``.

    Weston & Watkins, "Support vector machines for multi-class pattern recognition", 1999.  It is ``(C - 1) * margin``
    if all scores are equal.  Scores are (N, C) and labels (N,); the rest is as in `softmax_cross_entropy`.  At a kink
    the gradient is 0.
    """
    loss, dscores = current().svm_loss(scores, labels, margin)
    return loss, dscores


def targets_of(op: str, scores: Any, targets: ArrayLike) -> Any:
    """Targets as an array of the scores' dtype and shape; targets (N,) become (N, 1) where scores are.

    Raises
    ------
    ValueError, TypeError
        Another shape, or not real numbers; the message begins with `op`.
    """
    ops = current()
    array: Any = as_array(targets, f"{op}: targets")
    if tuple(array.shape) == scores.shape[:1] and scores.shape[1:] == (1,):
        array = array.reshape(-1, 1)
    check_shape(op, "targets", array, scores.shape)
    return ops.asarray(array, scores.dtype)


def mse(scores: Array, targets: ArrayLike) -> tuple[float, Array]:
    """Mean squared error: the mean of ``(x - t)**2`` over all elements.

    Parameters
    ----------
    scores : array of any shape, float32 or float64
        What the model gives, x.
    targets : array of the same shape, or (N,) for scores (N, 1)
        What it should give, t; cast to the scores' dtype.

    Returns
    -------
    loss : float
    dscores : array of the shape and dtype of `scores`
        The gradient.

    Raises
    ------
    ValueError, TypeError
        Shapes that do not match, which are not broadcast; targets that are not real numbers.
    """
    loss, dscores = current().mse_loss(scores, targets_of("mse", scores, targets))
    return loss, dscores


def l1(scores: Array, targets: ArrayLike) -> tuple[float, Array]:
    """Mean absolute error: the mean of ``|x - t|``, whose gradient is 0 at x = t; the rest as in :func:`mse`."""
    loss, dscores = current().l1_loss(scores, targets_of("l1", scores, targets))
    return loss, dscores


def huber(scores: Array, targets: ArrayLike, delta: float = 1.0) -> tuple[float, Array]:
    """Huber loss: the mean of ``d**2 / 2`` where |d| <= delta, else ``delta * (|d| - delta / 2)``, for d = x - t.

    Huber, "Robust estimation of a location parameter", 1964.  The rest as in :func:`mse`.
    """
    loss, dscores = current().huber_loss(scores, targets_of("huber", scores, targets), float(delta))
    return loss, dscores


def bce_with_logits(scores: Array, targets: ArrayLike) -> tuple[float, Array]:
    """Binary cross-entropy of several labels: the mean of ``-t log p - (1 - t) log(1 - p)``, p = sigmoid(score).

    Parameters
    ----------
    scores : array of any shape, float32 or float64
        Logits: no sigmoid before it.
    targets : array of the same shape, or (N,) for scores (N, 1)
        From 0 (no) to 1 (yes).

    Returns and raises what :func:`mse` does; also ValueError for targets outside [0, 1].
    """
    loss, dscores = current().bce_with_logits(scores, targets_of("bce_with_logits", scores, targets))
    return loss, dscores


_NAMES: dict[str, Loss] = {
    "softmax": softmax_cross_entropy,
    "svm": svm,
    "mse": mse,
    "l1": l1,
    "huber": huber,
    "bce": bce_with_logits,
}
OPS: dict[Loss, str] = {  # losses that are one op, by its name
    softmax_cross_entropy: "softmax_cross_entropy",
    svm: "svm_loss",
    mse: "mse_loss",
    l1: "l1_loss",
    huber: "huber_loss",
    bce_with_logits: "bce_with_logits",
}


def metric(loss: Loss) -> Metric:
    """What is reported beside a loss: accuracy for classes and labels, the mean absolute error for regression.

    A ``functools.partial`` of a loss has its metric.  A function of your own has that of its attribute ``metric``, or
    counts as a loss of classes.
    """
    base = _base(loss)
    known = REGISTRY[OPS[base]].metric if base in OPS else getattr(base, "metric", ACCURACY)
    assert known is not None
    return known


def measure(loss: Loss, scores: Array, labels: ArrayLike) -> float:
    """The loss's metric, a mean over a batch."""
    found, ops = metric(loss), current()
    wanted: Any = (
        ops.xp.asarray(labels) if found.as_given else targets_of(OPS.get(_base(loss), found.name), scores, labels)
    )
    return found.measure(ops.to_numpy(scores), ops.to_numpy(wanted), **getattr(loss, "keywords", {}))


def _base(loss: Loss) -> Any:
    return loss.func if isinstance(loss, partial) else loss


def get(loss: str | Loss) -> Loss:
    """The loss called "softmax", "svm", "mse", "l1", "huber" or "bce", or `loss` itself when it is callable.

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
