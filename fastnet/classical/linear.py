"""Linear classifiers, ``scores = W x + b``: a template for each class, trained by mini-batch gradient descent."""

from __future__ import annotations

import math
import os
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from fastnet.arguments import at_least_zero, integer, real
from fastnet.arrays import on_host
from fastnet.backends import current
from fastnet.classical.base import Classifier, compute_dtype, in_chunks, sum_of_rows
from fastnet.drawing import new_figure, save
from fastnet.functional import softmax
from fastnet.layers import Linear, Sequential
from fastnet.losses import get
from fastnet.optim import SGD
from fastnet.training import TrainingPlan
from fastnet.types import Array, ArrayLike

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LinearClassifier", "LinearSVM", "SoftmaxClassifier"]


class Standardization:
    """``(x - mean) / scale``, with the mean of each feature and one standard deviation for all of them.

    One scale keeps the geometry of images, so templates look like images.
    """

    def __init__(self, rows: Array) -> None:
        self.mean = sum_of_rows(rows) / len(rows)
        squares = in_chunks(lambda some: np.asarray(((some - self.mean) ** 2).sum(axis=1)), rows)
        self.scale = math.sqrt(float(squares.sum()) / rows.size) or 1.0
        self.dtype = compute_dtype(rows)

    def __call__(self, rows: Array) -> Array:
        return np.asarray((rows - self.mean) / self.scale, self.dtype)


class LinearClassifier(Classifier):
    """The base class of linear classifiers; a subclass says in ``_learn`` how W and b are found.

    Examples are standardised before learning (:class:`Standardization`); `coef_` and `intercept_` are those for the
    examples as they are given.

    Attributes
    ----------
    coef_ : array (C, D)
        W, a template for each class.
    intercept_ : array (C,)
        b.
    losses_ : list of float
        The loss of each step.
    """

    loss = "svm"

    @abstractmethod
    def _learn(self, rows: Array, numbers: Array, standard: Standardization) -> tuple[Array, Array]:
        """W (C, D) and b (C,) for standardised examples."""

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn from X (N, D), or images (N, C, H, W), and labels y (N,).

        Raises
        ------
        ValueError, TypeError
            One class only, NaN, shapes that do not match.
        FloatingPointError
            The loss grows without bound: the learning rate is too high.
        """
        self.losses_: list[float] = []
        rows, numbers = self._begin(X, y)
        self._shape = tuple(np.shape(X)[1:])
        standard = Standardization(rows)
        weight, bias = (on_host(found).astype(np.float64) for found in self._learn(rows, numbers, standard))
        self.coef_ = weight / standard.scale
        self.intercept_ = bias - self.coef_ @ standard.mean
        return self

    def decision_function(self, X: ArrayLike) -> Array:
        """The scores of all classes, (M, C), in float64."""

        def scores(rows: Array) -> Array:
            return on_host(current().linear(rows.astype(np.float64), self.coef_, self.intercept_)[0])

        return in_chunks(scores, self._rows("decision_function", X))

    def predict(self, X: ArrayLike) -> Array:
        """The class with the highest score, (M,)."""
        return self._labels(self.decision_function(X))

    def templates(self) -> Array:
        """W in the shape of the examples that `fit` was given: (C, D), or (C, channels, H, W) for images."""
        self._require_fit("templates")
        return np.asarray(self.coef_.reshape(len(self.coef_), *self._shape))

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the template of each class as an image; returns matplotlib's figure, and writes it to `path`.

        Colour templates run from their smallest to their largest weight; those of one channel are red where bright
        pixels speak for the class, and blue where they speak against it.

        Raises
        ------
        ValueError
            The examples are not images of one or three channels.
        """
        templates = self.templates()
        if templates.ndim == 3:
            templates = templates[:, None]
        if templates.ndim != 4 or templates.shape[1] not in (1, 3):
            raise ValueError(
                f"{type(self).__name__}.plot: templates are pictures for images (N, 1 or 3, H, W), fit was given "
                f"examples of shape {self._shape}"
            )
        assert self.classes_ is not None
        columns = min(5, len(templates))
        rows = -(-len(templates) // columns)
        figure = new_figure(path, 1.6 * columns, 1.8 * rows + 0.4)
        for n, (name, template) in enumerate(zip(self.classes_, templates, strict=True)):
            axes = figure.add_subplot(rows, columns, n + 1, title=str(name))
            draw_template(axes, template)
        figure.suptitle(f"{type(self).__name__}: the templates")
        return save(figure, path)

    def plot_losses(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the loss of each step; returns matplotlib's figure, and writes it to `path`."""
        self._require_fit("plot_losses")
        figure = new_figure(path, 6.4, 4.4)
        axes = figure.add_subplot(xlabel="step", ylabel="loss", title=type(self).__name__)
        axes.plot(self.losses_)
        return save(figure, path)

    def _require_fit(self, method: str) -> None:
        if self.classes_ is None:
            raise RuntimeError(f"{type(self).__name__}.{method}: call fit(X, y) first")


def draw_template(axes: Any, template: Array) -> None:
    """Draw one template, (1 or 3, H, W)."""
    if len(template) == 1:
        most = abs(template).max() or 1.0
        axes.imshow(template[0], cmap="RdBu_r", vmin=-most, vmax=most)
    else:
        axes.imshow(((template - template.min()) / (np.ptp(template) or 1.0)).transpose(1, 2, 0))
    axes.set(xticks=[], yticks=[])


class _Trained(LinearClassifier):
    """Mini-batch SGD with momentum; the rate falls linearly to 0."""

    def __init__(
        self,
        learning_rate: float = 1e-2,
        reg: float = 1e-4,
        epochs: int = 20,
        batch_size: int = 128,
        momentum: float = 0.9,
        seed: int = 0,
    ) -> None:
        name = type(self).__name__
        self.learning_rate, self.momentum = real(learning_rate, f"{name}: learning_rate"), momentum
        self.reg, self.epochs = at_least_zero(reg, f"{name}: reg"), integer(epochs, f"{name}: epochs")
        self.batch_size, self.seed = integer(batch_size, f"{name}: batch_size"), integer(seed, f"{name}: seed", 0, 63)
        SGD(learning_rate, momentum)  # checks them

    def _learn(self, rows: Array, numbers: Array, standard: Standardization) -> tuple[Array, Array]:
        assert self.classes_ is not None
        model = Sequential(Linear(len(self.classes_), initializer="zeros"))
        model.build((rows.shape[1],), self.seed, standard.dtype)
        plan, optimizer = TrainingPlan(model, self.loss), SGD(self.learning_rate, self.momentum)
        optimizer.weight_decay = 2 * self.reg  # the gradient of reg * sum(W**2)
        weight, bias = model.parameters()
        rng, total, step = np.random.default_rng(self.seed), 0, 0
        total = self.epochs * -(-len(rows) // self.batch_size)
        for _ in range(self.epochs):
            order = rng.permutation(len(rows))
            for start in range(0, len(rows), self.batch_size):
                batch = order[start : start + self.batch_size]
                model.zero_grad()
                loss, _ = plan(standard(rows[batch]), numbers[batch])
                loss += self.reg * float((weight.value**2).sum(dtype=np.float64))
                if not loss < 1e12:
                    raise FloatingPointError(
                        f"{type(self).__name__}.fit: the loss is {loss:g} at step {step + 1}; lower learning_rate "
                        f"({self.learning_rate:g})"
                    )
                self.losses_.append(loss)
                optimizer.step([weight, bias], 1 - step / total)
                step += 1
        return weight.value, bias.value


class LinearSVM(_Trained):
    """The multiclass support vector machine, linear: mean of ``sum_{j != y} max(0, s_j - s_y + 1)`` + reg * sum(W**2).

    Weston & Watkins, "Support vector machines for multi-class pattern recognition", 1999.

    Parameters
    ----------
    learning_rate : float
        Of the first step; it falls linearly to 0.
    reg : float
        The strength of the penalty on W (of standardised examples; not on b).
    epochs, batch_size, seed : int
    momentum : float
    """

    loss = "svm"


class SoftmaxClassifier(_Trained):
    """Multinomial logistic regression: mean of ``-log softmax(W x + b)[y]`` + reg * sum(W**2).

    The parameters are those of :class:`LinearSVM`.
    """

    loss = "softmax"

    def predict_proba(self, X: ArrayLike) -> Array:
        """The probability of each class, (M, C): the softmax of the scores."""
        return softmax(self.decision_function(X), 1)[0]


def loss_of(loss: str, rows: Array, numbers: Array, weight: Array, bias: Array) -> tuple[float, Array]:
    """The loss of all rows, and its gradient in the scores."""
    return get(loss)(np.ascontiguousarray(rows @ weight.T + bias), numbers)
