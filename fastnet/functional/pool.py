"""Pooling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from fastnet.arguments import flag
from fastnet.backends import current
from fastnet.functional.arguments import Batch, arrays_of, enter_contiguous, follows, gradient_of
from fastnet.geometry import Pool2dGeometry
from fastnet.ops.checks import check_ties
from fastnet.types import Array, ArrayLike, Padding, Pair

__all__ = ["avg_pool2d", "global_avg_pool2d", "max_pool2d"]


@follows
def max_pool2d(
    x: ArrayLike,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    return_indices: Literal[False] = False,
    *,
    ties: str | None = None,
) -> tuple[Array, Callable[[ArrayLike], Array]]:
    """The maximum of each window; NaN if it contains one.  Padding never counts.

    Parameters
    ----------
    x : array, (N, C, H, W) or (C, H, W)
    kernel_size : int or pair
    stride : int or pair, default `kernel_size`
    padding : int, pair, (top, bottom, left, right), "same" or "valid"
    dilation : int or pair
        The distance of a window's pixels.
    ceil_mode : bool
        Round the output size up; a window may then be larger than the input.
    return_indices : False
        PyTorch's argument; indices are not available.
    ties : "first", "split" or "all", optional
        Which of a window's equal maxima receive its gradient: the first, row by row; all, in equal parts; or all, each
        the whole gradient.  NaN equals NaN.  Default: the first.
        With this argument, x is read in C order, and y and dx are in C order.  That is faster for C-ordered arrays;
        without it, channels-last arrays, such as the results of convolutions, are faster.

    Returns
    -------
    y : array, (N, C, P, Q) or (C, P, Q)
    backward : function
        ``dx = backward(dy)``.

    Raises
    ------
    TypeError, ValueError
        If arguments do not fit together; the message says which, what was given and what was expected.
    """
    ops = current()
    if flag(return_indices, "max_pool2d: return_indices"):
        raise TypeError("max_pool2d: return_indices=True is not supported; backward knows the positions of the maxima")
    (inputs,) = arrays_of("max_pool2d", None if ties is None else enter_contiguous, x=x)
    batch = Batch("max_pool2d", inputs)
    geometry = Pool2dGeometry.make(
        batch.images.shape, kernel_size, stride, padding, ceil_mode, op="max_pool2d", dilation=dilation
    )
    if ties is None:
        result, saved = ops.max_pool2d(batch.images, geometry)
        y = batch.take(result)

        def backward(dy: ArrayLike) -> Array:
            gradient = batch.put(gradient_of("max_pool2d", dy, y))
            return batch.take(ops.max_pool2d_backward(gradient, saved))

        return y, backward
    check_ties("max_pool2d", ties)
    result, saved = ops.max_pool2d_planes(batch.images, geometry, ties)
    y = batch.take(ops.contiguous(result))

    def backward_in_planes(dy: ArrayLike) -> Array:
        gradient = batch.put(gradient_of("max_pool2d", dy, y, enter_contiguous))
        return batch.take(ops.contiguous(ops.max_pool2d_planes_backward(gradient, saved)))

    return y, backward_in_planes


@follows
def avg_pool2d(
    x: ArrayLike,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool | None = None,
    divisor_override: int | None = None,
) -> tuple[Array, Callable[[ArrayLike], Array]]:
    """The mean of each window.

    Parameters
    ----------
    x : array, (N, C, H, W) or (C, H, W)
    kernel_size : int or pair
    stride : int or pair, default `kernel_size`
    padding : int, pair, (top, bottom, left, right), "same" or "valid"
    ceil_mode : bool
        Round the output size up; a window may then be larger than the input.
    count_include_pad : bool, optional
        Whether padded pixels count, as zeros.  Default: True, as in PyTorch, but False for padding="same", as in
        TensorFlow.
    divisor_override : int, optional
        Divide the sum of each window by this instead of by its number of pixels.

    Returns
    -------
    y : array, (N, C, P, Q) or (C, P, Q)
    backward : function
        ``dx = backward(dy)``.

    Raises
    ------
    TypeError, ValueError
        If arguments do not fit together; the message says which, what was given and what was expected.
    """
    ops = current()
    (inputs,) = arrays_of("avg_pool2d", x=x)
    batch = Batch("avg_pool2d", inputs)
    geometry = Pool2dGeometry.make(
        batch.images.shape,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        op="avg_pool2d",
        divisor=divisor_override,
    )
    result, saved = ops.avg_pool2d(batch.images, geometry)
    y = batch.take(result)

    def backward(dy: ArrayLike) -> Array:
        gradient = batch.put(gradient_of("avg_pool2d", dy, y))
        return batch.take(ops.avg_pool2d_backward(gradient, saved))

    return y, backward


@follows
def global_avg_pool2d(x: ArrayLike) -> tuple[Array, Callable[[ArrayLike], Array]]:
    """The mean over all pixels (Lin et al. 2014, arXiv:1312.4400).

    Parameters
    ----------
    x : array, (N, C, H, W) or (C, H, W)

    Returns
    -------
    y : array, (N, C, 1, 1) or (C, 1, 1)
    backward : function
        ``dx = backward(dy)``.

    Raises
    ------
    TypeError, ValueError
        If x does not hold real numbers, does not have four axes, or has no pixels.
    """
    ops = current()
    (inputs,) = arrays_of("global_avg_pool2d", x=x)
    batch = Batch("global_avg_pool2d", inputs)
    result, saved = ops.global_avg_pool2d(batch.images)
    y = batch.take(result)

    def backward(dy: ArrayLike) -> Array:
        gradient = batch.put(gradient_of("global_avg_pool2d", dy, y))
        return batch.take(ops.global_avg_pool2d_backward(gradient, saved))

    return y, backward
