"""Matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnet.ops.checks import check_shape
from fastnet.ops.elementwise import ELEMENTWISE, activate, activate_gradient
from fastnet.ops.record import WEIGHT, Example, Input, Op, register
from fastnet.types import Activation, Array, Shape, Shaped


def _matmul_shape(a: Shaped, b: Shaped, transpose_a: bool = False, transpose_b: bool = False) -> Shape:
    fits = a.ndim == b.ndim == 2 and a.shape[not transpose_a] == b.shape[bool(transpose_b)]
    if not fits:
        shapes = tuple(a.shape)[:: -1 if transpose_a else 1], tuple(b.shape)[:: -1 if transpose_b else 1]
        raise ValueError(f"matmul: shapes {shapes[0]} and {shapes[1]} do not fit")
    return a.shape[bool(transpose_a)], b.shape[not transpose_b]


register(
    Op(
        "matmul",
        (Input("a", WEIGHT), Input("b", WEIGHT)),
        shape=_matmul_shape,
        forward=lambda xp, a, b, transpose_a, transpose_b: (a.T if transpose_a else a) @ (b.T if transpose_b else b),
        attributes={"transpose_a": False, "transpose_b": False},
        examples=(
            Example(((127, 600), (600, 65))),
            Example(((600, 7), (65, 600)), {"transpose_a": True, "transpose_b": True}),
        ),
        doc="(M, D) @ (D, L); either operand may be given transposed.",
    )
)


def _linear_shape(x: Shaped, w: Shaped, b: Shaped | None, activation: Activation | None = None) -> Shape:
    if x.ndim != 2 or w.ndim != 2 or x.shape[1] != w.shape[1]:
        raise ValueError(f"linear: x must be (N, in) and weight (out, in), got {tuple(x.shape)} and {tuple(w.shape)}")
    if b is not None:
        check_shape("linear", "bias", b, w.shape[:1])
    return x.shape[0], w.shape[0]


def _linear(xp: Any, x: Array, w: Array, b: Array | None, activation: Activation | None = None) -> tuple[Array, Any]:
    y = x @ w.T
    if b is not None:
        y = y + b
    y, kept = activate(xp, y, activation)
    return y, (x, w, kept, activation)


def _linear_backward(
    xp: Any, dy: Array, saved: Any, needs: Sequence[bool] = (True, True, True)
) -> tuple[Array | None, ...]:
    x, w, kept, activation = saved
    dy = activate_gradient(xp, dy, kept, activation)
    return (
        dy @ w if needs[0] else None,
        dy.T @ x if needs[1] else None,
        dy.sum(axis=0) if needs[2] else None,
    )


register(
    Op(
        "linear",
        (Input("x", WEIGHT), Input("w", WEIGHT, label="weight"), Input("b", WEIGHT, True, "bias")),
        shape=_linear_shape,
        forward=_linear,
        backward=_linear_backward,
        attributes={"activation": None},
        activations=ELEMENTWISE,
        onnx="Gemm",
        examples=(
            Example(((127, 600), (65, 600), (65,))),
            Example(((1, 3000), (40, 3000), (40,)), {"activation": ("relu", {})}),
        ),
        doc="y = x @ w.T + b with x (N, in), w (out, in), b (out,) or None; then a fused activation.",
    )
)
