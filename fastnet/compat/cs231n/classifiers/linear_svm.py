"""The multiclass hinge loss of a linear classifier.

With s = X @ W, it is the mean of ``sum over j != y of max(0, s[j] - s[y] + 1)``, plus ``reg * sum(W**2)``.
"""

from __future__ import annotations

import numpy as np

from fastnet.compat.cs231n.losses import svm_loss

__all__ = ["svm_loss_naive", "svm_loss_vectorized"]


def svm_loss_naive(W: np.ndarray, X: np.ndarray, y: np.ndarray, reg: float) -> tuple[float, np.ndarray]:
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
        for j in range(W.shape[1]):
            margin = scores[j] - scores[y[i]] + 1
            if j != y[i] and margin > 0:
                loss += margin
                dW[:, j] += X[i]
                dW[:, y[i]] -= X[i]
    return loss / len(X) + reg * np.sum(W * W), dW / len(X) + 2 * reg * W


def svm_loss_vectorized(W: np.ndarray, X: np.ndarray, y: np.ndarray, reg: float) -> tuple[float, np.ndarray]:
    """The result of :func:`svm_loss_naive`, computed without loops."""
    loss, dscores = svm_loss(X @ W, y)
    return loss + reg * np.sum(W * W), X.T @ dscores + 2 * reg * W
