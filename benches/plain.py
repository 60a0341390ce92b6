"""Plain Python loops over NumPy arrays, as in a textbook: the slowest of the three implementations."""

from __future__ import annotations

import numpy as np


def conv2d(x, w, b, stride, pad):
    """The convolution of x (N, C, H, W) with w (K, C, R, S)."""
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    (N, _, H, W), (K, _, R, S) = x.shape, w.shape
    y = np.empty((N, K, (H - R) // stride + 1, (W - S) // stride + 1), x.dtype)
    for n, k, p, q in np.ndindex(y.shape):
        y[n, k, p, q] = b[k] + (x[n, :, p * stride : p * stride + R, q * stride : q * stride + S] * w[k]).sum()
    return y


def max_pool2d(x, dy, size):
    """Pooling with windows of `size` at stride `size`: y, and the gradient of x."""
    N, C, H, W = x.shape
    y, dx = np.empty((N, C, H // size, W // size), x.dtype), np.zeros_like(x)
    for n, c, p, q in np.ndindex(y.shape):
        window = x[n, c, p * size : (p + 1) * size, q * size : (q + 1) * size]
        r, s = divmod(window.argmax(), size)
        y[n, c, p, q] = window[r, s]
        dx[n, c, p * size + r, q * size + s] += dy[n, c, p, q]
    return y, dx


def batch_norm(x, gamma, beta, dy, eps=1e-5):
    """Training mode: y, dx, dgamma, dbeta, one channel at a time."""
    y, dx, dgamma, dbeta = np.empty_like(x), np.empty_like(x), np.empty_like(gamma), np.empty_like(beta)
    for c in range(x.shape[1]):
        centred = x[:, c] - x[:, c].mean(dtype=np.float64)
        std = np.sqrt((centred**2).mean() + eps)
        xhat = centred / std
        y[:, c] = gamma[c] * xhat + beta[c]
        dgamma[c], dbeta[c] = (dy[:, c] * xhat).sum(), dy[:, c].sum()
        dx[:, c] = gamma[c] / std * (dy[:, c] - dy[:, c].mean() - xhat * (dy[:, c] * xhat).mean())
    return y, dx, dgamma, dbeta
