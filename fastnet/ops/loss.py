"""Losses of scores and class numbers: ops that return (loss, gradient of the scores)."""

from __future__ import annotations

from typing import Any

from fastnet.ops.checks import check_labels
from fastnet.ops.metrics import ACCURACY
from fastnet.ops.record import WEIGHT, Example, Input, Op, register
from fastnet.types import Array, Shape

_EXAMPLES = (Example(((999, 37), (999,)), scale=4.0),)
_INPUTS = (Input("scores", WEIGHT), Input("labels", WEIGHT, integer=True))


def _svm_shape(scores: Array, labels: Array, margin: float = 1.0) -> Shape:
    check_labels("svm_loss", scores, labels)
    return tuple(scores.shape)


def _softmax_shape(scores: Array, labels: Array, ignore_index: int | None = None) -> Shape:
    check_labels("softmax_cross_entropy", scores, labels, maps=True, ignored=ignore_index)
    return tuple(scores.shape)


def _softmax_cross_entropy(
    xp: Any, scores: Array, labels: Array, ignore_index: int | None = None
) -> tuple[float, Array]:
    C = scores.shape[1]
    flat, wanted = xp.moveaxis(scores, 1, -1).reshape(-1, C), labels.reshape(-1)
    kept = xp.ones(len(wanted), bool) if ignore_index is None else wanted != ignore_index
    rows, counted = xp.arange(len(wanted))[kept], max(int(kept.sum()), 1)
    shifted = (flat - flat.max(axis=1, keepdims=True)).astype(xp.float64)
    exp = xp.exp(shifted)
    total = exp.sum(axis=1, keepdims=True)
    loss = (xp.log(total[rows, 0]) - shifted[rows, wanted[kept]]).sum() / counted
    dscores = exp / total
    dscores[rows, wanted[kept]] -= 1
    dscores[~kept] = 0
    shape = (scores.shape[0], *scores.shape[2:], C)
    return float(loss), xp.moveaxis((dscores / counted).astype(scores.dtype).reshape(shape), -1, 1)


register(
    Op(
        "softmax_cross_entropy",
        (Input("scores"), Input("labels", WEIGHT, integer=True)),
        shape=_softmax_shape,
        forward=_softmax_cross_entropy,
        attributes={"ignore_index": None},
        flops=(16, 0),
        onnx="SoftmaxCrossEntropyLoss",
        examples=(*_EXAMPLES, Example(((5, 21, 9, 8), (5, 9, 8)), {"ignore_index": 3}, scale=4.0)),
        metric=ACCURACY,
        doc="(loss, dscores): the mean of -log softmax(scores)[label] over the labels that are not ignore_index, 0 if "
        "there are none; scores (N, C), (N, C, L) or (N, C, H, W), labels that shape without C, integers.  The "
        "gradient is (softmax - onehot) / number of labels.  The loss is a Python float, accumulated in float64.",
    )
)


def _svm_loss(xp: Any, scores: Array, labels: Array, margin: float = 1.0) -> tuple[float, Array]:
    rows = xp.arange(len(labels))
    wide = scores.astype(xp.float64)
    margins = xp.maximum(0, wide - wide[rows, labels][:, None] + margin)
    margins[rows, labels] = 0
    dscores = (margins > 0).astype(xp.float64)
    dscores[rows, labels] = -dscores.sum(axis=1)
    return float(margins.sum() / len(labels)), (dscores / len(labels)).astype(scores.dtype)


register(
    Op(
        "svm_loss",
        _INPUTS,
        shape=_svm_shape,
        forward=_svm_loss,
        attributes={"margin": 1.0},
        flops=(4, 0),
        examples=_EXAMPLES,
        metric=ACCURACY,
        doc="(loss, dscores): the mean over N of sum_{j != y} max(0, s_j - s_y + margin) (Weston & Watkins 1999).",
    )
)
