"""The fully connected layer and ReLU."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["affine_backward", "affine_forward", "relu_backward", "relu_forward"]


def affine_forward(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, Any]:
    """``out = x @ w + b``, with each example flattened to a row.

    Parameters
    ----------
    x : array, (N, d1, ..., dk)
    w : array, (D, M)
        D = d1 * ... * dk.
    b : array, (M,)

    Returns
    -------
    out : array, (N, M)
    cache : tuple
        (x, w, b)
    """
    return x.reshape(x.shape[0], -1) @ w + b, (x, w, b)


def affine_backward(dout: np.ndarray, cache: Any) -> tuple[np.ndarray, ...]:
    """Gradients dx (N, d1, ..., dk), dw (D, M), db (M,) of :func:`affine_forward`; dout is (N, M)."""
    x, w, _ = cache
    dx = (dout @ w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T @ dout
    return dx, dw, dout.sum(axis=0)


def relu_forward(x: np.ndarray) -> tuple[np.ndarray, Any]:
    """``max(0, x)`` for x of any shape; the cache is x."""
    return np.maximum(x, 0), x


def relu_backward(dout: np.ndarray, cache: Any) -> np.ndarray:
    """The gradient of :func:`relu_forward`: dout where x > 0, else 0."""
    return dout * (cache > 0)
