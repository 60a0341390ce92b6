"""Convolution, and the patches of images as columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastnet.arguments import flag, integer, pair
from fastnet.backends import current
from fastnet.functional.arguments import Batch, arrays_of, follows, gradient_of, images
from fastnet.geometry import Conv2dGeometry
from fastnet.types import Array, ArrayLike, Padding, Pair

__all__ = ["col2im", "conv2d", "im2col"]


@follows
def conv2d(
    x: ArrayLike,
    w: ArrayLike,
    b: ArrayLike | None = None,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
    *,
    flip: bool = False,
) -> tuple[Array, Callable[[ArrayLike], tuple[Array, Array, Array | None]]]:
    """2-d convolution as neural networks have it, which is cross-correlation; with `flip`, as mathematics has it.

    Cross-correlation is ``y[p, q] = sum over r, s of x[p + r, q + s] w[r, s]``, convolution the same with the kernel
    turned by 180 degrees, ``w[R-1-r, S-1-s]``.  A learned kernel can be either, so networks leave the turn out; only
    convolution is commutative.

    Parameters
    ----------
    x : array, (N, C, H, W) or (C, H, W)
        One image without a batch axis must be unmistakable: (H, W, C) is an error.
    w : array, (K, C // groups, R, S)
    b : array, (K,), optional
    stride, dilation : int or pair
    padding : int, pair, (top, bottom, left, right), "same" or "valid"
    groups : int
    flip : bool
        Turn the kernel first, in rows and columns: ``scipy.signal.convolve2d``.

    Returns
    -------
    y : array, (N, K, P, Q), or (K, P, Q) for one image
    backward : function
        ``dx, dw, db = backward(dy)``; db is None without b.

    Raises
    ------
    TypeError, ValueError
        If arguments do not fit together; the message says which, what was given and what was expected.
    """
    ops = current()
    turned = flag(flip, "conv2d: flip")
    inputs, weight, bias = arrays_of("conv2d", x=x, weight=w, bias=b)
    bias_shape = None if bias is None else bias.shape
    channels = weight.shape[1] * integer(groups, "conv2d: groups") if weight.ndim == 4 else None
    batch = Batch("conv2d", inputs, channels)
    geometry = Conv2dGeometry.make(batch.images.shape, weight.shape, stride, padding, dilation, groups, bias_shape)
    result, saved = ops.conv2d(batch.images, weight[:, :, ::-1, ::-1] if turned else weight, bias, geometry)
    y = batch.take(result)

    def backward(dy: ArrayLike) -> tuple[Array, Array, Array | None]:
        gradient = batch.put(gradient_of("conv2d", dy, y))
        dx, dw, db = ops.conv2d_backward(gradient, saved, (True, True, b is not None))
        return batch.take(dx), dw[:, :, ::-1, ::-1].copy() if turned else dw, db

    return y, backward


def _patches(
    x_shape: Sequence[int], kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair
) -> Conv2dGeometry:
    w_shape = 1, x_shape[1], *pair(kernel_size, "im2col: kernel_size")
    return Conv2dGeometry.make(x_shape, w_shape, stride, padding, dilation)


@follows
def im2col(x: ArrayLike, kernel_size: Pair, *, stride: Pair = 1, padding: Padding = 0, dilation: Pair = 1) -> Array:
    """Patches as columns, like torch's ``unfold`` (which has another order of arguments, so these need their names).

    A convolution is then ``w.reshape(K, -1) @ columns``.  :func:`conv2d` never makes this matrix.

    Parameters
    ----------
    x : array, (N, C, H, W)
    kernel_size, stride, dilation : int or pair
    padding : int, pair, (top, bottom, left, right), "same" or "valid"

    Returns
    -------
    array, (N, C*R*S, P*Q)
        Row (c*R + r)*S + s of column p*Q + q is the pixel of channel c under kernel position (r, s) at output position
        (p, q).

    Raises
    ------
    TypeError, ValueError
        If arguments do not fit together; the message says which, what was given and what was expected.
    """
    (inputs,) = arrays_of("im2col", x=x)
    geometry = _patches(images("im2col", inputs).shape, kernel_size, stride, padding, dilation)
    columns: Array = current().im2col(inputs, geometry)
    return columns


@follows
def col2im(
    columns: ArrayLike,
    x_shape: Sequence[int],
    kernel_size: Pair,
    *,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
) -> Array:
    """Accumulate columns at the pixels that they come from, like torch's ``fold``: the adjoint of :func:`im2col`.

    Parameters
    ----------
    columns : array, (N, C*R*S, P*Q)
    x_shape : (N, C, H, W)
    kernel_size, stride, dilation : int or pair
    padding : int, pair, (top, bottom, left, right), "same" or "valid"

    Returns
    -------
    array, (N, C, H, W)

    Raises
    ------
    TypeError, ValueError
        If arguments do not fit together; the message says which, what was given and what was expected.
    """
    (given,) = arrays_of("col2im", columns=columns)
    try:
        x_shape = tuple(x_shape)
    except TypeError:
        raise TypeError(f"col2im: x_shape must be (N, C, H, W), got {x_shape!r}") from None
    if len(x_shape) != 4:
        raise ValueError(f"col2im: x_shape must be (N, C, H, W), got {x_shape}")
    x: Array = current().col2im(given, _patches(x_shape, kernel_size, stride, padding, dilation))
    return x
