"""Matrix products, and images as rows of a matrix."""

from __future__ import annotations

import math
from collections.abc import Callable

from fastnet.backends import current
from fastnet.functional.arguments import arrays_of, follows, gradient_of, images
from fastnet.types import Array, ArrayLike

__all__ = ["flatten", "linear", "matmul"]


@follows
def matmul(a: ArrayLike, b: ArrayLike) -> tuple[Array, Callable[[ArrayLike], tuple[Array, Array]]]:
    """The matrix product ``y = a @ b``.

    Parameters
    ----------
    a : array, (M, D)
    b : array, (D, L)

    Returns
    -------
    y : array, (M, L)
    backward : function
        ``da, db = backward(dy)``.

    Raises
    ------
    TypeError, ValueError
        If the arrays do not hold real numbers, mix float32 with float64, or have shapes that do not match.
    """
    ops = current()
    left, right = arrays_of("matmul", a=a, b=b)
    y: Array = ops.matmul(left, right)

    def backward(dy: ArrayLike) -> tuple[Array, Array]:
        gradient = gradient_of("matmul", dy, y)
        return ops.matmul(gradient, right, transpose_b=True), ops.matmul(left, gradient, transpose_a=True)

    return y, backward


@follows
def linear(
    x: ArrayLike, w: ArrayLike, b: ArrayLike | None = None
) -> tuple[Array, Callable[[ArrayLike], tuple[Array, Array, Array | None]]]:
    """The fully connected layer, ``y = x @ w.T + b``.

    Parameters
    ----------
    x : array, (..., in)
    w : array, (out, in)
    b : array, (out,), optional

    Returns
    -------
    y : array, (..., out)
    backward : function
        ``dx, dw, db = backward(dy)``; db is None without b.

    Raises
    ------
    TypeError, ValueError
        If the arrays do not hold real numbers, mix float32 with float64, or have shapes that do not match.
    """
    ops = current()
    inputs, weight, bias = arrays_of("linear", x=x, weight=w, bias=b)
    shape = inputs.shape
    if inputs.ndim == 0 or weight.ndim != 2 or shape[-1] != weight.shape[1]:
        raise ValueError(f"linear: x must be (..., in) and weight (out, in), got {shape} and {weight.shape}")
    rows, saved = ops.linear(inputs.reshape(math.prod(shape[:-1]), shape[-1]), weight, bias)
    y = rows.reshape(*shape[:-1], rows.shape[1])

    def backward(dy: ArrayLike) -> tuple[Array, Array, Array | None]:
        gradient = gradient_of("linear", dy, y).reshape(rows.shape)
        dx, dw, db = ops.linear_backward(gradient, saved, (True, True, b is not None))
        return dx.reshape(shape), dw, db

    return y, backward


@follows
def flatten(x: ArrayLike) -> tuple[Array, Callable[[ArrayLike], Array]]:
    """Images as rows, with elements in the order C, H, W.

    Parameters
    ----------
    x : array, (N, C, H, W)

    Returns
    -------
    y : array, (N, C*H*W)
    backward : function
        ``dx = backward(dy)``.

    Raises
    ------
    TypeError, ValueError
        If x does not hold real numbers or does not have four axes.
    """
    ops = current()
    (inputs,) = arrays_of("flatten", x=x)
    shape = tuple(images("flatten", inputs).shape)
    y: Array = ops.flatten(inputs)

    def backward(dy: ArrayLike) -> Array:
        dx: Array = ops.unflatten(gradient_of("flatten", dy, y), shape[1:])
        return dx

    return y, backward
