"""Convolution and max pooling as plain loops over windows: the slow baseline."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.geometry import Conv2dGeometry, Pool2dGeometry

__all__ = [
    "conv_backward_naive",
    "conv_forward_naive",
    "max_pool_backward_naive",
    "max_pool_forward_naive",
]


def conv_forward_naive(
    x: np.ndarray, w: np.ndarray, b: np.ndarray, conv_param: dict[str, Any]
) -> tuple[np.ndarray, Any]:
    """Apply each filter to each window: ``out[n, f, p, q] = sum(window * w[f]) + b[f]``.

    Parameters
    ----------
    x : array, (N, C, H, W)
    w : array, (F, C, HH, WW)
    b : array, (F,)
    conv_param : dict
        stride, pad : int
            The distance of neighbouring windows, and the number of zeros around x, in pixels.

    Returns
    -------
    out : array, (N, F, P, Q), of the dtype to which NumPy promotes x, w and b
        P = 1 + (H + 2*pad - HH) // stride, and Q alike.
    cache : tuple
        (x, w, b, conv_param)

    Raises
    ------
    TypeError, ValueError
        If shapes, stride and pad do not fit together.
    """
    stride, pad = conv_param["stride"], conv_param["pad"]
    sizes = Conv2dGeometry.make(x.shape, w.shape, stride, pad, bias_shape=np.shape(b))
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    out = np.zeros(sizes.y_shape, np.result_type(x, w, b))
    for n in range(sizes.N):
        for f in range(sizes.K):
            for p in range(sizes.P):
                for q in range(sizes.Q):
                    i, j = p * stride, q * stride
                    window = padded[n, :, i : i + sizes.R, j : j + sizes.S]
                    out[n, f, p, q] = np.sum(window * w[f]) + b[f]
    return out, (x, w, b, conv_param)


def conv_backward_naive(dout: np.ndarray, cache: Any) -> tuple[np.ndarray, ...]:
    """Gradients dx (N, C, H, W), dw (F, C, HH, WW), db (F,) of :func:`conv_forward_naive`."""
    x, w, b, conv_param = cache
    stride, pad = conv_param["stride"], conv_param["pad"]
    (N, F, P, Q), (HH, WW) = dout.shape, w.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    dtype = np.result_type(dout, x, w)
    dpadded, dw, db = np.zeros(padded.shape, dtype), np.zeros(w.shape, dtype), np.zeros(np.shape(b), dtype)
    for n in range(N):
        for f in range(F):
            for p in range(P):
                for q in range(Q):
                    i, j = p * stride, q * stride
                    dpadded[n, :, i : i + HH, j : j + WW] += w[f] * dout[n, f, p, q]
                    dw[f] += padded[n, :, i : i + HH, j : j + WW] * dout[n, f, p, q]
                    db[f] += dout[n, f, p, q]
    return dpadded[:, :, pad : pad + x.shape[2], pad : pad + x.shape[3]], dw, db


def max_pool_forward_naive(x: np.ndarray, pool_param: dict[str, Any]) -> tuple[np.ndarray, Any]:
    """The maximum of each window.

    Parameters
    ----------
    x : array, (N, C, H, W)
    pool_param : dict
        pool_height, pool_width, stride : int

    Returns
    -------
    out : array, (N, C, P, Q)
        P = 1 + (H - pool_height) // stride, and Q alike.
    cache : tuple
        (x, pool_param)
    """
    stride, window = pool_param["stride"], (pool_param["pool_height"], pool_param["pool_width"])
    sizes = Pool2dGeometry.make(x.shape, window, stride, op="max_pool_forward_naive")
    out = np.zeros(sizes.y_shape, x.dtype)
    for n in range(sizes.N):
        for c in range(sizes.C):
            for p in range(sizes.P):
                for q in range(sizes.Q):
                    i, j = p * stride, q * stride
                    out[n, c, p, q] = np.max(x[n, c, i : i + sizes.R, j : j + sizes.S])
    return out, (x, pool_param)


def max_pool_backward_naive(dout: np.ndarray, cache: Any) -> np.ndarray:
    """The gradient dx (N, C, H, W): each element of dout is added to its window's maximum, the first of equals."""
    x, pool_param = cache
    stride, R, S = pool_param["stride"], pool_param["pool_height"], pool_param["pool_width"]
    N, C, P, Q = dout.shape
    dx = np.zeros(x.shape, np.result_type(dout, x))
    for n in range(N):
        for c in range(C):
            for p in range(P):
                for q in range(Q):
                    i, j = p * stride, q * stride
                    r, s = np.unravel_index(np.argmax(x[n, c, i : i + R, j : j + S]), (R, S))
                    dx[n, c, i + r, j + s] += dout[n, c, p, q]
    return dx
