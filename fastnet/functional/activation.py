"""Softmax along any axis, its logarithm, PReLU and maxout; functional/__init__.py makes the elementwise activations."""

from __future__ import annotations

from collections.abc import Callable

from fastnet.arguments import integer
from fastnet.backends import current
from fastnet.functional.arguments import arrays_of, enter_contiguous, follows, gradient_of
from fastnet.types import Array, ArrayLike, DType

__all__ = ["log_softmax", "maxout", "prelu", "softmax"]


@follows
def softmax(x: ArrayLike, dim: int) -> tuple[Array, Callable[[ArrayLike], Array]]:
    """exp(x) / sum of exp(x) along one axis, without overflow.

    Parameters
    ----------
    x : array, of any shape with at least one axis
    dim : int
        The axis; negative numbers count from the last.

    Returns
    -------
    y : array, of x's shape
        Positive, of sum 1 along the axis.
    backward : function
        ``dx = backward(dy)``.

    Raises
    ------
    TypeError, ValueError
        If x does not hold real numbers or has no such axis, or the axis is empty.
    """
    return _along("softmax", x, dim)


@follows
def log_softmax(x: ArrayLike, dim: int) -> tuple[Array, Callable[[ArrayLike], Array]]:
    """The logarithm of :func:`softmax`, accurate where probabilities are tiny; arguments and results as there."""
    return _along("log_softmax", x, dim)


@follows
def prelu(x: ArrayLike, weight: ArrayLike) -> tuple[Array, Callable[[ArrayLike], tuple[Array, Array]]]:
    """x where x > 0, else weight * x (He et al. 2015, arXiv:1502.01852); max(weight * x, x) only where weight <= 1.

    Parameters
    ----------
    x : array, (N, C), (N, C, L) or (N, C, H, W)
    weight : array, (), (1,) or (C,)
        One slope, or one for each channel.

    Returns
    -------
    y : array, of x's shape
    backward : function
        ``dx, dweight = backward(dy)``.

    Raises
    ------
    TypeError, ValueError
        If the arrays do not hold real numbers, mix float32 with float64, or have shapes that do not match.
    """
    ops = current()
    inputs, slopes = arrays_of("prelu", x=x, weight=weight)
    y, saved = ops.prelu(inputs, slopes if slopes.ndim else slopes.reshape(1))

    def backward(dy: ArrayLike) -> tuple[Array, Array]:
        dx, dw = ops.prelu_backward(gradient_of("prelu", dy, y), saved)
        return dx, dw.reshape(slopes.shape)

    return y, backward


@follows
def maxout(x: ArrayLike, pieces: int = 2) -> tuple[Array, Callable[[ArrayLike], Array]]:
    """The largest of each `pieces` adjacent channels (Goodfellow et al. 2013, arXiv:1302.4389).

    Parameters
    ----------
    x : array, (N, C), (N, C, L) or (N, C, H, W)
    pieces : int
        A divisor of C, up to 255.

    Returns
    -------
    y : array, (N, C / pieces, ...)
    backward : function
        ``dx = backward(dy)``; of equal channels the first gets the gradient.

    Raises
    ------
    TypeError, ValueError
        If x does not hold real numbers, or pieces does not divide its channels.
    """
    ops = current()
    (inputs,) = arrays_of("maxout", x=x)
    y, saved = ops.maxout(inputs, integer(pieces, "maxout: pieces"))

    def backward(dy: ArrayLike) -> Array:
        dx: Array = ops.maxout_backward(gradient_of("maxout", dy, y), saved)
        return dx

    return y, backward


def _along(op: str, x: ArrayLike, dim: int) -> tuple[Array, Callable[[ArrayLike], Array]]:
    ops = current()
    axis = integer(dim, f"{op}: dim", -64)

    def rows(name: str, array: Array, dtype: DType) -> Array:
        """Copied only if the axis does not lie in memory as rows."""
        if not -array.ndim <= axis < array.ndim:
            raise ValueError(f"{op}: x of shape {tuple(array.shape)} has no axis dim={dim}")
        if array.shape[axis] == 0:
            raise ValueError(f"{op}: axis {dim} of x is empty, got shape {tuple(array.shape)}")
        return enter_contiguous(name, ops.xp.moveaxis(ops.xp.asarray(array), axis, -1), dtype)

    (inputs,) = arrays_of(op, rows, x=x)
    shape = inputs.shape
    flat, saved = getattr(ops, op)(inputs.reshape(-1, shape[-1]))
    y = ops.xp.moveaxis(flat.reshape(shape), -1, axis)

    def backward(dy: ArrayLike) -> Array:
        gradient = gradient_of(op, dy, y, enter_contiguous)
        moved = enter_contiguous("dy", ops.xp.moveaxis(gradient, axis, -1), y.dtype).reshape(-1, shape[-1])
        dx: Array = getattr(ops, f"{op}_backward")(moved, saved).reshape(shape)
        return ops.xp.moveaxis(dx, -1, axis)  # type: ignore[no-any-return]

    return y, backward
