"""Softmax over channels (axis 1), and its logarithm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastnet.ops.checks import check_channels
from fastnet.ops.record import Example, Input, Op, register
from fastnet.types import Array, Shape, Shaped

_EXAMPLES = (
    Example(((99, 37),), scale=8.0),
    Example(((7, 10),), scale=8.0),
    Example(((5, 3, 9, 8),), scale=8.0),
    Example(((3, 33, 7, 6),), scale=8.0),
)


def _shape(op: str) -> Callable[[Shaped], Shape]:
    def shape(x: Shaped) -> Shape:
        check_channels(op, x)
        if x.shape[1] == 0:
            raise ValueError(f"{op}: x must have at least one channel, got shape {tuple(x.shape)}")
        return tuple(x.shape)

    return shape


def _shifted(xp: Any, x: Array) -> tuple[Any, Any]:
    """x minus its largest element, in double, and the sum of the exponentials."""
    z = (x - x.max(axis=1, keepdims=True)).astype(xp.float64)
    return z, xp.exp(z).sum(axis=1, keepdims=True)


def _softmax(xp: Any, x: Array) -> tuple[Array, Array]:
    z, total = _shifted(xp, x)
    y = (xp.exp(z) / total).astype(x.dtype)
    return y, y


def _softmax_backward(xp: Any, dy: Array, y: Array, needs: Sequence[bool] = (True,)) -> Any:
    inner = (y.astype(xp.float64) * dy).sum(axis=1, keepdims=True)
    return (y * (dy - inner)).astype(dy.dtype)


def _log_softmax(xp: Any, x: Array) -> tuple[Array, Array]:
    z, total = _shifted(xp, x)
    y = (z - xp.log(total)).astype(x.dtype)
    return y, y


def _log_softmax_backward(xp: Any, dy: Array, y: Array, needs: Sequence[bool] = (True,)) -> Any:
    return (dy - xp.exp(y) * dy.sum(axis=1, keepdims=True, dtype=xp.float64)).astype(dy.dtype)


register(
    Op(
        "softmax",
        (Input("x"),),
        shape=_shape("softmax"),
        forward=_softmax,
        backward=_softmax_backward,
        flops=(20, 4),
        onnx="Softmax",
        examples=_EXAMPLES,
        doc="exp(x) / sum of exp(x) over channels (axis 1), without overflow; sums are accumulated in float64.",
    )
)
register(
    Op(
        "log_softmax",
        (Input("x"),),
        shape=_shape("log_softmax"),
        forward=_log_softmax,
        backward=_log_softmax_backward,
        flops=(20, 20),
        onnx="LogSoftmax",
        examples=_EXAMPLES,
        doc="x - log of the sum of exp(x) over channels (axis 1), without overflow; sums are accumulated in float64.",
    )
)
