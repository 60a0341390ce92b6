"""Losses: functions ``(scores, labels) -> (loss, dscores)``, averaged over the batch."""

from __future__ import annotations

from fastnet.backends import current
from fastnet.types import Array, Loss

__all__ = ["softmax_cross_entropy", "svm", "get"]


def softmax_cross_entropy(scores: Array, labels: Array) -> tuple[float, Array]:
    """Softmax cross-entropy: the mean over N of ``-log softmax(scores)[label]``.

    It is log(C) if all scores are equal, as they nearly are after initialisation.

    Parameters
    ----------
    scores : array (N, C), float32 or float64
        Unnormalised scores of C classes.
    labels : array (N,), integers in 0..C-1

    Returns
    -------
    loss : float
        In nats, summed in float64.
    dscores : array (N, C), dtype of `scores`
        The gradient, ``(softmax - onehot) / N``.

    Raises
    ------
    ValueError, TypeError
        Shapes that do not match, labels outside 0..C-1 or not integers.
    """
    loss, dscores = current().softmax_cross_entropy(scores, labels)
    return loss, dscores


def svm(scores: Array, labels: Array, margin: float = 1.0) -> tuple[float, Array]:
    """Multiclass SVM (hinge) loss: the mean over N of ``sum_{j != y} max(0, s_j - s_y + margin)``.

    Weston & Watkins, "Support vector machines for multi-class pattern recognition", 1999.  It is ``(C - 1) * margin``
    if all scores are equal.  Arguments, results and errors as in `softmax_cross_entropy`; at a kink the gradient
    is 0.
    """
    loss, dscores = current().svm_loss(scores, labels, margin)
    return loss, dscores


OPS: dict[Loss, str] = {
    softmax_cross_entropy: "softmax_cross_entropy",
    svm: "svm_loss",
}  # losses that are one op, by its name
_NAMES: dict[str, Loss] = {"softmax": softmax_cross_entropy, "svm": svm}


def get(loss: str | Loss) -> Loss:
    """The loss called "softmax" or "svm", or `loss` itself when it is callable.

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
