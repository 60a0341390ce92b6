"""Threshold units of the 1950s: Rosenblatt's perceptron, and Widrow and Hoff's Adaline."""

from __future__ import annotations

import warnings
from typing import Self

import numpy as np

from fastnet.arguments import integer, positive, real
from fastnet.classical.base import Classifier
from fastnet.types import Array, ArrayLike

__all__ = ["Adaline", "Perceptron"]


class _Units(Classifier):
    """One unit for two classes, which fires for the second; else one for each class, and the largest sum wins."""

    def __init__(self, learning_rate: float, epochs: int) -> None:
        name = type(self).__name__
        self.learning_rate = positive(learning_rate, f"{name}: learning_rate")
        self.epochs = integer(epochs, f"{name}: epochs")

    def _inputs(self, X: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        """Examples with a 1 in front, whose weight is the bias, and for each unit whether it is to fire (N, units)."""
        rows, numbers = self._begin(X, y)
        assert self.classes_ is not None
        x = np.hstack([np.ones((len(rows), 1)), rows])
        count = len(self.classes_)
        fires = numbers[:, None] == (np.arange(count) if count > 2 else [1])
        self._weight = np.zeros((fires.shape[1], x.shape[1]))
        return x, fires

    @property
    def coef_(self) -> Array:
        """The units' weights, (units, D)."""
        return self._weight[:, 1:]

    @property
    def intercept_(self) -> Array:
        """The units' biases, (units,)."""
        return self._weight[:, 0]

    def decision_function(self, X: ArrayLike) -> Array:
        """``w.x + b`` of each unit, (M, units)."""
        return np.asarray(self._rows("decision_function", X) @ self.coef_.T + self.intercept_)

    def predict(self, X: ArrayLike) -> Array:
        """The label of each example, (M,)."""
        sums = self.decision_function(X)
        return self._labels(sums if sums.shape[1] > 1 else np.hstack([np.zeros_like(sums), sums + (sums == 0)]))


class Perceptron(_Units):
    """The perceptron: fires, 1, if ``w.x + b >= 0``, else 0 (Rosenblatt 1957).

    After each example ``w += learning_rate * (target - output) * x``, and so for b: nothing changes where the output is
    right.  If a hyperplane separates the classes, this ends after finitely many mistakes: at most ``(R / margin)**2``
    (Novikoff 1962), R being the largest norm of an example with a 1 for the bias.  If none does, it never ends.  (The
    Mark I perceptron was a machine with 400 photocells, whose weights were turned by motors.)

    Parameters
    ----------
    epochs : int
        At most so many passes; a warning says that the last one still had mistakes.
    learning_rate : float
        Only a scale of the weights, since they begin at 0.

    Attributes
    ----------
    mistakes_ : list of int
        The wrong outputs of each pass; the last is 0 if the rule has converged.
    converged_ : bool
    """

    def __init__(self, epochs: int = 1000, learning_rate: float = 1.0) -> None:
        super().__init__(learning_rate, epochs)

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Pass over X (N, D), y (N,) in order until no output is wrong.

        Warns
        -----
        UserWarning
            `epochs` passes were not enough: the classes may not be separable by a hyperplane.
        """
        x, fires = self._inputs(X, y)
        self.mistakes_: list[int] = []
        self.converged_ = False
        for _ in range(self.epochs):
            mistakes = 0
            for example, targets in zip(x, fires, strict=True):
                wrong = ((self._weight @ example) >= 0) != targets
                if wrong.any():
                    mistakes += int(wrong.sum())
                    signs = np.where(targets, self.learning_rate, -self.learning_rate)
                    self._weight += np.outer(signs * wrong, example)
            self.mistakes_.append(mistakes)
            if not mistakes:
                self.converged_ = True
                return self
        warnings.warn(
            f"Perceptron.fit: still {mistakes} wrong outputs in pass {self.epochs}: no hyperplane separates the "
            "classes, or more epochs are needed",
            stacklevel=2,
        )
        return self


class Adaline(_Units):
    """The adaptive linear neuron, which learns from its sum before the threshold (Widrow & Hoff 1960).

    After each example ``w += learning_rate * (target - (w.x + b)) * x``, and so for b, with targets -1 and 1: the
    least-mean-squares rule, stochastic gradient descent on ``(target - sum)**2 / 2``.  It approaches the least squares
    fit whether or not the classes are separable; the outputs' signs are the classes.  (Madaline, many Adalines under a
    fixed vote, 1962, had no rule for hidden layers: that came with backpropagation.)

    Parameters
    ----------
    learning_rate : float
        Below ``2 / max(1 + |x|**2)``, else the weights grow without bound.
    epochs : int
    tolerance : float
        It has converged when a pass lowers the mean squared error by less than this fraction.

    Attributes
    ----------
    losses_ : list of float
        The mean of ``(target - sum)**2`` in each pass, each measured before its update.
    converged_ : bool
    """

    def __init__(self, learning_rate: float = 0.01, epochs: int = 100, tolerance: float = 1e-4) -> None:
        super().__init__(learning_rate, epochs)
        self.tolerance = real(tolerance, "Adaline: tolerance")

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Pass over X (N, D), y (N,) in order.

        Raises
        ------
        FloatingPointError
            The weights grow without bound.
        """
        x, fires = self._inputs(X, y)
        goals = np.where(fires, 1.0, -1.0)
        self.losses_: list[float] = []
        self.converged_ = False
        for _ in range(self.epochs):
            total = 0.0
            for example, goal in zip(x, goals, strict=True):
                error = goal - self._weight @ example
                total += float(error @ error)
                if not total < 1e100:
                    bound = 2 / float((x * x).sum(axis=1).max())
                    raise FloatingPointError(
                        f"Adaline.fit: the weights grow without bound at learning_rate={self.learning_rate:g}; it must "
                        f"be below 2 / max(1 + |x|**2) = {bound:.2g} for these examples"
                    )
                self._weight += self.learning_rate * np.outer(error, example)
            self.losses_.append(total / goals.size)
            if len(self.losses_) > 1 and self.losses_[-2] - self.losses_[-1] < self.tolerance * self.losses_[-2]:
                self.converged_ = True
                break
        return self
