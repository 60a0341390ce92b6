"""The cross-entropy loss of a linear classifier: the mean of ``-log softmax(X @ W)[y]``, plus ``reg * sum(W**2)``."""

from __future__ import annotations

import numpy as np

from fastnet.compat.cs231n.losses import softmax_loss

__all__ = ["softmax_loss_naive", "softmax_loss_vectorized"]


def softmax_loss_naive(W: np.ndarray, X: np.ndarray, y: np.ndarray, reg: float) -> tuple[float, np.ndarray]:
    """The loss and its gradient, example by example and class by class.

    Parameters
    ----------
    W : array, (D, C)
    X : array, (N, D)
    y : array of int, (N,)
    reg : float

    Returns
    -------
    loss : float
    dW : array, (D, C)
    """
    loss, dW = 0.0, np.zeros(W.shape)
    for i in range(len(X)):
        scores = X[i] @ W
        scores -= scores.max()  # so that exp cannot overflow
        p = np.exp(scores) / np.sum(np.exp(scores))
        loss -= scores[y[i]] - np.log(np.sum(np.exp(scores)))
        for j in range(W.shape[1]):
            dW[:, j] += (p[j] - (j == y[i])) * X[i]
    return loss / len(X) + reg * np.sum(W * W), dW / len(X) + 2 * reg * W


def softmax_loss_vectorized(W: np.ndarray, X: np.ndarray, y: np.ndarray, reg: float) -> tuple[float, np.ndarray]:
    """The result of :func:`softmax_loss_naive`, computed without loops."""
    loss, dscores = softmax_loss(X @ W, y)
    return loss + reg * np.sum(W * W), X.T @ dscores + 2 * reg * W
