"""Losses of classes: softmax cross-entropy, multiclass hinge losses."""

from __future__ import annotations

from typing import Any

from fastnet.arrays import as_array
from fastnet.functional.arguments import follows
from fastnet.losses.call import Call, targets_of, weights_of
from fastnet.ops import REGISTRY
from fastnet.types import Array, ArrayLike

__all__ = ["hinge_call", "is_soft", "softmax_call", "softmax_cross_entropy", "squared_hinge", "svm"]


def is_soft(scores: Any, labels: Any) -> bool:
    """Whether labels are probabilities: floats of the scores' number of axes."""
    return bool(labels.dtype.kind == "f" and labels.ndim == scores.ndim)


def softmax_call(
    scores: Array,
    labels: ArrayLike,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    weight: ArrayLike | None = None,
) -> Call:
    given: Any = as_array(labels, "softmax_cross_entropy: labels")
    weights = weights_of("softmax_cross_entropy", weight, scores)
    if not is_soft(scores, given):
        numbers = {"ignore_index": ignore_index, "label_smoothing": label_smoothing}
        return Call(REGISTRY["softmax_cross_entropy"], (given, weights), numbers)
    if ignore_index is not None:
        raise ValueError(
            f"softmax_cross_entropy: ignore_index={ignore_index} is a class number, but the labels are probabilities, "
            f"{given.dtype} {tuple(given.shape)}"
        )
    targets = targets_of("soft_cross_entropy", scores, given)
    return Call(REGISTRY["soft_cross_entropy"], (targets, weights), {"label_smoothing": label_smoothing})


@follows
def softmax_cross_entropy(
    scores: Array,
    labels: ArrayLike,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    weight: ArrayLike | None = None,
) -> tuple[float, Array]:
    """Softmax cross-entropy: the mean of ``-log softmax(scores)[label]``; the arguments are PyTorch's.

    It is log(C) if all scores are equal, as they nearly are after initialisation.

    Parameters
    ----------
    scores : array (N, C), or (N, C, H, W) or (N, C, L) with a label for each pixel or element; float32 or float64
        Unnormalised scores of C classes.
    labels : array (N,), (N, H, W) or (N, L), integers in 0..C-1; or floats of the scores' shape
        Classes, or soft labels t: probabilities, not negative and of sum 1 along axis 1, for which the loss is the mean
        of ``-sum_c t_c log softmax(scores)_c``.
    ignore_index : int, optional
        A label that does not count: the mean is over the others, or 0 if there are none.  Soft labels have none.
    label_smoothing : float, from 0 to 1
        The share e of each label that is spread over all classes: t becomes (1 - e) t + e / C (Szegedy et al. 2016,
        arXiv:1512.00567).
    weight : array (C,), optional
        The weight of each class; its terms are multiplied by it, and the sum is divided by the weights of the labels
        instead of their number (of soft labels, by N).

    Returns
    -------
    loss : float
        In nats, summed in float64.
    dscores : array of the shape and dtype of `scores`
        The gradient, without weights ``(softmax - t)`` divided by the number of labels that count.

    Raises
    ------
    ValueError, TypeError
        Shapes that do not match, labels outside 0..C-1 or not integers, probabilities that do not sum to 1.
    """
    scores = as_array(scores, "softmax_cross_entropy: scores")
    return softmax_call(scores, labels, ignore_index, label_smoothing, weight)(scores)


def hinge_call(
    name: str,
    scores: Array,
    labels: ArrayLike,
    margin: float = 1.0,
    weight: ArrayLike | None = None,
    ignore_index: int | None = None,
) -> Call:
    given = as_array(labels, f"{name}: labels"), weights_of(name, weight, scores)
    return Call(REGISTRY[name], given, {"margin": margin, "ignore_index": ignore_index})


@follows
def svm(
    scores: Array,
    labels: ArrayLike,
    margin: float = 1.0,
    weight: ArrayLike | None = None,
    ignore_index: int | None = None,
) -> tuple[float, Array]:
    """Multiclass SVM (hinge) loss: the mean over N of ``sum_{j != y} max(0, s_j - s_y + margin)``.

    Weston & Watkins, "Support vector machines for multi-class pattern recognition", 1999.  It is ``(C - 1) * margin``
    if all scores are equal.  Scores are (N, C) and labels (N,).  At a kink the gradient is 0.  An example's loss is
    multiplied by the weight of its class, and the mean is over the labels that are not `ignore_index`; PyTorch's
    multi_margin_loss also divides by C.
    """
    scores = as_array(scores, "svm: scores")
    return hinge_call("svm_loss", scores, labels, margin, weight, ignore_index)(scores)


@follows
def squared_hinge(
    scores: Array,
    labels: ArrayLike,
    margin: float = 1.0,
    weight: ArrayLike | None = None,
    ignore_index: int | None = None,
) -> tuple[float, Array]:
    """L2 SVM: the mean over N of ``sum_{j != y} max(0, s_j - s_y + margin)**2``; the rest as in :func:`svm`."""
    scores = as_array(scores, "squared_hinge: scores")
    return hinge_call("squared_hinge_loss", scores, labels, margin, weight, ignore_index)(scores)
