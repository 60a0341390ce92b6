"""k nearest neighbours, with distances computed in two loops, one loop, or none."""

from __future__ import annotations

import numpy as np

__all__ = ["KNearestNeighbor"]


class KNearestNeighbor:
    """Stores the training data; the prediction is the most common label of the nearest neighbours."""

    def train(self, X: np.ndarray, y: np.ndarray) -> None:
        """Store X (N, D) and y (N,)."""
        self.X_train, self.y_train = X, y

    def predict(self, X: np.ndarray, k: int = 1, num_loops: int = 0) -> np.ndarray:
        """Labels (M,) for X (M, D), from the `k` nearest; `num_loops` chooses how distances are computed.

        Raises
        ------
        ValueError
            If `num_loops` is not 0, 1 or 2.
        """
        distances = {
            0: self.compute_distances_no_loops,
            1: self.compute_distances_one_loop,
            2: self.compute_distances_two_loops,
        }
        if num_loops not in distances:
            raise ValueError(f"Invalid value {num_loops} for num_loops")
        return self.predict_labels(distances[num_loops](X), k=k)

    def compute_distances_two_loops(self, X: np.ndarray) -> np.ndarray:
        """Euclidean distances (M, N) of X (M, D) to the training data, computed one by one."""
        distances = np.zeros((len(X), len(self.X_train)))
        for i in range(len(X)):
            for j in range(len(self.X_train)):
                distances[i, j] = np.sqrt(np.sum((X[i] - self.X_train[j]) ** 2))
        return distances

    def compute_distances_one_loop(self, X: np.ndarray) -> np.ndarray:
        """The same, one example at a time."""
        distances = np.zeros((len(X), len(self.X_train)))
        for i in range(len(X)):
            distances[i] = np.sqrt(np.sum((self.X_train - X[i]) ** 2, axis=1))
        return distances

    def compute_distances_no_loops(self, X: np.ndarray) -> np.ndarray:
        """The same, all at once: ``|a - b|**2 = |a|**2 - 2 a.b + |b|**2``."""
        squares = np.sum(X**2, axis=1)[:, None] - 2 * X @ self.X_train.T + np.sum(self.X_train**2, axis=1)
        return np.sqrt(np.maximum(squares, 0))  # may be negative by rounding

    def predict_labels(self, dists: np.ndarray, k: int = 1) -> np.ndarray:
        """The most common label (M,) of the `k` nearest by dists (M, N); the smallest in case of a tie."""
        nearest = self.y_train[np.argsort(dists, axis=1, kind="stable")[:, :k]]
        return np.array([np.bincount(labels).argmax() for labels in nearest], dtype=float)
