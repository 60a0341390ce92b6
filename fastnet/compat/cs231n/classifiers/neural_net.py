"""The two-layer network of assignment 1 up to 2020, with its own training loop."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.compat.cs231n.layer_utils import affine_relu_backward, affine_relu_forward
from fastnet.compat.cs231n.layers import affine_backward, affine_forward, softmax_loss

__all__ = ["TwoLayerNet"]


class TwoLayerNet:
    """affine - ReLU - affine - softmax, with ``reg * (sum(W1**2) + sum(W2**2))``.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
    std : float
        Standard deviation of the initial weights, drawn by ``np.random.randn``, W1 first; biases start at 0.

    Attributes
    ----------
    params : dict
        W1 (D, H), b1 (H,), W2 (H, C), b2 (C,).
    """

    def __init__(self, input_size: int, hidden_size: int, output_size: int, std: float = 1e-4):
        self.params = {}
        self.params["W1"] = std * np.random.randn(input_size, hidden_size)
        self.params["b1"] = np.zeros(hidden_size)
        self.params["W2"] = std * np.random.randn(hidden_size, output_size)
        self.params["b2"] = np.zeros(output_size)

    def loss(self, X: np.ndarray, y: np.ndarray | None = None, reg: float = 0.0) -> Any:
        """Scores (N, C) for X (N, D); with labels y (N,), (loss, dict of gradients)."""
        W1, b1, W2, b2 = (self.params[name] for name in ("W1", "b1", "W2", "b2"))
        hidden, hidden_cache = affine_relu_forward(X, W1, b1)
        scores, cache = affine_forward(hidden, W2, b2)
        if y is None:
            return scores
        loss, dscores = softmax_loss(scores, y)
        dhidden, dW2, db2 = affine_backward(dscores, cache)
        _, dW1, db1 = affine_relu_backward(dhidden, hidden_cache)
        grads = {"W1": dW1 + 2 * reg * W1, "b1": db1, "W2": dW2 + 2 * reg * W2, "b2": db2}
        return loss + reg * (np.sum(W1 * W1) + np.sum(W2 * W2)), grads

    def train(
        self,
        X: np.ndarray,
        y: np.ndarray,
        X_val: np.ndarray,
        y_val: np.ndarray,
        learning_rate: float = 1e-3,
        learning_rate_decay: float = 0.95,
        reg: float = 5e-6,
        num_iters: int = 100,
        batch_size: int = 200,
        verbose: bool = False,
    ) -> dict[str, list]:
        """Train by plain gradient descent on batches ``np.random.choice(N, batch_size)``.

        After each epoch, the accuracies on the batch and on the validation data are measured, and the learning rate is
        multiplied by `learning_rate_decay`.  `verbose` prints the loss every 100 iterations.

        Returns
        -------
        dict
            loss_history, train_acc_history, val_acc_history.
        """
        iterations_per_epoch = max(len(X) / batch_size, 1)  # may be a fraction, as in the course
        histories: dict[str, list] = {"loss_history": [], "train_acc_history": [], "val_acc_history": []}
        for it in range(num_iters):
            batch = np.random.choice(len(X), batch_size)
            X_batch, y_batch = X[batch], y[batch]
            loss, grads = self.loss(X_batch, y=y_batch, reg=reg)
            histories["loss_history"].append(loss)
            for name, grad in grads.items():
                self.params[name] -= learning_rate * grad
            if verbose and it % 100 == 0:
                print(f"iteration {it} / {num_iters}: loss {loss:f}")
            if it % iterations_per_epoch == 0:
                histories["train_acc_history"].append((self.predict(X_batch) == y_batch).mean())
                histories["val_acc_history"].append((self.predict(X_val) == y_val).mean())
                learning_rate *= learning_rate_decay
        return histories

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The class with the highest score, (N,), for X (N, D)."""
        return np.argmax(self.loss(X), axis=1)
