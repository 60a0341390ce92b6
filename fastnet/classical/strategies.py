"""Two ways to find the weights of a linear classifier that teach why gradients are computed: luck, and the slope."""

from __future__ import annotations

import numpy as np

from fastnet.arguments import integer, real
from fastnet.classical.linear import LinearClassifier, Standardization, loss_of
from fastnet.types import Array

__all__ = ["FollowTheSlope", "RandomSearch"]

_LOSSES = ("svm", "softmax")


def _check_loss(name: str, loss: str) -> str:
    if loss not in _LOSSES:
        raise ValueError(f"{name}: loss must be one of {list(_LOSSES)}, got {loss!r}")
    return loss


class RandomSearch(LinearClassifier):
    """Strategy 1 of the lectures, "a first very bad idea": the best of many random weight matrices.

    Parameters
    ----------
    tries : int
    scale : float
        The standard deviation of the weights.
    loss : "svm" or "softmax"
    seed : int

    Attributes
    ----------
    losses_ : list of float
        The best loss after each try.
    """

    def __init__(self, tries: int = 1000, scale: float = 1e-2, loss: str = "svm", seed: int = 0) -> None:
        self.tries, self.scale = integer(tries, "RandomSearch: tries"), real(scale, "RandomSearch: scale")
        self.loss, self.seed = _check_loss("RandomSearch", loss), integer(seed, "RandomSearch: seed", 0, 63)

    def _learn(self, rows: Array, numbers: Array, standard: Standardization) -> tuple[Array, Array]:
        assert self.classes_ is not None
        x, rng = standard(rows), np.random.default_rng(self.seed)
        shape, best = (len(self.classes_), x.shape[1]), np.inf
        bias = np.zeros(shape[0], x.dtype)
        for _ in range(self.tries):
            weight = (rng.standard_normal(shape) * self.scale).astype(x.dtype)
            loss = loss_of(self.loss, x, numbers, weight, bias)[0]
            if loss < best:
                best, found = loss, weight
            self.losses_.append(best)
        return found, bias


class FollowTheSlope(LinearClassifier):
    """Strategy 2 of the lectures: steps against the gradient of the loss over all examples.

    Parameters
    ----------
    steps : int
    learning_rate : float
    gradient : "analytic" or "numerical"
        The gradient by calculus, or by ``(f(w + h) - f(w)) / h`` for one weight after the other, which needs a pass
        over the data for each of the weights.
    loss : "svm" or "softmax"
    seed : int
        Of the first weights, normal with standard deviation 0.01.

    Attributes
    ----------
    evaluations_ : int
        How often the loss was computed.
    """

    def __init__(
        self, steps: int = 100, learning_rate: float = 0.1, gradient: str = "analytic", loss: str = "svm", seed: int = 0
    ) -> None:
        if gradient not in ("analytic", "numerical"):
            raise ValueError(f"FollowTheSlope: gradient must be 'analytic' or 'numerical', got {gradient!r}")
        self.steps, self.gradient = integer(steps, "FollowTheSlope: steps"), gradient
        self.learning_rate = real(learning_rate, "FollowTheSlope: learning_rate")
        self.loss, self.seed = _check_loss("FollowTheSlope", loss), integer(seed, "FollowTheSlope: seed", 0, 63)

    def _learn(self, rows: Array, numbers: Array, standard: Standardization) -> tuple[Array, Array]:
        assert self.classes_ is not None
        x = standard(rows).astype(np.float64)
        rng, count = np.random.default_rng(self.seed), len(self.classes_)
        weight, bias = rng.standard_normal((count, x.shape[1])) * 0.01, np.zeros(count)
        self.evaluations_ = 0
        for step in range(self.steps):
            loss, dscores = loss_of(self.loss, x, numbers, weight, bias)
            dweight, dbias = dscores.T @ x, dscores.sum(axis=0)
            self.evaluations_ += 1
            if self.gradient == "numerical":
                dweight, dbias = (self._slopes(x, numbers, weight, bias, w, loss) for w in (weight, bias))
            self.losses_.append(loss)
            weight -= self.learning_rate * dweight
            bias -= self.learning_rate * dbias
            if not loss < 1e12:
                raise FloatingPointError(
                    f"FollowTheSlope.fit: the loss is {loss:g} at step {step + 1}; lower learning_rate "
                    f"({self.learning_rate:g})"
                )
        return weight, bias

    def _slopes(self, x: Array, numbers: Array, weight: Array, bias: Array, moved: Array, loss: float) -> Array:
        """The one-sided differences in each element of `moved`, which is `weight` or `bias`."""
        slopes, h = np.empty_like(moved), 1e-6
        for place in np.ndindex(moved.shape):
            before = moved[place]
            moved[place] = before + h
            slopes[place] = (loss_of(self.loss, x, numbers, weight, bias)[0] - loss) / h
            moved[place] = before
            self.evaluations_ += 1
        return slopes
