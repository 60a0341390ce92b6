"""Losses of scores and classes, or probabilities of classes: ops that return (loss, gradient of the scores)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastnet.ops.checks import check_labels, check_probabilities, check_smoothing, check_weight
from fastnet.ops.metrics import ACCURACY
from fastnet.ops.record import WEIGHT, Example, Input, Op, register
from fastnet.types import Array, Shape

_WEIGHT = Input("weight", WEIGHT, True)
_MAPS = (5, 21, 9, 8), (5, 9, 8)


def _flat(xp: Any, scores: Array) -> Array:
    """Scores as rows."""
    rows: Array = xp.moveaxis(scores, 1, -1).reshape(-1, scores.shape[1])
    return rows


def _maps(xp: Any, rows: Array, scores: Array) -> Array:
    """Rows in the shape and dtype of the scores."""
    shape = (scores.shape[0], *scores.shape[2:], scores.shape[1])
    shaped: Array = xp.moveaxis(rows.astype(scores.dtype).reshape(shape), -1, 1)
    return shaped


def _cross_entropy(xp: Any, scores: Array, q: Array, counted: float) -> tuple[float, Array]:
    """sum of -q log softmax(scores) over rows q, divided by `counted`, and its gradient."""
    flat = _flat(xp, scores)
    shifted = (flat - flat.max(axis=1, keepdims=True)).astype(xp.float64)
    exp = xp.exp(shifted)
    total = exp.sum(axis=1, keepdims=True)
    information = xp.where(q == 0, 0, xp.log(total) - shifted)
    dscores = q.sum(axis=1, keepdims=True) * exp / total - q
    return float((q * information).sum() / counted), _maps(xp, dscores / counted, scores)


def _weights(xp: Any, weight: Array | None, classes: int) -> Array:
    weights: Array = xp.ones(classes) if weight is None else weight.astype(xp.float64)
    return weights


def _softmax_shape(
    scores: Array,
    labels: Array,
    weight: Array | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
) -> Shape:
    check_labels("softmax_cross_entropy", scores, labels, maps=True, ignored=ignore_index)
    check_weight("softmax_cross_entropy", weight, scores.shape[1])
    check_smoothing("softmax_cross_entropy", label_smoothing)
    return tuple(scores.shape)


def _softmax_cross_entropy(
    xp: Any,
    scores: Array,
    labels: Array,
    weight: Array | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
) -> tuple[float, Array]:
    C, wanted = scores.shape[1], labels.reshape(-1)
    kept = xp.ones(len(wanted), bool) if ignore_index is None else wanted != ignore_index
    weights = _weights(xp, weight, C)
    q = xp.zeros((len(wanted), C))
    q[xp.arange(len(wanted))[kept], wanted[kept]] = 1 - label_smoothing
    q[kept] += label_smoothing / C
    counted = float(weights[wanted[kept]].sum())
    return _cross_entropy(xp, scores, q * weights, counted if counted > 0 else 1.0)


register(
    Op(
        "softmax_cross_entropy",
        (Input("scores"), Input("labels", WEIGHT, integer=True), _WEIGHT),
        shape=_softmax_shape,
        forward=_softmax_cross_entropy,
        attributes={"ignore_index": None, "label_smoothing": 0.0},
        flops=(16, 0),
        onnx="SoftmaxCrossEntropyLoss",
        examples=(
            Example(((999, 37), (999,), None), scale=4.0),
            Example((*_MAPS, None), {"ignore_index": 3}, scale=4.0),
            Example((*_MAPS, (21,)), {"ignore_index": 3, "label_smoothing": 0.1}, scale=4.0, positive=("weight",)),
        ),
        metric=ACCURACY,
        doc="(loss, dscores): the mean of -log softmax(scores)[label] over the labels that are not ignore_index, 0 if "
        "there are none; scores (N, C), (N, C, L) or (N, C, H, W), labels that shape without C, integers.  With "
        "label_smoothing e, a label's probability is 1 - e + e / C, those of the others e / C (Szegedy et al. 2016, "
        "arXiv:1512.00567).  With weight (C,), classes count by their weights, and the sum is divided by those of the "
        "labels.  The loss is a Python float, accumulated in float64.",
    )
)


def _soft_shape(scores: Array, targets: Array, weight: Array | None = None, label_smoothing: float = 0.0) -> Shape:
    check_probabilities("soft_cross_entropy", scores, targets)
    check_weight("soft_cross_entropy", weight, scores.shape[1])
    check_smoothing("soft_cross_entropy", label_smoothing)
    return tuple(scores.shape)


def _soft_cross_entropy(
    xp: Any, scores: Array, targets: Array, weight: Array | None = None, label_smoothing: float = 0.0
) -> tuple[float, Array]:
    C = scores.shape[1]
    q = _flat(xp, targets).astype(xp.float64) * (1 - label_smoothing) + label_smoothing / C
    return _cross_entropy(xp, scores, q * _weights(xp, weight, C), len(q))


register(
    Op(
        "soft_cross_entropy",
        (Input("scores"), Input("targets"), _WEIGHT),
        shape=_soft_shape,
        forward=_soft_cross_entropy,
        attributes={"label_smoothing": 0.0},
        flops=(16, 0),
        examples=(
            Example(((999, 37), (999, 37), None), scale=4.0, distribution="targets"),
            Example(
                (_MAPS[0], _MAPS[0], (21,)),
                {"label_smoothing": 0.1},
                scale=4.0,
                positive=("weight",),
                distribution="targets",
            ),
        ),
        metric=ACCURACY,
        doc="(loss, dscores): the mean of -sum_c weight_c t_c log softmax(scores)_c over N (and pixels), for "
        "probabilities t of the scores' shape, which label_smoothing e changes to (1 - e) t + e / C.",
    )
)


def _register_hinge(name: str, power: int, doc: str) -> None:
    """The sum over wrong classes of max(0, s_j - s_y + margin) to a power."""

    def shape(
        scores: Array,
        labels: Array,
        weight: Array | None = None,
        margin: float = 1.0,
        ignore_index: int | None = None,
    ) -> Shape:
        check_labels(name, scores, labels, ignored=ignore_index)
        check_weight(name, weight, scores.shape[1])
        return tuple(scores.shape)

    def forward(
        xp: Any,
        scores: Array,
        labels: Array,
        weight: Array | None = None,
        margin: float = 1.0,
        ignore_index: int | None = None,
    ) -> tuple[float, Array]:
        kept = xp.ones(len(labels), bool) if ignore_index is None else labels != ignore_index
        rows, wanted = xp.arange(len(labels)), xp.where(kept, labels, 0)
        wide = scores.astype(xp.float64, order="C")
        shares = xp.where(kept, _weights(xp, weight, scores.shape[1])[wanted], 0)[:, None] / max(int(kept.sum()), 1)
        margins = xp.maximum(0, wide - wide[rows, wanted][:, None] + margin)
        margins[rows, wanted] = 0
        slopes = (margins > 0).astype(xp.float64) if power == 1 else 2 * margins
        slopes[rows, wanted] = -slopes.sum(axis=1)
        return float((margins**power * shares).sum()), (slopes * shares).astype(scores.dtype)

    hinge: Callable[..., Any] = forward
    register(
        Op(
            name,
            (Input("scores", WEIGHT), Input("labels", WEIGHT, integer=True), _WEIGHT),
            shape=shape,
            forward=hinge,
            attributes={"margin": 1.0, "ignore_index": None},
            flops=(4, 0),
            examples=(
                Example(((999, 37), (999,), None), scale=4.0),
                Example(((99, 7), (99,), (7,)), {"margin": 0.5, "ignore_index": 2}, scale=4.0, positive=("weight",)),
            ),
            metric=ACCURACY,
            doc=doc,
        )
    )


_register_hinge(
    "svm_loss",
    1,
    "(loss, dscores): the mean over N of weight_y sum_{j != y} max(0, s_j - s_y + margin) (Weston & Watkins 1999); "
    "labels that are ignore_index do not count.",
)
_register_hinge(
    "squared_hinge_loss",
    2,
    "(loss, dscores): the mean over N of weight_y sum_{j != y} max(0, s_j - s_y + margin)^2; labels that are "
    "ignore_index do not count.",
)
