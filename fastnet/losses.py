"""Losses: functions ``(scores, labels) -> (loss, dscores)``, averaged over the batch.

``functools.partial(softmax_cross_entropy, label_smoothing=0.1)`` is a loss, too, for Solver, fit and TrainingPlan.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from fastnet.arrays import as_array
from fastnet.backends import current
from fastnet.ops import REGISTRY, Op
from fastnet.ops.checks import check_shape
from fastnet.ops.metrics import ACCURACY, Metric
from fastnet.types import Array, ArrayLike, Loss

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


class Call(NamedTuple):
    """A loss as a call of its op: the arrays after the scores, and the attributes."""

    op: Op
    arrays: tuple[Any, ...]
    attributes: dict[str, Any]

    def __call__(self, scores: Array) -> tuple[float, Array]:
        loss, dscores = getattr(current(), self.op.name)(scores, *self.arrays, **self.attributes)
        return loss, dscores


def _weight(op: str, weight: ArrayLike | None, scores: Any) -> Any:
    """Weights of classes as an array of the scores' dtype."""
    return None if weight is None else current().contiguous(as_array(weight, f"{op}: weight"), scores.dtype)


def is_soft(scores: Any, labels: Any) -> bool:
    """Whether labels are probabilities: floats of the scores' number of axes."""
    return bool(labels.dtype.kind == "f" and labels.ndim == scores.ndim)


def _softmax_call(
    scores: Array,
    labels: ArrayLike,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    weight: ArrayLike | None = None,
) -> Call:
    given: Any = as_array(labels, "softmax_cross_entropy: labels")
    weights = _weight("softmax_cross_entropy", weight, scores)
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
    return _softmax_call(scores, labels, ignore_index, label_smoothing, weight)(scores)


def _hinge_call(
    name: str,
    scores: Array,
    labels: ArrayLike,
    margin: float = 1.0,
    weight: ArrayLike | None = None,
    ignore_index: int | None = None,
) -> Call:
    given = as_array(labels, f"{name}: labels"), _weight(name, weight, scores)
    return Call(REGISTRY[name], given, {"margin": margin, "ignore_index": ignore_index})


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
    return _hinge_call("svm_loss", scores, labels, margin, weight, ignore_index)(scores)


def squared_hinge(
    scores: Array,
    labels: ArrayLike,
    margin: float = 1.0,
    weight: ArrayLike | None = None,
    ignore_index: int | None = None,
) -> tuple[float, Array]:
    """L2 SVM: the mean over N of ``sum_{j != y} max(0, s_j - s_y + margin)**2``; the rest as in :func:`svm`."""
    scores = as_array(scores, "squared_hinge: scores")
    return _hinge_call("squared_hinge_loss", scores, labels, margin, weight, ignore_index)(scores)


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
    scores = as_array(scores, "mse: scores")
    loss, dscores = current().mse_loss(scores, targets_of("mse", scores, targets))
    return loss, dscores


def l1(scores: Array, targets: ArrayLike) -> tuple[float, Array]:
    """Mean absolute error: the mean of ``|x - t|``, whose gradient is 0 at x = t; the rest as in :func:`mse`."""
    scores = as_array(scores, "l1: scores")
    loss, dscores = current().l1_loss(scores, targets_of("l1", scores, targets))
    return loss, dscores


def huber(scores: Array, targets: ArrayLike, delta: float = 1.0) -> tuple[float, Array]:
    """Huber loss: the mean of ``d**2 / 2`` where |d| <= delta, else ``delta * (|d| - delta / 2)``, for d = x - t.

    Huber, "Robust estimation of a location parameter", 1964.  The rest as in :func:`mse`.
    """
    scores = as_array(scores, "huber: scores")
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
    scores = as_array(scores, "bce_with_logits: scores")
    loss, dscores = current().bce_with_logits(scores, targets_of("bce_with_logits", scores, targets))
    return loss, dscores


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
OPS: dict[Loss, str] = {  # losses that are one op, by its name (that of hard labels)
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
    function = base(loss)
    known = REGISTRY[OPS[function]].metric if function in OPS else getattr(function, "metric", ACCURACY)
    assert known is not None
    return known


def measure(loss: Loss, scores: Array, labels: ArrayLike) -> float:
    """The loss's metric, a mean over a batch."""
    found, ops = metric(loss), current()
    wanted: Any = (
        ops.xp.asarray(labels) if found.as_given else targets_of(OPS.get(base(loss), found.name), scores, labels)
    )
    return found.measure(ops.to_numpy(scores), ops.to_numpy(wanted), **getattr(loss, "keywords", {}))


def is_op(loss: Loss) -> bool:
    """Whether a loss is one of this module, or a ``functools.partial`` of one with arguments by name."""
    return base(loss) in OPS and not getattr(loss, "args", ())


def call_of(loss: Loss, scores: Any, labels: ArrayLike) -> Call | None:
    """The call of an op that a loss of this module, or a ``functools.partial`` of one, is; else None.

    The scores may be a graph's node: only their shape and dtype are read.
    """
    if not is_op(loss):
        return None
    function = base(loss)
    given: dict[str, Any] = getattr(loss, "keywords", {})
    if function is softmax_cross_entropy:
        return _softmax_call(scores, labels, **given)
    name = OPS[function]
    if function in (svm, squared_hinge):
        return _hinge_call(name, scores, labels, **given)
    return Call(REGISTRY[name], (targets_of(name, scores, labels),), given)


def takes_soft_labels(loss: Loss) -> bool:
    """Whether labels may be probabilities (N, C); your own function says so by an attribute ``soft_labels``."""
    function = base(loss)
    return function is softmax_cross_entropy or bool(getattr(function, "soft_labels", False))


def base(loss: Loss) -> Any:
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
