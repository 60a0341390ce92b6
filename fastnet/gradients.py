"""Gradients for callers that kept the inputs of a forward pass but not its ``backward`` function.

Usually, ``y, backward = functional.conv2d(x, w, b)`` returns that function.  Here,
``dx, dw, db = gradients.conv2d(dy, x, w)`` computes the same gradients, bit for bit, from the arrays, as
``torch.nn.grad`` does.  Nothing of the forward pass is computed again, except for the positions of the maxima in max
pooling.

Arrays may be anything that :mod:`fastnet.functional` takes.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastnet.backends import current
from fastnet.backends.checks import check_shape, check_ties
from fastnet.functional import _arrays, _enter_contiguous
from fastnet.geometry import Conv2dGeometry, Pool2dGeometry
from fastnet.types import Array, ArrayLike, Padding, Pair

__all__ = ["avg_pool2d", "conv2d", "max_pool2d"]


def conv2d(
    dy: ArrayLike,
    x: ArrayLike,
    w: ArrayLike,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
    needs: Sequence[bool] = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    """The gradients of :func:`fastnet.functional.conv2d`.

    Parameters
    ----------
    dy : array, (N, K, P, Q)
        The gradient with respect to the output.
    x : array, (N, C, H, W)
    w : array, (K, C // groups, R, S)
    stride, padding, dilation, groups
        As in the forward call.
    needs : three bools
        Which of the three gradients to compute.

    Returns
    -------
    dx : array, (N, C, H, W), or None
    dw : array, (K, C // groups, R, S), or None
    db : array, (K,), or None
        None where `needs` is False.

    Raises
    ------
    TypeError, ValueError
        If arguments do not fit together; the message says which, what was given and what was expected.
    """
    gradient, images, weights = _arrays("gradients.conv2d", dy=dy, x=x, weight=w)
    geometry = Conv2dGeometry.make(images.shape, weights.shape, stride, padding, dilation, groups)
    check_shape("gradients.conv2d", "dy", gradient, geometry.y_shape)
    dx, dw, db = current().conv2d_backward(gradient, (images, weights, geometry, None), tuple(needs))
    return dx, dw, db


def max_pool2d(
    dy: ArrayLike,
    x: ArrayLike,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    ties: str = "first",
) -> Array:
    """The gradient of :func:`fastnet.functional.max_pool2d` called with `ties`.

    Parameters
    ----------
    dy : array, (N, C, P, Q)
        The gradient with respect to the output.
    x : array, (N, C, H, W)
        Read in C order.
    kernel_size, stride, padding, ceil_mode
        As in the forward call.
    ties : "first", "split" or "all"
        Which of a window's equal maxima receive its gradient: the first, row by row; all, in equal parts; or all, each
        the whole gradient.  NaN equals NaN.

    Returns
    -------
    dx : array, (N, C, H, W)
        In C order.

    Raises
    ------
    TypeError, ValueError
        If arguments do not fit together; the message says which, what was given and what was expected.
    """
    op = "gradients.max_pool2d"
    gradient, images = _arrays(op, _enter_contiguous, dy=dy, x=x)
    geometry = Pool2dGeometry.make(images.shape, kernel_size, stride, padding, ceil_mode, op=op)
    check_shape(op, "dy", gradient, geometry.y_shape)
    check_ties(op, ties)
    ops = current()
    dx: Array = ops.contiguous(ops.max_pool2d_planes_backward(gradient, (images, geometry, ties)))
    return dx


def avg_pool2d(
    dy: ArrayLike,
    x_shape: Sequence[int],
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """The gradient of :func:`fastnet.functional.avg_pool2d`.

    Parameters
    ----------
    dy : array, (N, C, P, Q)
        The gradient with respect to the output.
    x_shape : (N, C, H, W)
    kernel_size, stride, padding, ceil_mode, count_include_pad
        As in the forward call.

    Returns
    -------
    dx : array, (N, C, H, W)

    Raises
    ------
    TypeError, ValueError
        If arguments do not fit together; the message says which, what was given and what was expected.
    """
    op = "gradients.avg_pool2d"
    (gradient,) = _arrays(op, dy=dy)
    geometry = Pool2dGeometry.make(x_shape, kernel_size, stride, padding, ceil_mode, count_include_pad, op=op)
    check_shape(op, "dy", gradient, geometry.y_shape)
    dx: Array = current().avg_pool2d_backward(gradient, (geometry, gradient.dtype))
    return dx
