"""The losses of the networks: the mean over a batch, and its gradient with respect to the scores."""

from __future__ import annotations

import numpy as np

__all__ = ["softmax_loss", "svm_loss"]


def svm_loss(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """The multiclass hinge loss, the mean of ``sum over j != y of max(0, x[j] - x[y] + 1)``.

    Parameters
    ----------
    x : array, (N, C)
        Scores.
    y : array of int, (N,)
        The correct classes.

    Returns
    -------
    loss : float
    dx : array, (N, C)
    """
    N, rows = len(x), np.arange(len(x))
    margins = np.maximum(0, x - x[rows, y][:, None] + 1)
    margins[rows, y] = 0
    dx = (margins > 0).astype(x.dtype)
    dx[rows, y] -= dx.sum(axis=1)
    return margins.sum() / N, dx / N


def softmax_loss(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """The cross-entropy loss, the mean of ``-log softmax(x)[y]``; arguments and results as in :func:`svm_loss`."""
    N, rows = len(x), np.arange(len(x))
    shifted = x - x.max(axis=1, keepdims=True)  # so that exp cannot overflow
    log_p = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    dx = np.exp(log_p)
    dx[rows, y] -= 1
    return -log_p[rows, y].sum() / N, dx / N
