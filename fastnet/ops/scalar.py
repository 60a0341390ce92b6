"""An affine map with two numbers for the whole array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnet.ops.checks import check_shape
from fastnet.ops.record import WEIGHT, Example, Input, Op, register
from fastnet.types import Array, Shape, Shaped

_X = (9, 33, 17, 16)


def _shape(x: Shaped, w: Shaped | None, b: Shaped | None) -> Shape:
    for name, array in (("w", w), ("b", b)):
        if array is not None:
            check_shape("scalar_affine", name, array, (1,))
    return tuple(x.shape)


def _forward(xp: Any, x: Array, w: Array | None, b: Array | None) -> tuple[Array, Any]:
    y = x if w is None else x * w[0]
    return xp.array(y if b is None else y + b[0]), (x, w)


def _backward(xp: Any, dy: Array, saved: Any, needs: Sequence[bool] = (True, True, True)) -> Any:
    x, w = saved
    dx = xp.array(dy if w is None else dy * w[0]) if needs[0] else None
    dw = (dy * x).sum(dtype="float64").astype(dy.dtype).reshape(1) if needs[1] else None
    db = dy.sum(dtype="float64").astype(dy.dtype).reshape(1) if needs[2] else None
    return dx, dw, db


register(
    Op(
        "scalar_affine",
        (Input("x"), Input("w", WEIGHT, optional=True), Input("b", WEIGHT, optional=True)),
        shape=_shape,
        forward=_forward,
        backward=_backward,
        recall=lambda x, w, b: (x, w),
        flops=(2, 4),
        examples=(
            Example((_X, (1,), (1,))),
            Example((_X, (1,), None)),
            Example(((7, 5), None, (1,))),
        ),
        doc="w * x + b, with one number w (None: 1) and one number b (None: 0) for all of x; shape (1,).",
    )
)
