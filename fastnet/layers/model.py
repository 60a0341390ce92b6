"""Model: a whole network, which can be summarised, run over data sets, compiled, profiled and saved."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from fastnet import storage
from fastnet.backends import current
from fastnet.graph import Unrecordable
from fastnet.graph.recorder import record_any_batch
from fastnet.layers.base import Layer
from fastnet.layers.compiled import FEW, Plan
from fastnet.layers.state import Keys
from fastnet.layers.summary import Summary, summarize
from fastnet.layers.tracing import tracer
from fastnet.types import Array, ArrayLike, Loss

if TYPE_CHECKING:
    from fastnet.diagnose.report import Profile

__all__ = ["Evaluation", "Model"]


class Evaluation(NamedTuple):
    """Means over a data set."""

    loss: float
    accuracy: float


class Model(Layer):
    """A layer that can be used on its own, as a whole network.

    Sequential, Residual and Concat are models; a network of your own derives from Model and defines ``setup``,
    ``call`` and ``children`` as any layer does.
    """

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
        """Compile the model as it is now for inference: ``plan(x)`` computes ``self(x)``, faster.

        Batch norms are folded into convolutions, weights are packed once, and the whole network runs in one call.
        Results differ from ``self(x)`` by rounding; they depend neither on threads nor on the rest of a batch.

        Parameters
        ----------
        batch_size : int
            The expected number of images per call, which is how many are computed at a time; calls may have any
            number.  With 1 to 3, convolutions on small images are direct rather than Winograd's.
        input_shape : tuple of int, optional
            Of one image, without the batch axis; default: what the model was built for.

        Raises
        ------
        RuntimeError
            If the model is not built.
        TypeError
            If a layer of your own does anything with arrays but pass them to `ops`, or calls an op that has no step in
            the backend's plans.
        """
        self._require_built()
        batch_size = _batch_size(batch_size)
        ops, shape = current(), self.input_shape if input_shape is None else tuple(input_shape)
        return Plan(record_any_batch(self._whole(False), shape, self.dtype), ops, batch_size)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write ``state_dict()`` to a .safetensors or .npz file, atomically."""
        storage.write_arrays(path, self.state_dict())

    def load(self, path: str | os.PathLike[str], strict: bool = True) -> Keys:
        """Load a file that :meth:`save` wrote into this (built) model; raises what :meth:`load_state_dict` raises."""
        self._require_built()
        try:
            return self.load_state_dict(storage.read_arrays(path), strict)
        except (KeyError, ValueError, TypeError) as error:
            if str(path) in str(error):
                raise
            raise type(error)(f"{path}: {error.args[0]}") from error

    def profile(self, x: Array, training: bool = True, seconds: float = 5.0) -> Profile:
        """How long each layer takes in a whole step on the batch x, and what limits it.

        The result prints as a table; ``.to_dict()`` returns plain data, ``.plot("roofline.png")`` draws a picture.
        The model does not change.  See :func:`fastnet.diagnose.profile`.
        """
        import fastnet

        return fastnet.diagnose.profile(self, x, training, seconds)

    def predict(self, X: ArrayLike, batch_size: int = 128) -> Array:
        """Outputs (scores) for all of X, (N, *output_shape), as a NumPy array; ``.argmax(1)`` gives classes.

        Parameters
        ----------
        X : array, (N, *input_shape)
            Cast batch by batch, so that a memory map is never loaded whole.
        batch_size : int
            Bounds the memory; the result does not depend on it.
        """
        ops, batch_size = current(), _batch_size(batch_size)
        examples: Any = X if hasattr(X, "shape") else ops.asarray(X, self.dtype or "float32")
        self._enter(examples[:0], ops)
        run = self._ready(examples, batch_size)
        y = run(examples[:batch_size])
        if len(examples) <= batch_size:
            return ops.to_numpy(y)
        result = ops.empty((len(examples), *y.shape[1:]), y.dtype)
        result[:batch_size] = y
        for start in range(batch_size, len(examples), batch_size):
            result[start : start + batch_size] = run(examples[start : start + batch_size])
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
        examples: Any = X if hasattr(X, "shape") else ops.asarray(X, self.dtype or "float32")
        classes: Any = y if hasattr(y, "shape") else ops.xp.asarray(y)
        count = len(examples)
        if count != len(classes) or not count:
            raise ValueError(f"evaluate: X and y must have the same length, at least 1, got {count} and {len(classes)}")
        self._enter(examples[:0], ops)
        run, total, right = self._ready(examples, batch_size), 0.0, 0
        for start in range(0, count, batch_size):
            labels = classes[start : start + batch_size]
            scores = run(examples[start : start + batch_size])
            right += int((scores.argmax(axis=1) == labels).sum())  # before a loss that works in place
            total += float(loss(scores, ops.xp.array(labels))[0]) * len(labels)
        return Evaluation(total / count, right / count)

    def _ready(self, X: Any, batch_size: int) -> Callable[[Any], Array]:
        """The compiled model; the model itself under ``trace``, or if it can't be compiled."""
        if tracer():
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


def _batch_size(given: Any) -> int:
    try:
        size = 0 if isinstance(given, bool) else operator.index(given)
    except TypeError:
        size = 0
    if not 1 <= size < 2**31:  # so that sizes in bytes stay far below 2**63
        raise ValueError(f"batch_size must be an integer >= 1 and < 2**31, got {given!r}")
    return size
