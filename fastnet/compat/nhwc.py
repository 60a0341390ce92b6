"""Convolution and pooling for courses with channels-last arrays: images (N, H, W, C), weights (R, S, C, K).

fastnet's own memory order is channels-last too, so convolutions transpose only the weights.  dtypes follow the rules of
:mod:`fastnet.compat.kernels`; results are new C-contiguous arrays.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from fastnet import functional, gradients
from fastnet.compat import kernels
from fastnet.layout import channels_last
from fastnet.types import Pair

__all__ = [
    "avg_pool_backward",
    "avg_pool_forward",
    "conv_backward",
    "conv_forward",
    "max_pool_backward",
    "max_pool_forward",
]


def _first(x, name: str) -> np.ndarray:
    """A view (N, C, H, W) of (N, H, W, C)."""
    x = np.asarray(x)
    if x.ndim != 4:
        raise ValueError(f"{name} must have shape (N, H, W, C), got {x.shape}")
    return x.transpose(0, 3, 1, 2)


def _last(x) -> np.ndarray:
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def _filters(w) -> np.ndarray:
    """A view (K, C, R, S) of (R, S, C, K)."""
    w = np.asarray(w)
    if w.ndim != 4:
        raise ValueError(f"w must have shape (R, S, C, K), got {w.shape}")
    return w.transpose(3, 2, 0, 1)


def conv_forward(x: ArrayLike, w: ArrayLike, b: ArrayLike, stride: Pair = 1, pad: Pair = 0) -> np.ndarray:
    """y[n,p,q,k] = b[k] + sum over r,s,c of xpad[n, p*stride + r, q*stride + s, c] * w[r,s,c,k].

    Parameters
    ----------
    x : array, (N, H, W, C)
    w : array, (R, S, C, K)
    b : array of K elements in any shape
    stride, pad : int or pair

    Returns
    -------
    y : ndarray, (N, P, Q, K)
    """
    x, w, b = _first(x, "x"), _filters(w), np.asarray(b).reshape(-1)
    dtype = kernels.promoted("conv", x=x, w=w, b=b)
    y, _ = functional.conv2d(channels_last(x, dtype), np.asarray(w, dtype), np.asarray(b, dtype), stride, pad)
    return _last(y)


def conv_backward(dy: ArrayLike, x: ArrayLike, w: ArrayLike, stride: Pair = 1, pad: Pair = 0) -> tuple[np.ndarray, ...]:
    """The gradients of :func:`conv_forward`: dx (N, H, W, C), dw (R, S, C, K), db (K,), for dy (N, P, Q, K)."""
    dy, x, w = _first(dy, "dy"), _first(x, "x"), _filters(w)
    dtype = kernels.promoted("conv_backward", dy=dy, x=x, w=w)
    dy, x, w = channels_last(dy, dtype), channels_last(x, dtype), np.asarray(w, dtype)
    dx, dw, db = gradients.conv2d(dy, x, w, stride, pad)
    assert dx is not None and dw is not None and db is not None  # all are needed
    return _last(dx), np.ascontiguousarray(dw.transpose(2, 3, 1, 0)), db


def max_pool_forward(x: ArrayLike, kernel: Pair, stride: Pair) -> np.ndarray:
    """The maximum of each window of x (N, H, W, C)."""
    return _last(kernels.max_pool_forward(_first(x, "x"), kernel, stride))


def max_pool_backward(dy: ArrayLike, x: ArrayLike, kernel: Pair, stride: Pair, ties: str) -> np.ndarray:
    """The gradient of :func:`max_pool_forward`; `ties` as in :func:`fastnet.compat.kernels.max_pool_backward`."""
    return _last(kernels.max_pool_backward(_first(dy, "dy"), _first(x, "x"), kernel, stride, ties))


def avg_pool_forward(x: ArrayLike, kernel: Pair, stride: Pair) -> np.ndarray:
    """The mean of each window of x (N, H, W, C)."""
    return _last(kernels.avg_pool_forward(_first(x, "x"), kernel, stride))


def avg_pool_backward(dy: ArrayLike, x_shape: Sequence[int], kernel: Pair, stride: Pair) -> np.ndarray:
    """The gradient of :func:`avg_pool_forward`."""
    N, H, W, C = x_shape
    return _last(kernels.avg_pool_backward(_first(dy, "dy"), (N, C, H, W), kernel, stride))
