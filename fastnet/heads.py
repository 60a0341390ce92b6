"""The loss of a model with auxiliary heads (fastnet.AuxiliaryHeads): a weighted sum over its outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from fastnet import losses
from fastnet.arguments import real
from fastnet.backends import current
from fastnet.ops.metrics import Metric
from fastnet.types import Array, Loss, Shape

__all__ = ["WithAuxiliary", "training_loss"]


class WithAuxiliary:
    """A loss of the body's scores, plus `weights` times that of each head's (Szegedy et al. 2015, arXiv:1409.4842).

    `TrainingPlan` and `Solver` make one for a model with heads; in a training loop of your own, give it the scores of
    ``model.forward(x, training=True)``.  In inference there are no heads: use `loss` itself.

    Parameters
    ----------
    loss : "softmax", "svm", "mse", "l1", "huber", "bce" or function ``(scores, labels) -> (loss, dscores)``
    weights : sequence of float
        ``model.auxiliary``.

    Examples
    --------
    >>> loss = WithAuxiliary("softmax", model.auxiliary)
    >>> scores, backward = model.forward(x, training=True)
    >>> total, dscores = loss(scores, labels)
    >>> backward(dscores)
    """

    def __init__(self, loss: str | Loss, weights: Sequence[float]) -> None:
        self.loss = losses.get(loss)
        self.weights = tuple(real(weight, "WithAuxiliary: a weight") for weight in weights)

    def __repr__(self) -> str:
        return f"WithAuxiliary({getattr(self.loss, '__name__', self.loss)}, {self.weights})"

    @property
    def metric(self) -> Metric:
        """The loss's own."""
        return losses.metric(self.loss)

    def shape(self, scores: Shape) -> Shape:
        """The shape of one output's scores, from that of all that training gives along axis 1."""
        outputs = 1 + len(self.weights)
        if len(scores) < 2 or scores[1] % outputs:
            raise ValueError(f"WithAuxiliary: axis 1 of scores must hold those of {outputs} outputs, got {scores}")
        return scores[0], scores[1] // outputs, *scores[2:]

    def main(self, scores: Array) -> Array:
        """The body's scores, of all that training gives."""
        return scores[:, : self.shape(tuple(scores.shape))[1]]

    def total(self, losses: Sequence[float]) -> float:
        """The sum of the losses of the body and of each head, by their weights."""
        return float(sum(weight * loss for weight, loss in zip((1.0, *self.weights), losses, strict=True)))

    def each(self, loss: Callable[[Array], tuple[Any, Array]], scores: Array) -> tuple[list[Any], Array]:
        """(the loss of each output, the gradient of their `total` by all scores) for a loss of one output's scores."""
        ops, C = current(), self.shape(tuple(scores.shape))[1]
        weights = 1.0, *self.weights
        found = [loss(part) for part in ops.split(scores, (C,) * len(weights))]
        gradients = [ops.scale(gradient, weight)[0] for (_, gradient), weight in zip(found, weights, strict=True)]
        return [value for value, _ in found], ops.concat(gradients)

    def of_each(self, loss: Callable[[Array], tuple[float, Array]], scores: Array) -> tuple[float, Array]:
        """(loss, its gradient by all scores) for a loss of the scores of one output."""
        found, dscores = self.each(loss, scores)
        return self.total([float(value) for value in found]), dscores

    def __call__(self, scores: Array, labels: Array) -> tuple[float, Array]:
        """(loss, its gradient by all scores)."""
        return self.of_each(lambda part: self.loss(part, labels), scores)


def training_loss(loss: str | Loss, model: Any) -> Loss:
    """A loss of all that ``model.forward(x, training=True)`` gives: with those of auxiliary heads, if it has any."""
    weights = getattr(model, "auxiliary", ())
    return cast(Loss, WithAuxiliary(loss, weights)) if weights else losses.get(loss)
