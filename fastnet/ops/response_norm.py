"""Local response normalisation (Krizhevsky, Sutskever & Hinton 2012)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnet.ops.checks import check_channels
from fastnet.ops.record import REQUIRED, Example, Input, Op, register
from fastnet.types import Array, Shape, Shaped

NUMBERS = {"size": REQUIRED, "alpha": 1e-4, "beta": 0.75, "k": 1.0}


def _shape(x: Shaped, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Shape:
    check_channels("local_response_norm", x)
    if size < 1 or not k > 0 or not alpha >= 0:
        raise ValueError(
            f"local_response_norm: needs size >= 1, alpha >= 0 and k > 0, got size={size}, alpha={alpha}, k={k}"
        )
    return tuple(x.shape)


def _windows(xp: Any, terms: Array, size: int, before: int) -> Array:
    """For each channel, the sum of the `size` terms from `before` channels earlier on; those outside count nothing."""
    C = terms.shape[1]
    total: Array = xp.zeros_like(terms)
    for shift in range(-before, size - before):
        low, high = max(0, -shift), min(C, C - shift)
        if low < high:
            total[:, low:high] += terms[:, low + shift : high + shift]
    return total


def _forward(
    xp: Any, x: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> tuple[Array, Any]:
    divisor = (k + (alpha / size) * _windows(xp, x * x, size, size // 2)).astype(x.dtype)
    return x * divisor**-beta, (x, size, alpha, beta, k)


def _backward(xp: Any, dy: Array, saved: Any, needs: Sequence[bool] = (True,)) -> Array:
    x, size, alpha, beta, k = saved
    divisor = (k + (alpha / size) * _windows(xp, x * x, size, size // 2)).astype(x.dtype)
    direct = dy * divisor**-beta
    rest = _windows(xp, direct * x / divisor, size, (size - 1) // 2)
    dx: Array = (direct - (2 * alpha * beta / size) * x * rest).astype(dy.dtype)
    return dx


register(
    Op(
        "local_response_norm",
        (Input("x"),),
        shape=_shape,
        forward=_forward,
        backward=_backward,
        attributes=NUMBERS,
        recall=lambda x, size, alpha, beta, k: (x, size, alpha, beta, k),
        flops=(60, 90),
        onnx="LRN",
        examples=(
            Example(((5, 33, 9, 8),), {"size": 5, "alpha": 0.5, "k": 2.0}, scale=2.0),
            Example(((7, 40),), {"size": 4, "alpha": 2.0, "beta": 0.6}),
            Example(((3, 4, 50),), {"size": 9}),
        ),
        doc="x / (k + alpha/size * sum of x^2)^beta: the sum runs over `size` channels, from c - size//2 on, of the "
        "same pixel; those outside count as 0.  x (N, C), (N, C, L) or (N, C, H, W).  These are PyTorch's and ONNX's "
        "constants: AlexNet's alpha is theirs divided by size (Krizhevsky, Sutskever & Hinton 2012, section 3.3).",
    )
)
