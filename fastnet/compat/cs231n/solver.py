"""The course's Solver: mini-batches, an update rule, accuracy checks, and the best weights at the end."""

from __future__ import annotations

import os
import pickle
from copy import copy
from typing import Any

import numpy as np

from fastnet.compat.cs231n import optim
from fastnet.storage import atomic_write

__all__ = ["Solver"]


class Solver:
    """Trains a model by stochastic gradient descent.

    It draws from NumPy's global random stream exactly as the course's does: ``np.random.choice(num_train, batch_size)``
    at each step, and ``np.random.choice(N, num_samples)`` for an accuracy check on fewer than all N examples.

    Parameters
    ----------
    model : object
        ``model.params`` is a dict of arrays; ``model.loss(X)`` returns scores (N, C), and ``model.loss(X, y)`` the loss
        and a dict of gradients under the names of the parameters.
    data : dict
        X_train, y_train, X_val, y_val.
    update_rule : str
        A name in ``fastnet.compat.cs231n.optim``; 'sgd' by default.
    optim_config : dict
        The rule's settings; each parameter has its own copy.
    lr_decay : float
        Factor of the learning rate after each epoch; default 1.0.
    batch_size, num_epochs : int
        Default 100 and 10.
    num_train_samples, num_val_samples : int or None
        The number of examples in accuracy checks, or None for all; default 1000 and None.
    checkpoint_name : str or None
        Write ``<checkpoint_name>_epoch_<epoch>.pkl`` at each accuracy check.
    print_every : int
        Print the loss every `print_every` iterations; default 10.
    verbose : bool

    Attributes
    ----------
    epoch, best_val_acc, best_params, loss_history, train_acc_history, val_acc_history, optim_configs

    Raises
    ------
    ValueError
        If arguments or the update rule are unknown.
    """

    update_rule: Any  # a name, then the function
    optim_config: dict[str, Any]
    lr_decay: float
    batch_size: int
    num_epochs: int
    num_train_samples: int | None
    num_val_samples: int | None
    checkpoint_name: str | None
    print_every: int
    verbose: bool
    defaults: dict[str, Any] = {
        "update_rule": "sgd",
        "optim_config": {},
        "lr_decay": 1.0,
        "batch_size": 100,
        "num_epochs": 10,
        "num_train_samples": 1000,
        "num_val_samples": None,
        "checkpoint_name": None,
        "print_every": 10,
        "verbose": True,
    }

    def __init__(self, model: Any, data: dict[str, Any], **kwargs):
        self.model = model
        self._take(data)
        for name, default in self.defaults.items():
            setattr(self, name, kwargs.pop(name, copy(default)))
        if kwargs:
            raise ValueError("Unrecognized arguments " + ", ".join(f'"{name}"' for name in kwargs))
        if self.update_rule not in optim.__all__:
            raise ValueError(f'Invalid update_rule "{self.update_rule}"')
        self.update_rule = getattr(optim, self.update_rule)
        self._reset()

    def _take(self, data):
        self.X_train, self.y_train = data["X_train"], data["y_train"]
        self.X_val, self.y_val = data["X_val"], data["y_val"]

    def _reset(self):
        """Reset all results of training; the model stays unchanged."""
        self.epoch = self.best_val_acc = 0
        self.best_params = {}
        self.loss_history, self.train_acc_history, self.val_acc_history = [], [], []
        self.optim_configs = {name: dict(self.optim_config) for name in self.model.params}

    def _num_train(self) -> int:
        return len(self.X_train)

    def _loss(self):
        """The loss of a random batch, and its gradients."""
        batch = np.random.choice(self._num_train(), self.batch_size)
        return self.model.loss(self.X_train[batch], self.y_train[batch])

    def _step(self):
        """One update of each parameter."""
        loss, grads = self._loss()
        self.loss_history.append(loss)
        for name, w in self.model.params.items():
            next_w, next_config = self.update_rule(w, grads[name], self.optim_configs[name])
            self.model.params[name] = next_w
            self.optim_configs[name] = next_config

    def _save_checkpoint(self):
        """Pickle the model, the settings and the histories, if there is a `checkpoint_name`.

        Loading a pickle can run code: load only files that you wrote yourself.
        """
        if self.checkpoint_name is None:
            return
        names = ("model", "update_rule", "lr_decay", "optim_config", "batch_size", "num_train_samples")
        names += ("num_val_samples", "epoch", "loss_history", "train_acc_history", "val_acc_history")
        checkpoint = {name: getattr(self, name) for name in names}
        filename = f"{self.checkpoint_name}_epoch_{self.epoch}.pkl"
        if self.verbose:
            print(f'Saving checkpoint to "{filename}"')
        atomic_write(filename, lambda file: pickle.dump(checkpoint, file))

    def record_histories_as_npz(self, filename: str | os.PathLike) -> None:
        """Write train_losses, train_accs and val_accs to an .npz file (CS182), atomically."""
        filename = os.fspath(filename)
        filename += "" if filename.endswith(".npz") else ".npz"
        histories = {
            "train_losses": self.loss_history,
            "train_accs": self.train_acc_history,
            "val_accs": self.val_acc_history,
        }
        atomic_write(filename, lambda file: np.savez(file, **histories))

    def check_accuracy(
        self, X: np.ndarray, y: np.ndarray, num_samples: int | None = None, batch_size: int = 100
    ) -> float:
        """The accuracy on X (N, ...), y (N,), or on `num_samples` of them, drawn with replacement."""
        if num_samples is not None and len(X) > num_samples:
            sample = np.random.choice(len(X), num_samples)
            X, y = X[sample], y[sample]
        answers = [
            np.argmax(self.model.loss(X[start : start + batch_size]), axis=1) for start in range(0, len(X), batch_size)
        ]
        return np.mean(np.concatenate(answers) == y)

    def _print_loss(self, t, num_iterations):
        if self.verbose and t % self.print_every == 0:
            print(f"(Iteration {t + 1} / {num_iterations}) loss: {self.loss_history[-1]:f}")

    def _end_epoch(self):
        self.epoch += 1
        for config in self.optim_configs.values():
            config["learning_rate"] *= self.lr_decay

    def _check(self):
        """Measure both accuracies, write a checkpoint, and keep the weights if they are the best so far."""
        train_acc = self.check_accuracy(self.X_train, self.y_train, num_samples=self.num_train_samples)
        val_acc = self.check_accuracy(self.X_val, self.y_val, num_samples=self.num_val_samples)
        self.train_acc_history.append(train_acc)
        self.val_acc_history.append(val_acc)
        self._save_checkpoint()
        if self.verbose:
            print(f"(Epoch {self.epoch} / {self.num_epochs}) train acc: {train_acc:f}; val_acc: {val_acc:f}")
        if val_acc > self.best_val_acc:
            self.best_val_acc = val_acc
            self.best_params = {name: w.copy() for name, w in self.model.params.items()}

    def train(self) -> None:
        """Train, then set the model's params to those with the best validation accuracy, or {} if that was always 0."""
        iterations_per_epoch = max(self._num_train() // self.batch_size, 1)
        num_iterations = self.num_epochs * iterations_per_epoch
        for t in range(num_iterations):
            self._step()
            self._print_loss(t, num_iterations)
            epoch_ends = (t + 1) % iterations_per_epoch == 0
            if epoch_ends:
                self._end_epoch()
            if t == 0 or epoch_ends:  # the last iteration ends an epoch
                self._check()
        self.model.params = self.best_params
