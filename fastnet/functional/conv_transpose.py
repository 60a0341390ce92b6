"""Transposed convolution."""

from __future__ import annotations

from collections.abc import Callable

from fastnet.backends import current
from fastnet.functional.arguments import arrays_of, follows, gradient_of
from fastnet.ops.conv_transpose import transposed_geometry
from fastnet.types import Array, ArrayLike, Padding, Pair

__all__ = ["conv_transpose2d"]


@follows
def conv_transpose2d(
    x: ArrayLike,
    w: ArrayLike,
    b: ArrayLike | None = None,
    stride: Pair = 1,
    padding: Padding = 0,
    output_padding: Pair = 0,
    groups: int = 1,
    dilation: Pair = 1,
) -> tuple[Array, Callable[[ArrayLike], tuple[Array, Array, Array | None]]]:
    """Transposed 2-d convolution: the input gradient of a convolution from y to x.

    Parameters
    ----------
    x : array, (N, C, H, W)
    w : array, (C, K // groups, R, S)
    b : array, (K,), optional
    stride, dilation : int or pair
    padding : int, pair or (top, bottom, left, right)
        Removed from y.
    output_padding : int or pair
        Rows and columns added to y at the bottom and at the right; smaller than the stride or the dilation.
    groups : int

    Returns
    -------
    y : array, (N, K, P, Q)
        P is (H - 1) * stride - top - bottom + dilation * (R - 1) + 1 + output_padding.
    backward : function
        ``dx, dw, db = backward(dy)``; db is None without b.

    Raises
    ------
    TypeError, ValueError
        If arguments do not fit together; the message says which, what was given and what was expected.
    """
    ops = current()
    inputs, weight, bias = arrays_of("conv_transpose2d", x=x, weight=w, bias=b)
    given = stride, padding, output_padding, groups, dilation
    geometry = transposed_geometry(inputs.shape, weight.shape, *given)
    sides = 0, geometry.P - inputs.shape[2], 0, geometry.Q - inputs.shape[3]
    inputs, padded = ops.pad(inputs, sides) if any(sides) else (inputs, None)
    y, saved = ops.conv_transpose2d(inputs, weight, bias, geometry)

    def backward(dy: ArrayLike) -> tuple[Array, Array, Array | None]:
        gradient = gradient_of("conv_transpose2d", dy, y)
        dx, dw, db = ops.conv_transpose2d_backward(gradient, saved, (True, True, b is not None))
        return dx if padded is None else ops.pad_backward(dx, padded), dw, db

    return y, backward
