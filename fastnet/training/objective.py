"""Objective: the loss of a model on one fixed set of data, as a function of one flat vector of its parameters."""

from __future__ import annotations

import numpy as np

from fastnet import losses
from fastnet.arguments import flag, integer
from fastnet.arrays import as_array
from fastnet.backends import current
from fastnet.heads import training_loss
from fastnet.layers import Model
from fastnet.losses.names import labels_for
from fastnet.regularizers import Regularizer
from fastnet.types import Array, ArrayLike, Loss
from fastnet.wording import name_some

__all__ = ["LARGEST_HESSIAN", "Objective"]

LARGEST_HESSIAN = 5000  # parameters: 200 MB, and minutes for its inverse


class Objective:
    """``loss, gradient = objective(vector)``: of all data at once, in float64.

    Parameters
    ----------
    model : Model
        Built here, with seed 0, if it is not built yet.  Frozen parameters are constants.
    loss : name or function ``(scores, labels) -> (loss, dscores)``
        As in Solver.
    x, y : arrays
        The data.
    batch_size : int, optional
        Computes the loss as the mean over parts of so many samples, which saves memory: for losses that are means over
        samples.  A batch norm in training mode takes its statistics from each part.
    regularizer : such as L2, optional
        Its penalty is added; one that bounds weights, such as MaxNorm, is an error.
    training : bool
        The mode of the layers: False turns dropout off, and lets batch norms use their running statistics.

    Attributes
    ----------
    evaluations : int
        How often loss and gradient were computed: passes over the data.
    """

    def __init__(
        self,
        model: Model,
        loss: str | Loss,
        x: ArrayLike,
        y: ArrayLike,
        batch_size: int | None = None,
        regularizer: Regularizer | None = None,
        training: bool = True,
    ) -> None:
        if not isinstance(model, Model):
            raise TypeError(f"Objective: model must be a fastnet.Model, such as Sequential(...), got {model!r}")
        self.model, self.regularizer = model, regularizer
        self.loss = training_loss(loss, model) if training else losses.get(loss)
        if regularizer is not None and not isinstance(regularizer, Regularizer):
            raise TypeError(
                f"Objective: regularizer must be an object such as regularizers.L2(1e-4), got {regularizer!r}"
            )
        if regularizer is not None and regularizer.bounds:
            raise ValueError(
                f"Objective: {regularizer!r} bounds weights after each step, but this function has no bounds; give "
                "penalties such as regularizers.L2(1e-4) alone"
            )
        self.x, self.y = as_array(x, "Objective: x"), as_array(y, "Objective: y")
        if self.x.ndim < 2 or len(self.x) != len(self.y) or not len(self.x):
            raise ValueError(f"Objective: x {self.x.shape} and y {self.y.shape} must have one length, at least 1")
        self.batch_size = len(self.x) if batch_size is None else integer(batch_size, "Objective: batch_size")
        self.training = flag(training, "Objective: training")
        if not model.built:
            model.build(self.x.shape[1:])
        self.parameters = model.parameters(requires_grad=True)
        if not self.parameters:
            raise ValueError("Objective: every parameter of the model is frozen, so that nothing can change")
        self.evaluations = 0

    @property
    def size(self) -> int:
        """The number of parameters, each element counted."""
        return sum(p.size for p in self.parameters)

    @property
    def vector(self) -> Array:
        """The parameters, in order, as one array of float64; a copy."""
        ops = current()
        return np.concatenate([ops.to_numpy(p.value).ravel() for p in self.parameters]).astype(np.float64)

    @vector.setter
    def vector(self, values: Array) -> None:
        start = 0
        for p in self.parameters:
            p.set(values[start : start + p.size].reshape(p.shape))
            start += p.size

    def __call__(self, vector: Array) -> tuple[float, Array]:
        """Loss and gradient with the parameters set to `vector`, where they stay."""
        self.vector = vector
        ops, N, total = current(), len(self.x), 0.0
        for p in self.parameters:
            p.zero_grad()
        for start in range(0, N, self.batch_size):
            part = slice(start, start + self.batch_size)
            labels = self.y[part]
            scores, backward = self.model.forward(self.x[part], training=self.training)
            loss, dscores = self.loss(scores, labels_for(self.loss, labels))
            share = len(labels) / N
            backward(dscores if share == 1 else dscores * dscores.dtype.type(share), input_gradient=False)
            total += float(loss) * share
        if self.regularizer is not None:
            total += self.regularizer.loss(self.parameters)
            self.regularizer.add_gradients(self.parameters)
        self.evaluations += 1
        zeros = (np.zeros(p.size) if p.grad is None else ops.to_numpy(p.grad).ravel() for p in self.parameters)
        gradient = np.concatenate(list(zeros)).astype(np.float64)
        for p in self.parameters:
            p.zero_grad()
        return total, gradient

    def check_determinism(self) -> None:
        """Evaluate twice, and raise ValueError if the model draws random numbers or gives two losses."""
        vector, before = self.vector, self.model.rng_state()
        first = self(vector)[0]
        after = self.model.rng_state()
        noisy = [name for name in after if after[name] != before[name]]
        if noisy:
            layers = dict(self.model.named_layers())
            names = name_some([f"{name or 'the model'} ({type(layers[name]).__name__})" for name in noisy])
            self.model.set_rng_state(before)
            raise ValueError(
                f"the loss must be a function of the parameters alone, but layers draw random numbers: {names}; "
                "remove them or set their probability to 0, or use training=False, which turns them off"
            )
        if self(vector)[0] != first and first == first:
            raise ValueError(
                "the loss must be a function of the parameters alone, but two evaluations at the same parameters "
                "differ: a layer or the loss is random, or remembers"
            )

    def hessian_product(self, vector: Array, direction: Array) -> Array:
        """The Hessian at `vector` times `direction`, by a central difference of two gradients."""
        length = float(np.linalg.norm(direction))
        if length == 0:
            return np.zeros_like(direction)
        step = np.cbrt(np.finfo(np.float64).eps) * (1 + float(np.linalg.norm(vector))) / length
        product: Array = (self(vector + step * direction)[1] - self(vector - step * direction)[1]) / (2 * step)
        return product

    def hessian(self, vector: Array | None = None) -> Array:
        """The matrix of second derivatives at `vector` (default: where the parameters are), which stay there.

        By central differences of gradients, 2 evaluations a parameter; exact up to rounding where the loss is
        quadratic.  Largest divided by smallest eigenvalue is the condition number.

        Raises
        ------
        ValueError
            More than 5,000 parameters, or a model in float32, whose gradients are too coarse for differences.
        """
        check_hessian(self, "hessian")
        at = self.vector if vector is None else np.array(vector, np.float64)
        matrix, point = np.empty((len(at), len(at))), at.copy()
        for i, value in enumerate(at):
            step = np.cbrt(np.finfo(np.float64).eps) * max(1.0, abs(value))
            ends = value + step, value - step
            slopes = []
            for end in ends:
                point[i] = end
                slopes.append(self(point)[1])
            matrix[i] = (slopes[0] - slopes[1]) / (ends[0] - ends[1])
            point[i] = value
        self.vector = at
        return (matrix + matrix.T) / 2


def check_hessian(objective: Objective, what: str) -> None:
    """Raise ValueError where a Hessian would be too large, or too coarse."""
    n = objective.size
    if n > LARGEST_HESSIAN:
        raise ValueError(
            f"{what}: {n:,} parameters have a Hessian of {n:,} x {n:,} elements, {4 * n * n / 2**30:,.0f} GiB in "
            f"float32, and its inverse takes O(n^3) operations; up to {LARGEST_HESSIAN:,} parameters are computed. "
            f"For more use "
            "method='l-bfgs', which keeps a few gradients"
        )
    if objective.parameters[0].dtype != np.float64:
        raise ValueError(
            f"{what}: second derivatives are differences of gradients, for which "
            f"{objective.parameters[0].dtype} is too coarse; build the model with dtype='float64'"
        )
