"""Gradients for callers that kept the inputs of a forward pass but not its ``backward`` function.

Usually, ``y, backward = functional.conv2d(x, w, b)`` returns that function.  Here,
``dx, dw, db = gradients.conv2d(dy, x, w)`` computes the same gradients, bit for bit, from the arrays, as
``torch.nn.grad`` does.  Nothing of the forward pass is computed again, except for the positions of the maxima in max
pooling.

Arrays may be anything that :mod:`fastnet.functional` takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnet.backends import current
from fastnet.functional.arguments import arrays_of, enter_contiguous, follows
from fastnet.geometry import Conv2dGeometry, Pool2dGeometry
from fastnet.graph import Node
from fastnet.ops import REGISTRY
from fastnet.ops.checks import check_shape, check_ties
from fastnet.types import Array, ArrayLike, Padding, Pair

__all__ = ["avg_pool2d", "conv2d", "max_pool2d"]


def _gradient(name: str, dy: Any, arrays: tuple[Any, ...], needs: Any = None, **attributes: Any) -> Any:
    """The gradients of an op from its arguments."""
    ops, op = current(), REGISTRY[name]
    given = {attribute: attributes.get(attribute, default) for attribute, default in op.attributes.items()}
    return ops.call_gradient(op, dy, ops.recall(op, arrays, given), needs)


@follows
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
    gradient, images, weights = arrays_of("gradients.conv2d", dy=dy, x=x, weight=w)
    geometry = Conv2dGeometry.make(images.shape, weights.shape, stride, padding, dilation, groups)
    check_shape("gradients.conv2d", "dy", gradient, geometry.y_shape)
    dx, dw, db = _gradient("conv2d", gradient, (images, weights, None), geometry=geometry, needs=tuple(needs))
    return dx, dw, db


@follows
def max_pool2d(
    dy: ArrayLike,
    x: ArrayLike,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    *,
    ties: str = "first",
) -> Array:
    """The gradient of :func:`fastnet.functional.max_pool2d` called with `ties`.

    Parameters
    ----------
    dy : array, (N, C, P, Q)
        The gradient with respect to the output.
    x : array, (N, C, H, W)
        Read in C order.
    kernel_size, stride, padding, dilation, ceil_mode
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
    gradient, images = arrays_of(op, enter_contiguous, dy=dy, x=x)
    geometry = Pool2dGeometry.make(images.shape, kernel_size, stride, padding, ceil_mode, op=op, dilation=dilation)
    check_shape(op, "dy", gradient, geometry.y_shape)
    check_ties(op, ties)
    dx: Array = _gradient("max_pool2d_planes", gradient, (images,), geometry=geometry, ties=ties)
    return current().contiguous(dx)


@follows
def avg_pool2d(
    dy: ArrayLike,
    x_shape: Sequence[int],
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool | None = None,
    divisor_override: int | None = None,
) -> Array:
    """The gradient of :func:`fastnet.functional.avg_pool2d`.

    Parameters
    ----------
    dy : array, (N, C, P, Q)
        The gradient with respect to the output.
    x_shape : (N, C, H, W)
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
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
    (gradient,) = arrays_of(op, dy=dy)
    geometry = Pool2dGeometry.make(
        x_shape, kernel_size, stride, padding, ceil_mode, count_include_pad, op=op, divisor=divisor_override
    )
    check_shape(op, "dy", gradient, geometry.y_shape)
    image = Node(None, (), {}, geometry.x_shape, gradient.dtype)  # its elements do not matter
    dx: Array = _gradient("avg_pool2d", gradient, (image,), geometry=geometry)
    return dx
