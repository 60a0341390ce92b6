"""Convolution and pooling on plain NumPy arrays, shared by all course adapters.

Arrays may be anything that NumPy accepts: lists, integers, strided, Fortran-ordered, read-only.  They are promoted by
NumPy's rules: x in float64 with w in float32 gives float64; integers alone become float64, and float16 becomes float32.
Results are new C-contiguous arrays.  No state is kept between calls.

Convolutions return ``(y, saved)``.  `saved` holds a copy of x, so the gradients are those of the call even if x is
changed in place afterwards; the weights are passed again, since courses keep them by reference.  Pooling saves nothing.

Further arguments are those of :class:`~fastnet.geometry.Conv2dGeometry` and :class:`~fastnet.geometry.Pool2dGeometry`:
an int, a pair, or (top, bottom, left, right) for padding.  Strides need not divide evenly: rows and columns that no
window reaches are ignored, and their gradient is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastnet import functional, gradients
from fastnet.geometry import Conv2dGeometry
from fastnet.layout import channels_last, contiguous
from fastnet.types import Padding, Pair

__all__ = [
    "Saved",
    "avg_pool_backward",
    "avg_pool_forward",
    "conv_backward",
    "conv_forward",
    "max_pool_backward",
    "max_pool_forward",
    "promoted",
]


class Saved(NamedTuple):
    """What a convolution's backward pass needs: a channels-last copy of x, and the geometry."""

    image: np.ndarray
    geometry: Conv2dGeometry

    @classmethod
    def of(
        cls, x: ArrayLike, w_shape: Sequence[int], stride: Pair = 1, pad: Padding = 0, dtype: DTypeLike | None = None
    ) -> Saved:
        """What the forward pass would have saved in `dtype` (default: x's), for callers that kept only x."""
        x = np.asarray(x)
        geometry = Conv2dGeometry.make(x.shape, w_shape, stride, pad)
        image = channels_last(x, dtype or promoted("conv", x=x))
        return cls(image.copy("K") if np.may_share_memory(image, x) else image, geometry)


def promoted(op: str, **arrays) -> np.dtype:
    """The dtype to which NumPy promotes these arrays, restricted to float32 and float64.

    Raises
    ------
    TypeError
        If an array does not hold real numbers of at most 64 bits.
    """
    dtype = np.result_type(*(array.dtype for array in arrays.values()))
    if dtype.kind in "biu":
        return np.dtype(np.float64)
    if dtype.kind != "f" or dtype.itemsize > 8:
        listing = ", ".join(f"{name} {array.dtype}" for name, array in arrays.items())
        raise TypeError(
            f"{op}: arrays must hold real numbers of at most 64 bits, got {listing}; cast with .astype(...)"
        )
    return np.result_type(dtype, np.float32)


# ---------------------------------------------------------------- convolution


def conv_forward(
    x: ArrayLike, w: ArrayLike, b: ArrayLike | None = None, stride: Pair = 1, pad: Padding = 0
) -> tuple[np.ndarray, Saved]:
    """y[n,k,p,q] = b[k] + sum over c,r,s of xpad[n, c, p*stride + r, q*stride + s] * w[k,c,r,s].

    Parameters
    ----------
    x : array, (N, C, H, W)
    w : array, (K, C, R, S)
    b : array of K elements in any shape, optional
    stride : int or pair
    pad : int, pair or (top, bottom, left, right)

    Returns
    -------
    y : ndarray, (N, K, P, Q), C order, of the promoted dtype of x, w and b
    saved : Saved
        For :func:`conv_backward`.

    Raises
    ------
    TypeError, ValueError
        If arguments do not fit together; the message says which.
    """
    x, w = np.asarray(x), np.asarray(w)
    given = {"x": x, "w": w}
    if b is not None:
        given["b"] = b = np.asarray(b)
        b = b.reshape(-1)
    dtype = promoted("conv", **given)
    saved = Saved.of(x, w.shape, stride, pad, dtype)
    bias = None if b is None else np.asarray(b, dtype)
    y, _ = functional.conv2d(saved.image, np.asarray(w, dtype), bias, stride, pad)
    return contiguous(y), saved


def conv_backward(
    dy: ArrayLike, saved: Saved, w: ArrayLike, needs: Sequence[bool] = (True, True, True)
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """The gradients of :func:`conv_forward`.

    Parameters
    ----------
    dy : array, (N, K, P, Q)
    saved : Saved
        From the forward call.
    w : array, (K, C, R, S)
    needs : three bools
        Which of the three gradients to compute.

    Returns
    -------
    dx, dw, db : ndarrays (N, C, H, W), (K, C, R, S), (K,), C order, of the promoted dtype of dy, x and w
        None where `needs` is False.
    """
    (image, g), dy, w = saved, np.asarray(dy), np.asarray(w)
    dtype = promoted("conv_backward", dy=dy, x=image, w=w)
    if w.shape != g.w_shape:
        raise ValueError(f"conv_backward: w must have the forward pass's shape {g.w_shape}, got {w.shape}")
    image, dy = channels_last(image, dtype), channels_last(dy, dtype)
    dx, dw, db = gradients.conv2d(dy, image, np.asarray(w, dtype), g.stride, g.padding, needs=needs)
    return None if dx is None else contiguous(dx), dw, db


# ---------------------------------------------------------------- pooling


def max_pool_forward(x: ArrayLike, kernel: Pair, stride: Pair | None = None) -> np.ndarray:
    """The maximum of each window; NaN if the window contains one.

    Parameters
    ----------
    x : array, (N, C, H, W)
    kernel : int or pair
    stride : int or pair, default `kernel`

    Returns
    -------
    y : ndarray, (N, C, P, Q), C order
    """
    x = np.asarray(x)
    # any rule for ties would do: y does not depend on it, and C-ordered arrays are pooled directly
    y, _ = functional.max_pool2d(contiguous(x, promoted("max_pool", x=x)), kernel, stride, ties="first")
    return y


def max_pool_backward(
    dy: ArrayLike, x: ArrayLike, kernel: Pair, stride: Pair | None = None, ties: str = "split"
) -> np.ndarray:
    """The gradient of :func:`max_pool_forward`.

    Parameters
    ----------
    dy : array, (N, C, P, Q)
    x : array, (N, C, H, W)
        As in the forward call.
    kernel, stride
        As in the forward call.
    ties : "split", "first" or "all"
        Which of a window's equal maxima receive its gradient: all, in equal parts; only the first, row by row; or
        all, each the whole gradient.  NaN equals NaN.

    Returns
    -------
    dx : ndarray, (N, C, H, W), C order, of the promoted dtype of dy and x
    """
    dy, x = np.asarray(dy), np.asarray(x)
    dtype = promoted("max_pool_backward", dy=dy, x=x)
    return gradients.max_pool2d(contiguous(dy, dtype), contiguous(x, dtype), kernel, stride, ties=ties)


def avg_pool_forward(x: ArrayLike, kernel: Pair, stride: Pair | None = None) -> np.ndarray:
    """The mean of each window.

    Parameters
    ----------
    x : array, (N, C, H, W)
    kernel : int or pair
    stride : int or pair, default `kernel`

    Returns
    -------
    y : ndarray, (N, C, P, Q), C order
    """
    x = np.asarray(x)
    y, _ = functional.avg_pool2d(channels_last(x, promoted("avg_pool", x=x)), kernel, stride)
    return contiguous(y)


def avg_pool_backward(dy: ArrayLike, x_shape: Sequence[int], kernel: Pair, stride: Pair | None = None) -> np.ndarray:
    """The gradient of :func:`avg_pool_forward`: each pixel of a window receives an equal part.

    Parameters
    ----------
    dy : array, (N, C, P, Q)
    x_shape : (N, C, H, W)
    kernel, stride
        As in the forward call.

    Returns
    -------
    dx : ndarray, (N, C, H, W), C order
    """
    dy = np.asarray(dy)
    dy = channels_last(dy, promoted("avg_pool_backward", dy=dy))
    return contiguous(gradients.avg_pool2d(dy, x_shape, kernel, stride))
