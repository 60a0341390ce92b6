"""What a model is for: summary, predict, evaluate."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from fastnet.backends import current
from fastnet.backends.graph import Unrecordable, record
from fastnet.layers.compiled import FEW, Plan
from fastnet.layers.summary import Summary, summarize
from fastnet.layers.tracing import tracing
from fastnet.types import Array, ArrayLike, Loss

if TYPE_CHECKING:
    from fastnet.diagnose.report import Profile

__all__ = ["Prediction", "Evaluation"]


class Evaluation(NamedTuple):
    """Means over a data set."""

    loss: float
    accuracy: float


class Prediction:
    """The part of Layer that runs over data sets."""

    def summary(self, input_shape: Sequence[int] | None = None) -> Summary:
        """A table of the layers: output shape, parameters, multiply-accumulates for one image.

        Parameters
        ----------
        input_shape : tuple of int, optional
            Build for this shape first; needed where the model is not built yet.
        """
        if input_shape is not None:
            self.build(input_shape)
        self._require_built()
        return summarize(self)

    def compile(self, batch_size: int = 1, input_shape: Sequence[int] | None = None) -> Plan:
        """The model as it stands, made ready for inference: ``plan(x)`` gives what ``self(x)`` gives, sooner.

        Batch norms are folded into convolutions, weights laid out once, and the whole network runs in one call.
        Results differ from ``self(x)`` by rounding; they do not depend on threads, or on what else is in a batch.

        Parameters
        ----------
        batch_size : int
            How many images a call will bring; any number is taken, and so many are worked on at a time.  With 1 to 3,
            convolutions on small images run directly rather than by Winograd.
        input_shape : tuple of int, optional
            Of one image, where it is not what the model was built for.

        Raises
        ------
        RuntimeError
            The model is not built.
        TypeError
            A layer of your own that does more with arrays than to hand them to `ops`.
        """
        self._require_built()
        batch_size = _batch_size(batch_size)
        ops, shape = current(), self.input_shape if input_shape is None else tuple(input_shape)
        return Plan(record(self.infer, (1, *shape), self.dtype), ops, batch_size)

    def profile(self, x: Array, training: bool = True, seconds: float = 5.0) -> Profile:
        """How long each layer takes where it runs in a whole step on the batch x, and what bounds it.

        The result prints as a table; ``.to_dict()`` gives numbers, ``.plot("roofline.png")`` a picture.  The model is
        left as it was.  See :func:`fastnet.diagnose.profile`.
        """
        import fastnet

        return fastnet.diagnose.profile(self, x, training, seconds)

    def predict(self, X: ArrayLike, batch_size: int = 128) -> Array:
        """Outputs (scores) for all of X, (N, *output_shape), as a NumPy array; ``.argmax(1)`` gives classes.

        Parameters
        ----------
        X : array, (N, *input_shape)
            Cast batch by batch; a memory map is never read whole.
        batch_size : int
            Bounds the memory; the result does not depend on it.
        """
        ops, batch_size = current(), _batch_size(batch_size)
        if not hasattr(X, "shape"):
            X = ops.asarray(X, self.dtype or "float32")
        self._enter(X[:0], ops)
        run = self._ready(X, batch_size)
        y = run(X[:batch_size])
        if len(X) <= batch_size:
            return ops.to_numpy(y)
        result = ops.empty((len(X), *y.shape[1:]), y.dtype)
        result[:batch_size] = y
        for start in range(batch_size, len(X), batch_size):
            result[start : start + batch_size] = run(X[start : start + batch_size])
        return ops.to_numpy(result)

    def evaluate(self, X: ArrayLike, y: ArrayLike, batch_size: int = 128, loss: str | Loss = "softmax") -> Evaluation:
        """Mean loss and accuracy over a labelled data set, in inference mode.

        Parameters
        ----------
        X : array, (N, *input_shape)
        y : array of int, (N,)
            Class numbers.
        batch_size : int
        loss : "softmax", "svm" or function
            A function of (scores, labels) that returns (mean loss, gradient).

        Returns
        -------
        Evaluation
            ``(loss, accuracy)``, floats.
        """
        ops = current()
        losses = {"softmax": ops.softmax_cross_entropy, "svm": ops.svm_loss}
        if not callable(loss) and loss not in losses:
            raise ValueError(f"evaluate: loss must be one of {sorted(losses)} or a function, got {loss!r}")
        loss = loss if callable(loss) else losses[loss]
        batch_size = _batch_size(batch_size)
        X = X if hasattr(X, "shape") else ops.asarray(X, self.dtype or "float32")
        y = y if hasattr(y, "shape") else ops.xp.asarray(y)
        if len(X) != len(y) or not len(X):
            raise ValueError(f"evaluate: X and y must have the same length, at least 1, got {len(X)} and {len(y)}")
        self._enter(X[:0], ops)
        run, total, right = self._ready(X, batch_size), 0, 0
        for start in range(0, len(X), batch_size):
            labels = y[start : start + batch_size]
            scores = run(X[start : start + batch_size])
            total += float(loss(scores, labels)[0]) * len(labels)
            right += int((scores.argmax(axis=1) == labels).sum())
        return Evaluation(total / len(X), right / len(X))

    def _ready(self, X, batch_size: int):
        """The model compiled for many images, whatever the batch size; itself under trace, or if it can't be."""
        if tracing():
            return self
        try:
            return self.compile(max(batch_size, FEW), X.shape[1:])
        except Unrecordable:
            return self
        except ValueError as error:
            if len(X.shape) > len(self.input_shape):
                raise
            raise ValueError(
                f"X must hold examples of shape {self.input_shape} along its first axis, got shape {tuple(X.shape)} "
                "(a single example needs a leading axis: X[None])"
            ) from error


def _batch_size(given) -> int:
    try:
        size = 0 if isinstance(given, bool) else operator.index(given)
    except TypeError:
        size = 0
    if not 1 <= size < 2**31:  # sizes of so many images stay far below 2**63
        raise ValueError(f"batch_size must be an integer >= 1 and < 2**31, got {given!r}")
    return size
