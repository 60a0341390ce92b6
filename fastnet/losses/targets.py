"""Losses of targets, a number for each score: of regression, and of several labels."""

from __future__ import annotations

from fastnet.arrays import as_array
from fastnet.backends import current
from fastnet.functional.arguments import follows
from fastnet.losses.call import Call, targets_of
from fastnet.ops import REGISTRY
from fastnet.types import Array, ArrayLike

__all__ = ["bce_with_logits", "binary_hinge", "huber", "l1", "mse"]


@follows
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
    scores = as_array(scores, "mse: scores")
    loss, dscores = current().mse_loss(scores, targets_of("mse", scores, targets))
    return loss, dscores


@follows
def l1(scores: Array, targets: ArrayLike) -> tuple[float, Array]:
    """Mean absolute error: the mean of ``|x - t|``, whose gradient is 0 at x = t; the rest as in :func:`mse`."""
    scores = as_array(scores, "l1: scores")
    loss, dscores = current().l1_loss(scores, targets_of("l1", scores, targets))
    return loss, dscores


@follows
def huber(scores: Array, targets: ArrayLike, delta: float = 1.0) -> tuple[float, Array]:
    """Huber loss: the mean of ``d**2 / 2`` where |d| <= delta, else ``delta * (|d| - delta / 2)``, for d = x - t.

    Huber, "Robust estimation of a location parameter", 1964.  The rest as in :func:`mse`.
    """
    scores = as_array(scores, "huber: scores")
    loss, dscores = current().huber_loss(scores, targets_of("huber", scores, targets), float(delta))
    return loss, dscores


@follows
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
    scores = as_array(scores, "bce_with_logits: scores")
    loss, dscores = current().bce_with_logits(scores, targets_of("bce_with_logits", scores, targets))
    return loss, dscores


@follows
def binary_hinge(scores: Array, targets: ArrayLike, margin: float = 1.0) -> tuple[float, Array]:
    """Binary hinge loss of several labels (attributes): the mean of ``max(0, margin - y * score)``, y = 1 or -1.

    Parameters
    ----------
    scores : array of any shape, float32 or float64
        The sign of a score is the answer.
    targets : array of the same shape, or (N,) for scores (N, 1)
        1 for yes; for no either 0 or -1, one of them throughout.

    Returns and raises what :func:`mse` does; also ValueError for other targets.
    """
    scores = as_array(scores, "binary_hinge: scores")
    targets = targets_of("binary_hinge_loss", scores, targets)
    return Call(REGISTRY["binary_hinge_loss"], (targets,), {"margin": float(margin)})(scores)
