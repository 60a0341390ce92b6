"""Every op in one call, for people without a layer: ``y, backward = functional.conv2d(x, w, b, padding=1)``.

Arrays may be anything that NumPy takes: lists, strided, byte-swapped, read-only.  float32 and float64 arrays keep
their dtype and may not be mixed in one call; integers, float16 and lists follow the others, else become float32.

``backward(dy)`` returns dx for ops of one array, and a tuple of gradients, in the order of the arguments, for ops with
weights (None for an array that was not given).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from fastnet.backends import current
from fastnet.backends.checks import check_ties
from fastnet.geometry import Conv2dGeometry, Pool2dGeometry, pair

if TYPE_CHECKING:
    from fastnet.types import ArrayLike, Padding, Pair

__all__ = [
    "avg_pool2d",
    "batch_norm",
    "col2im",
    "conv2d",
    "dropout",
    "flatten",
    "global_avg_pool2d",
    "im2col",
    "leaky_relu",
    "linear",
    "matmul",
    "max_pool2d",
    "relu",
    "sigmoid",
    "tanh",
]


def _arrays(op: str, enter: Callable | None = None, **given) -> list:
    """The backend's arrays of one dtype; None stays None.  ``enter(name, array, dtype)`` chooses their memory order."""
    strong, found = [], {}
    for name, value in given.items():
        if value is None:
            if name in ("x", "weight", "columns", "a", "b", "dy"):
                raise TypeError(f"{op}: {name} must be an array of real numbers, got None")
            found[name] = None
            continue
        weak = not hasattr(value, "dtype")
        array = np.asarray(value) if weak else value
        if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
            raise TypeError(f"{op}: {name} must hold real numbers of at most 64 bits, got dtype {array.dtype}")
        if not weak and array.dtype.kind == "f" and array.dtype.itemsize >= 4:
            strong.append(np.dtype(array.dtype.type))
        found[name] = array
    dtype = strong[0] if strong else np.dtype(np.float32)
    if any(other != dtype for other in strong):
        listing = ", ".join(f"{name} {array.dtype}" for name, array in found.items() if array is not None)
        raise TypeError(f"{op}: float32 and float64 arrays may not be mixed, got {listing}; cast with .astype(...)")
    enter = enter or _enter
    return [None if array is None else enter(name, array, dtype) for name, array in found.items()]


def _enter(name: str, array, dtype):
    """Weights lie in C order, activations in the backend's order."""
    ops = current()
    return ops.xp.asarray(array, dtype, order="C") if name == "weight" else ops.asarray(array, dtype)


def _enter_contiguous(name: str, array, dtype):
    return current().contiguous(array, dtype)


def _gradient(op: str, dy, y, enter: Callable | None = None):
    dy = (enter or _enter)("dy", dy, y.dtype)
    if tuple(dy.shape) != tuple(y.shape):
        raise ValueError(f"{op}: dy must have the output's shape {tuple(y.shape)}, got {tuple(dy.shape)}")
    return dy


def _images(op: str, x):
    if x.ndim != 4:
        hint = " (a single image needs a leading batch axis: x[None])" if x.ndim == 3 else ""
        raise ValueError(f"{op}: x must have shape (N, C, H, W), got {tuple(x.shape)}{hint}")
    return x


def conv2d(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    """2-d convolution (cross-correlation).

    Parameters
    ----------
    x : array, (N, C, H, W)
    w : array, (K, C // groups, R, S)
    b : array, (K,), optional
    stride, dilation : int or pair
    padding : int, pair, (top, bottom, left, right), "same" or "valid"
    groups : int

    Returns
    -------
    y : array, (N, K, P, Q)
    backward : function
        ``dx, dw, db = backward(dy)``.

    Raises
    ------
    TypeError, ValueError
        Arguments that do not fit together; the message says which, what was given and what was expected.
    """
    ops = current()
    x, w, b = _arrays("conv2d", x=x, weight=w, bias=b)
    geometry = Conv2dGeometry.make(x.shape, w.shape, stride, padding, dilation, groups, None if b is None else b.shape)
    y, saved = ops.conv2d(x, w, b, geometry)
    return y, lambda dy: ops.conv2d_backward(_gradient("conv2d", dy, y), saved, (True, True, b is not None))


def _patches(x_shape, kernel_size, stride, padding, dilation) -> Conv2dGeometry:
    return Conv2dGeometry.make(
        x_shape, (1, x_shape[1], *pair(kernel_size, "im2col: kernel_size")), stride, padding, dilation
    )


def im2col(x, kernel_size, stride=1, padding=0, dilation=1):
    """Patches as columns, (N, C, H, W) to (N, C*R*S, P*Q), like torch's ``unfold``.

    Row (c*R + r)*S + s of column p*Q + q is the pixel of channel c under kernel position (r, s) at output position
    (p, q); a convolution is then ``w.reshape(K, -1) @ columns``.  The convolutions here never make this matrix.
    """
    (x,) = _arrays("im2col", x=x)
    return current().im2col(x, _patches(_images("im2col", x).shape, kernel_size, stride, padding, dilation))


def col2im(columns, x_shape, kernel_size, stride=1, padding=0, dilation=1):
    """Columns (N, C*R*S, P*Q) added up at the pixels that they came from, (N, C, H, W): im2col's adjoint (``fold``)."""
    (columns,) = _arrays("col2im", columns=columns)
    x_shape = tuple(x_shape)
    if len(x_shape) != 4:
        raise ValueError(f"col2im: x_shape must be (N, C, H, W), got {x_shape}")
    return current().col2im(columns, _patches(x_shape, kernel_size, stride, padding, dilation))


def matmul(a: ArrayLike, b: ArrayLike) -> tuple[np.ndarray, Callable[[ArrayLike], tuple[np.ndarray, np.ndarray]]]:
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
    a, b = _arrays("matmul", a=a, b=b)
    y = ops.matmul(a, b)

    def backward(dy):
        dy = _gradient("matmul", dy, y)
        return ops.matmul(dy, b, transpose_b=True), ops.matmul(a, dy, transpose_a=True)

    return y, backward


def linear(x, w, b=None):
    """``y = x @ w.T + b`` with x (N, in), w (out, in), b (out,); ``dx, dw, db = backward(dy)``."""
    ops = current()
    x, w, b = _arrays("linear", x=x, weight=w, bias=b)
    y, saved = ops.linear(x, w, b)
    return y, lambda dy: ops.linear_backward(_gradient("linear", dy, y), saved, (True, True, b is not None))


def max_pool2d(
    x: ArrayLike,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    ties: str | None = None,
) -> tuple[np.ndarray, Callable[[ArrayLike], np.ndarray]]:
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
    (images,) = _arrays("max_pool2d", None if ties is None else _enter_contiguous, x=x)
    geometry = Pool2dGeometry.make(images.shape, kernel_size, stride, padding, ceil_mode, op="max_pool2d")
    if ties is None:
        y, saved = ops.max_pool2d(images, geometry)
        return y, lambda dy: ops.max_pool2d_backward(_gradient("max_pool2d", dy, y), saved)
    check_ties("max_pool2d", ties)
    y, saved = ops.max_pool2d_planes(images, geometry, ties)

    def backward(dy):
        return ops.contiguous(ops.max_pool2d_planes_backward(_gradient("max_pool2d", dy, y, _enter_contiguous), saved))

    return ops.contiguous(y), backward


def avg_pool2d(x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """The mean of each window; arguments as :func:`max_pool2d`; padded pixels count as zeros, or not at all."""
    ops = current()
    (x,) = _arrays("avg_pool2d", x=x)
    geometry = Pool2dGeometry.make(x.shape, kernel_size, stride, padding, ceil_mode, count_include_pad, op="avg_pool2d")
    y, saved = ops.avg_pool2d(x, geometry)
    return y, lambda dy: ops.avg_pool2d_backward(_gradient("avg_pool2d", dy, y), saved)


def global_avg_pool2d(x):
    """The mean over all pixels, (N, C, H, W) to (N, C, 1, 1)."""
    ops = current()
    (x,) = _arrays("global_avg_pool2d", x=x)
    y, saved = ops.global_avg_pool2d(x)
    return y, lambda dy: ops.global_avg_pool2d_backward(_gradient("global_avg_pool2d", dy, y), saved)


def batch_norm(x, gamma=None, beta=None, running_mean=None, running_var=None, training=False, momentum=0.1, eps=1e-5):
    """Normalise each channel of (N, C) or (N, C, H, W), then scale by gamma and shift by beta, (C,) each.

    Training uses the batch's statistics and moves `running_mean` and `running_var`, when given, in place: they must
    be writable arrays of x's dtype then.  `momentum` is the weight of the new value, as in PyTorch; courses and Keras
    give the weight of the old one, 1 - momentum.

    Returns
    -------
    y : array, of x's shape
    backward : function
        ``dx, dgamma, dbeta = backward(dy)``.
    """
    ops = current()
    if not eps > 0:
        raise ValueError(f"batch_norm: eps must be positive, got {eps!r}")
    if not 0 <= momentum <= 1:
        raise ValueError(f"batch_norm: momentum, the weight of the new value, must lie in [0, 1], got {momentum!r}")
    x, gamma, beta, mean, var = _arrays(
        "batch_norm", x=x, gamma=gamma, beta=beta, running_mean=running_mean, running_var=running_var
    )
    if training:
        for name, given, array in (("running_mean", running_mean, mean), ("running_var", running_var, var)):
            if given is not None and (
                given is not array or not getattr(getattr(given, "flags", None), "writeable", True)
            ):
                raise TypeError(
                    f"batch_norm: training moves {name} in place; give a writable, contiguous {x.dtype} array"
                )
    y, saved = ops.batch_norm(x, gamma, beta, mean, var, bool(training), momentum, eps)
    needs = True, gamma is not None, beta is not None
    return y, lambda dy: ops.batch_norm_backward(_gradient("batch_norm", dy, y), saved, needs)


def relu(x):
    """max(x, 0), of any shape; NaN stays NaN; the gradient at 0 is 0."""
    ops = current()
    (x,) = _arrays("relu", x=x)
    y, saved = ops.relu(x)
    return y, lambda dy: ops.relu_backward(_gradient("relu", dy, y), saved)


def leaky_relu(x, slope=0.01):
    """x where x > 0, else slope * x."""
    ops = current()
    (x,) = _arrays("leaky_relu", x=x)
    y, saved = ops.leaky_relu(x, float(slope))
    return y, lambda dy: ops.leaky_relu_backward(_gradient("leaky_relu", dy, y), saved)


def sigmoid(x):
    """1 / (1 + exp(-x)), without overflow."""
    ops = current()
    (x,) = _arrays("sigmoid", x=x)
    y, saved = ops.sigmoid(x)
    return y, lambda dy: ops.sigmoid_backward(_gradient("sigmoid", dy, y), saved)


def tanh(x):
    """tanh(x)."""
    ops = current()
    (x,) = _arrays("tanh", x=x)
    y, saved = ops.tanh(x)
    return y, lambda dy: ops.tanh_backward(_gradient("tanh", dy, y), saved)


def dropout(x, p=0.5, training=True, seed=0, offset=0):
    """Inverted dropout: zero with probability `p` and divide the rest by 1 - p; the identity when not training.

    The mask is numbers `offset`, offset + 1, ... of Philox stream `seed`: the same call drops the same elements.
    """
    ops = current()
    (x,) = _arrays("dropout", x=x)
    if not training:
        return x, lambda dy: _gradient("dropout", dy, x)
    y, saved = ops.dropout(x, p, seed, offset)
    return y, lambda dy: ops.dropout_backward(_gradient("dropout", dy, y), saved)


def flatten(x):
    """(N, C, H, W) to (N, C*H*W)."""
    ops = current()
    (x,) = _arrays("flatten", x=x)
    shape = tuple(_images("flatten", x).shape)
    y = ops.flatten(x)
    return y, lambda dy: ops.unflatten(_gradient("flatten", dy, y), shape)
