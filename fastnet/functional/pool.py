"""Pooling."""

from __future__ import annotations

from collections.abc import Callable

from fastnet.backends import current
from fastnet.functional.arguments import arrays_of, enter_contiguous, gradient_of
from fastnet.geometry import Pool2dGeometry
from fastnet.ops.checks import check_ties
from fastnet.types import Array, ArrayLike, Padding, Pair

__all__ = ["avg_pool2d", "global_avg_pool2d", "max_pool2d"]


def max_pool2d(
    x: ArrayLike,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    ties: str | None = None,
) -> tuple[Array, Callable[[ArrayLike], Array]]:
    """The maximum of each window; NaN if it contains one.  Padding never counts.

    Parameters
    ----------
    x : array, (N, C, H, W)
    kernel_size : int or pair
    stride : int or pair, default `kernel_size`
    padding : int, pair, (top, bottom, left, right), "same" or "valid"
    ceil_mode : bool
        Round the output size up.
    ties : "first", "split" or "all", optional
        Which of a window's equal maxima receive its gradient: the first, row by row; all, in equal parts; or all, each
        the whole gradient.  NaN equals NaN.  Default: the first.
        With this argument, x is read in C order, and y and dx are in C order.  That is faster for C-ordered arrays;
        without it, channels-last arrays, such as the results of convolutions, are faster.

    Returns
    -------
    y : array, (N, C, P, Q)
    backward : function
        ``dx = backward(dy)``.

    Raises
    ------
    TypeError, ValueError
        If arguments do not fit together; the message says which, what was given and what was expected.
    """
    ops = current()
    (inputs,) = arrays_of("max_pool2d", None if ties is None else enter_contiguous, x=x)
    geometry = Pool2dGeometry.make(inputs.shape, kernel_size, stride, padding, ceil_mode, op="max_pool2d")
    if ties is None:
        y, saved = ops.max_pool2d(inputs, geometry)

        def backward(dy: ArrayLike) -> Array:
            dx: Array = ops.max_pool2d_backward(gradient_of("max_pool2d", dy, y), saved)
            return dx

        return y, backward
    check_ties("max_pool2d", ties)
    y, saved = ops.max_pool2d_planes(inputs, geometry, ties)

    def backward_in_planes(dy: ArrayLike) -> Array:
        gradient = gradient_of("max_pool2d", dy, y, enter_contiguous)
        dx: Array = ops.contiguous(ops.max_pool2d_planes_backward(gradient, saved))
        return dx

    return ops.contiguous(y), backward_in_planes


def avg_pool2d(
    x: ArrayLike,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> tuple[Array, Callable[[ArrayLike], Array]]:
    """The mean of each window.

    Parameters
    ----------
    x : array, (N, C, H, W)
    kernel_size : int or pair
    stride : int or pair, default `kernel_size`
    padding : int, pair, (top, bottom, left, right), "same" or "valid"
    ceil_mode : bool
        Round the output size up.
    count_include_pad : bool
        Whether padded pixels count, as zeros.

    Returns
    -------
    y : array, (N, C, P, Q)
    backward : function
        ``dx = backward(dy)``.

    Raises
    ------
    TypeError, ValueError
        If arguments do not fit together; the message says which, what was given and what was expected.
    """
    ops = current()
    (inputs,) = arrays_of("avg_pool2d", x=x)
    geometry = Pool2dGeometry.make(
        inputs.shape, kernel_size, stride, padding, ceil_mode, count_include_pad, op="avg_pool2d"
    )
    y, saved = ops.avg_pool2d(inputs, geometry)

    def backward(dy: ArrayLike) -> Array:
        dx: Array = ops.avg_pool2d_backward(gradient_of("avg_pool2d", dy, y), saved)
        return dx

    return y, backward


def global_avg_pool2d(x: ArrayLike) -> tuple[Array, Callable[[ArrayLike], Array]]:
    """The mean over all pixels (Lin et al. 2014, arXiv:1312.4400).

    Parameters
    ----------
    x : array, (N, C, H, W)

    Returns
    -------
    y : array, (N, C, 1, 1)
    backward : function
        ``dx = backward(dy)``.

    Raises
    ------
    TypeError, ValueError
        If x does not hold real numbers, does not have four axes, or has no pixels.
    """
    ops = current()
    (inputs,) = arrays_of("global_avg_pool2d", x=x)
    y, saved = ops.global_avg_pool2d(inputs)

    def backward(dy: ArrayLike) -> Array:
        dx: Array = ops.global_avg_pool2d_backward(gradient_of("global_avg_pool2d", dy, y), saved)
        return dx

    return y, backward
