"""The im2col method in plain NumPy, in its fastest form: the other side of `course.py`.

A convolution copies its patches into a matrix through one strided view, followed by a single matrix product on all of
BLAS's threads; its gradients are two products and a strided sum for each tap.  Pooling reshapes the image into windows.
The functions have the names, arguments and caches of a course's fast layers.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def conv_forward(x, w, b, conv_param):
    """Convolution of x (N, C, H, W) with w (F, C, R, S)."""
    stride, pad = conv_param["stride"], conv_param["pad"]
    F, C, R, S = w.shape
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = sliding_window_view(padded, (R, S), axis=(2, 3))[:, :, ::stride, ::stride]
    N, _, P, Q = windows.shape[:4]
    columns = np.ascontiguousarray(windows.transpose(1, 4, 5, 0, 2, 3)).reshape(C * R * S, -1)
    y = np.dot(w.reshape(F, -1), columns)
    y += b.reshape(-1, 1)
    return np.ascontiguousarray(y.reshape(F, N, P, Q).transpose(1, 0, 2, 3)), (x, w, b, conv_param, columns)


def conv_backward(dout, cache):
    """dx, dw, db."""
    x, w, _, conv_param, columns = cache
    stride, pad = conv_param["stride"], conv_param["pad"]
    (N, C, H, W), (F, _, R, S), (P, Q) = x.shape, w.shape, dout.shape[2:]
    rows = dout.transpose(1, 0, 2, 3).reshape(F, -1)
    dw = np.dot(rows, columns.T).reshape(w.shape)
    dcolumns = np.dot(w.reshape(F, -1).T, rows).reshape(C, R, S, N, P, Q)
    dx = np.zeros((N, C, H + 2 * pad, W + 2 * pad), dcolumns.dtype)
    for r, s in np.ndindex(R, S):
        dx[:, :, r : r + stride * P : stride, s : s + stride * Q : stride] += dcolumns[:, r, s].transpose(1, 0, 2, 3)
    return dx[:, :, pad : pad + H, pad : pad + W], dw, dout.sum(axis=(0, 2, 3))


def max_pool_forward(x, pool_param):
    """Max pooling by square windows that tile x (N, C, H, W)."""
    size = pool_param["pool_height"]
    N, C, H, W = x.shape
    windows = x.reshape(N, C, H // size, size, W // size, size)
    y = windows.max(axis=3).max(axis=4)
    return y, (x, windows, y)


def max_pool_backward(dout, cache):
    """dx; equal maxima share a window's gradient."""
    x, windows, y = cache
    largest = windows == y[:, :, :, None, :, None]
    dx = np.zeros_like(windows)
    dx[largest] = np.broadcast_to(dout[:, :, :, None, :, None], dx.shape)[largest]
    dx /= largest.sum(axis=(3, 5), keepdims=True)
    return dx.reshape(x.shape)
