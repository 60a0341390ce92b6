"""Losses of scores (N, C) and class numbers (N,): ops that return (loss, gradient of the scores)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastnet.ops.checks import check_labels
from fastnet.ops.record import WEIGHT, Example, Input, Op, register
from fastnet.types import Array, Shape

_EXAMPLES = (Example(((999, 37), (999,)), scale=4.0),)
_INPUTS = (Input("scores", WEIGHT), Input("labels", WEIGHT, integer=True))


def _shape(op: str) -> Callable[..., Shape]:
    def shape(scores: Array, labels: Array, **attributes: Any) -> Shape:
        check_labels(op, scores, labels)
        return tuple(scores.shape)

    return shape


def _softmax_cross_entropy(xp: Any, scores: Array, labels: Array) -> tuple[float, Array]:
    rows = xp.arange(len(labels))
    shifted = (scores - scores.max(axis=1, keepdims=True)).astype(xp.float64)
    exp = xp.exp(shifted)
    total = exp.sum(axis=1, keepdims=True)
    loss = (xp.log(total[:, 0]) - shifted[rows, labels]).mean()
    dscores = exp / total
    dscores[rows, labels] -= 1
    return float(loss), (dscores / len(labels)).astype(scores.dtype)


register(
    Op(
        "softmax_cross_entropy",
        _INPUTS,
        shape=_shape("softmax_cross_entropy"),
        forward=_softmax_cross_entropy,
        flops=(16, 0),
        onnx="SoftmaxCrossEntropyLoss",
        examples=_EXAMPLES,
        doc="(loss, dscores): the mean over N of -log softmax(scores)[label]; labels (N,) integers.  The gradient is "
        "(softmax - onehot) / N.  The loss is a Python float, accumulated in float64.",
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
        shape=_shape("svm_loss"),
        forward=_svm_loss,
        attributes={"margin": 1.0},
        flops=(4, 0),
        examples=_EXAMPLES,
        doc="(loss, dscores): the mean over N of sum_{j != y} max(0, s_j - s_y + margin) (Weston & Watkins 1999).",
    )
)
