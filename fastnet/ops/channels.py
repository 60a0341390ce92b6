"""Activations of channels, axis 1 of (N, C), (N, C, L) or (N, C, H, W): PReLU and maxout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnet.ops.checks import check_channels
from fastnet.ops.record import WEIGHT, Example, Input, Op, register
from fastnet.types import Array, Shape, Shaped

__all__ = ["check_slopes", "maxout_shape"]


def check_slopes(op: str, slopes: Shaped, channels: int) -> None:
    """Raise ValueError unless there is one slope, or one for each channel."""
    if tuple(slopes.shape) not in ((1,), (channels,)):
        expected = "(1,)" if channels == 1 else f"(1,) or ({channels},), one slope for each channel"
        raise ValueError(f"{op}: weight must have shape {expected}, got {tuple(slopes.shape)}")


def _prelu_shape(x: Shaped, w: Shaped) -> Shape:
    check_channels("prelu", x)
    check_slopes("prelu", w, x.shape[1])
    return tuple(x.shape)


def _slopes(x: Array, w: Array) -> Array:
    """w so that it broadcasts against x."""
    return w.reshape(1, -1, *(1,) * (x.ndim - 2))


def _prelu_backward(xp: Any, dy: Array, saved: Any, needs: Sequence[bool] = (True, True)) -> tuple[Array | None, ...]:
    x, w = saved
    dx = xp.where(x > 0, dy, dy * _slopes(x, w)) if needs[0] else None
    dw = None
    if needs[1]:
        axes = (0, *range(1 if w.size == 1 else 2, x.ndim))
        dw = xp.where(x > 0, 0, x * dy).sum(axis=axes, dtype=xp.float64).reshape(w.shape).astype(w.dtype)
    return dx, dw


register(
    Op(
        "prelu",
        (Input("x"), Input("w", WEIGHT, label="weight")),
        shape=_prelu_shape,
        forward=lambda xp, x, w: (xp.where(x > 0, x, x * _slopes(x, w)), (x, w)),
        backward=_prelu_backward,
        flops=(2, 4),
        onnx="PRelu",
        examples=(
            Example(((9, 33, 17, 16), (33,))),
            Example(((70, 48, 9, 8), (1,))),
            Example(((127, 5), (5,))),
            Example(((6, 7, 40), (1,))),
        ),
        doc="x where x > 0, else w * x, with one learned slope, w (1,), or one for each channel, w (C,) (He et al. "
        "2015, arXiv:1502.01852).  It is max(w * x, x) only where w <= 1.",
    )
)


def maxout_shape(x: Shaped, pieces: int) -> Shape:
    check_channels("maxout", x)
    if not 1 <= pieces <= 255:
        raise ValueError(f"maxout: pieces must lie in 1..255, got {pieces!r}")
    if x.shape[1] % pieces:
        raise ValueError(f"maxout: {x.shape[1]} channels do not divide into groups of pieces={pieces}")
    return x.shape[0], x.shape[1] // pieces, *x.shape[2:]


def _groups(x: Array, pieces: int) -> Array:
    """x with an axis for the pieces of each group."""
    return x.reshape(x.shape[0], x.shape[1] // pieces, pieces, *x.shape[2:])


def _maxout(xp: Any, x: Array, pieces: int) -> tuple[Array, Any]:
    groups = _groups(x, pieces)
    return groups.max(axis=2), (groups.argmax(axis=2), pieces)  # NumPy takes the first of equals, and of NaN


def _maxout_backward(xp: Any, dy: Array, saved: Any, needs: Sequence[bool] = (True,)) -> Array:
    index, pieces = saved
    each = xp.arange(pieces).reshape(-1, *(1,) * (dy.ndim - 2))
    spread: Array = xp.where(index[:, :, None] == each, dy[:, :, None], xp.zeros((), dy.dtype))
    return spread.reshape(dy.shape[0], dy.shape[1] * pieces, *dy.shape[2:])


register(
    Op(
        "maxout",
        (Input("x"),),
        shape=maxout_shape,
        forward=_maxout,
        backward=_maxout_backward,
        attributes={"pieces": 2},
        flops=(1, 1),
        examples=(
            Example(((9, 66, 17, 16),), {"pieces": 2}),
            Example(((127, 35),), {"pieces": 5}),
            Example(((6, 9, 40),), {"pieces": 3}),
        ),
        doc="The largest of each `pieces` adjacent channels; the gradient goes to the first of equals (Goodfellow et "
        "al. 2013, arXiv:1302.4389).",
    )
)
