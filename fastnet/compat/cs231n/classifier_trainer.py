"""The trainer of 2015, for a model that is a dict of arrays and a function that computes its loss."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["ClassifierTrainer"]


class ClassifierTrainer:
    """Stochastic gradient descent on a dict of arrays, which it updates in place.

    Attributes
    ----------
    step_cache : dict
        The update rule's state for each array: a velocity, or a mean of squares.
    """

    def __init__(self) -> None:
        self.step_cache: dict[str, np.ndarray] = {}

    def train(
        self,
        X: np.ndarray,
        y: np.ndarray,
        X_val: np.ndarray,
        y_val: np.ndarray,
        model: dict[str, np.ndarray],
        loss_function: Callable,
        reg: float = 0.0,
        learning_rate: float = 1e-2,
        momentum: float = 0,
        learning_rate_decay: float = 0.95,
        update: str = "momentum",
        sample_batches: bool = True,
        num_epochs: int = 30,
        batch_size: int = 100,
        acc_frequency: int | None = None,
        verbose: bool = False,
    ) -> tuple[dict[str, np.ndarray], list, list, list]:
        """Train `model`.

        Parameters
        ----------
        X, y, X_val, y_val : arrays
            The validation data is evaluated as one batch.
        model : dict of arrays
            Changed in place.
        loss_function : function
            ``loss_function(X, model)`` returns the scores, ``loss_function(X, model, y, reg)`` (loss, grads).
        update : "sgd", "momentum" or "rmsprop"
        sample_batches : bool
            Draw batches with ``np.random.choice(N, batch_size)``; otherwise each step uses all of X.
        acc_frequency : int, optional
            Also measure accuracies every `acc_frequency` iterations, besides the first and the end of each epoch.
        reg, learning_rate, momentum, learning_rate_decay, num_epochs, batch_size, verbose

        Returns
        -------
        best_model : dict
            The weights with the best validation accuracy.
        loss_history, train_acc_history, val_acc_history : lists

        Raises
        ------
        ValueError
            If `update` is none of these.
        """
        if update not in ("sgd", "momentum", "rmsprop"):
            raise ValueError(f'Unrecognized update type "{update}"')
        N = len(X)
        iterations_per_epoch = max(N // batch_size, 1) if sample_batches else 1
        best_val_acc, best_model, epoch = 0.0, {}, 0
        loss_history, train_acc_history, val_acc_history = [], [], []
        for it in range(num_epochs * iterations_per_epoch):
            batch = np.random.choice(N, batch_size) if sample_batches else slice(None)
            loss, grads = loss_function(X[batch], model, y[batch], reg)
            loss_history.append(loss)
            for name in model:
                model[name] += self._change(name, grads[name], learning_rate, momentum, update)
            epoch_ends = (it + 1) % iterations_per_epoch == 0
            if it > 0 and epoch_ends:
                learning_rate *= learning_rate_decay
                epoch += 1
            if it == 0 or epoch_ends or (acc_frequency is not None and it % acc_frequency == 0):
                sample = np.random.choice(N, 1000) if N > 1000 else slice(None)
                train_acc = np.mean(np.argmax(loss_function(X[sample], model), axis=1) == y[sample])
                val_acc = np.mean(np.argmax(loss_function(X_val, model), axis=1) == y_val)
                train_acc_history.append(train_acc)
                val_acc_history.append(val_acc)
                if val_acc > best_val_acc:
                    best_val_acc, best_model = val_acc, {name: array.copy() for name, array in model.items()}
                if verbose:
                    print(
                        f"Finished epoch {epoch} / {num_epochs}: cost {loss:f}, train: {train_acc:f}, "
                        f"val {val_acc:f}, lr {learning_rate:e}"
                    )
        if verbose:
            print(f"finished optimization. best validation accuracy: {best_val_acc:f}")
        return best_model, loss_history, train_acc_history, val_acc_history

    def _change(self, name, grad, learning_rate, momentum, update):
        """The update to add to an array."""
        if update == "sgd":
            return -learning_rate * grad
        before = self.step_cache.get(name, np.zeros_like(grad))
        if update == "momentum":
            self.step_cache[name] = momentum * before - learning_rate * grad
            return self.step_cache[name]
        self.step_cache[name] = 0.99 * before + 0.01 * grad**2  # rmsprop
        return -learning_rate * grad / np.sqrt(self.step_cache[name] + 1e-8)
