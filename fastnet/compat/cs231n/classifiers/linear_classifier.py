"""Linear classifiers, ``scores = X @ W``, trained by stochastic gradient descent."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.compat.cs231n.classifiers.linear_svm import svm_loss_vectorized
from fastnet.compat.cs231n.classifiers.softmax import softmax_loss_vectorized
from fastnet.compat.cs231n.saved import load_params, save_params

__all__ = ["LinearClassifier", "LinearSVM", "Softmax"]


class LinearClassifier:
    """The base class; subclasses define the loss.

    Attributes
    ----------
    W : array, (D, C), or None before training
    """

    def __init__(self) -> None:
        self.W: Any = None

    def train(
        self,
        X: np.ndarray,
        y: np.ndarray,
        learning_rate: float = 1e-3,
        reg: float = 1e-5,
        num_iters: int = 100,
        batch_size: int = 200,
        verbose: bool = False,
    ) -> list[float]:
        """Train on X (N, D), y (N,) in 0..C-1; return the loss at each iteration.

        Unless W exists, it is initialised to ``0.001 * np.random.randn(D, C)``; each batch is
        ``np.random.choice(N, batch_size)``.  `verbose` prints the loss every 100 iterations.
        """
        if self.W is None:
            self.W = 0.001 * np.random.randn(X.shape[1], np.max(y) + 1)
        loss_history = []
        for it in range(num_iters):
            batch = np.random.choice(len(X), batch_size)
            loss, grad = self.loss(X[batch], y[batch], reg)
            loss_history.append(loss)
            self.W -= learning_rate * grad
            if verbose and it % 100 == 0:
                print(f"iteration {it} / {num_iters}: loss {loss:f}")
        return loss_history

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The class with the highest score, (N,), for X (N, D)."""
        return np.argmax(X @ self.W, axis=1)

    def loss(self, X_batch: np.ndarray, y_batch: np.ndarray, reg: float) -> tuple[float, np.ndarray]:
        """(loss, gradient of W)."""
        raise NotImplementedError("LinearClassifier has no loss of its own: use LinearSVM or Softmax")

    def save(self, fname: str) -> None:
        """Write W to cs231n/saved/<fname>."""
        save_params(fname, {"W": self.W})

    def load(self, fname: str) -> bool:
        """Read what :meth:`save` wrote; return whether the file exists."""
        params = load_params(fname)
        if params is None:
            return False
        self.W = params["W"]
        return True


class LinearSVM(LinearClassifier):
    """A linear classifier with the multiclass hinge loss."""

    def loss(self, X_batch: np.ndarray, y_batch: np.ndarray, reg: float) -> tuple[float, np.ndarray]:
        """(loss, gradient of W); see :func:`~fastnet.compat.cs231n.classifiers.linear_svm.svm_loss_naive`."""
        return svm_loss_vectorized(self.W, X_batch, y_batch, reg)


class Softmax(LinearClassifier):
    """A linear classifier with the cross-entropy loss."""

    def loss(self, X_batch: np.ndarray, y_batch: np.ndarray, reg: float) -> tuple[float, np.ndarray]:
        """(loss, gradient of W); see :func:`~fastnet.compat.cs231n.classifiers.softmax.softmax_loss_naive`."""
        return softmax_loss_vectorized(self.W, X_batch, y_batch, reg)
