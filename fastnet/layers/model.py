"""Model: a whole network, which can be summarised, trained, tested, profiled and saved."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastnet import storage
from fastnet.arrays import isfinite, on_host
from fastnet.backends import current
from fastnet.layers.batched import Batched
from fastnet.layers.evaluation import Evaluation, evaluation
from fastnet.layers.probabilities import probabilities
from fastnet.layers.state import Keys
from fastnet.layers.summary import Summary, summarize
from fastnet.types import Array, ArrayLike, Loss

if TYPE_CHECKING:
    from fastnet.data import Loader
    from fastnet.diagnose.report import Profile
    from fastnet.training import History

__all__ = ["Model"]


_INSTEAD = {  # for other libraries' options of fit
    "validation_data": "validation=(X, y)",
    "validation_split": "validation=(X_val, y_val), which data.hold_out(X, y, 0.1) draws",
    "lr": "optimizer=optim.Adam(lr)",
    "learning_rate": "optimizer=optim.Adam(learning_rate)",
    "resume": "it to train(): Solver(model, (X, y), ...).train(resume=...)",
}


class Model(Batched):
    """A layer that can be used on its own, as a whole network.

    Sequential, Residual and Concat are models; a network of your own derives from Model and defines ``setup``,
    ``call`` and ``children`` as any layer does.

    Attributes
    ----------
    preprocessing : function ``(x, dtype) -> x`` or None
        What `predict`, `predict_proba`, `predict_classes` and `evaluate` do with each batch first.  None at first;
        ``fastnet.load`` and `fit` set it to what training used, so that raw images can be given.
    class_names : tuple of str or None
        The names of the classes, in the order of the scores; ``fastnet.load`` sets them, and Solver those of a Dataset.
    """

    auxiliary: Sequence[float] = ()  # weights of the losses of further scores, which only training gives
    class_names: tuple[str, ...] | None = None

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

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write ``state_dict()`` to a .safetensors or .npz file, atomically."""
        storage.write_arrays(path, self.state_dict())

    def load(self, path: str | os.PathLike[str], strict: bool = True, *, prefix: str = "") -> Keys:
        """Load a .safetensors or .npz file into this (built) model; raises what :meth:`load_state_dict` raises.

        Other libraries' files are read, too, if their names fit or do so without a `prefix`.
        """
        self._require_built()
        try:
            return self.load_state_dict(storage.read_arrays(path), strict, prefix=prefix)
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

        The first call for a shape of images compiles the model (see :meth:`compile`); the model keeps this plan, and
        those of up to three other shapes, until it changes.  Every change counts: of layers, parameters, also through
        views, and settings; but not one inside an object that is a layer's attribute, nor one through a bare address.
        Copies and files of the model have no plans; training drops them.

        Parameters
        ----------
        X : array, (N, *input_shape)
            Cast batch by batch, so that a memory map is never loaded whole; `preprocessing` is applied first.
        batch_size : int
            Bounds the memory; the result for an image depends neither on it nor on the other images.
        """
        return self.outputs(X, batch_size, self.preprocessing)

    def predict_proba(self, X: ArrayLike, batch_size: int = 128) -> Array:
        """Probabilities of the classes, (N, C) or (N, C, H, W): the softmax of what :meth:`predict` returns, over C.

        Of a model whose last op is a softmax or sigmoid they are its outputs.

        Raises
        ------
        ValueError
            The model has a single output for each image, so there are no classes to choose from.
        """
        return probabilities(self, self._scores("predict_proba", X, batch_size))

    def predict_classes(self, X: ArrayLike, batch_size: int = 128) -> Array:
        """The number of the class with the largest score: integers (N,), or (N, H, W) or (N, L) where scores are maps.

        ``[model.class_names[k] for k in model.predict_classes(X)]`` are their names, for a model that has names.

        Raises
        ------
        ValueError
            The model has a single output for each image, so there are no classes to choose from.
        """
        scores = self._scores("predict_classes", X, batch_size)
        classes: Array = scores.argmax(axis=1)
        return classes

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        epochs: int = 10,
        validation: tuple[ArrayLike, ArrayLike] | Loader | None = None,
        **options: Any,
    ) -> History:
        """Train on (X, y) with a :class:`fastnet.Solver`, and return its History.

        Parameters
        ----------
        X : array, (N, *input_shape)
        y : array
            Class numbers, integers (N,), or what the `loss` among the options takes.
        epochs : int
        validation : (X, y) or Loader, optional
            Evaluated after each epoch.
        **options
            Solver's: ``loss``, ``batch_size``, ``optimizer``, ``schedule``, ``augment``, ``checkpoint`` and so on.
            A `preprocess` becomes the model's `preprocessing`, so that :meth:`predict` takes images as `X` has them.

        Raises
        ------
        FloatingPointError
            Training has diverged.
        ValueError, TypeError
            Arguments or data that do not fit.
        """
        import inspect

        import fastnet

        known = list(inspect.signature(fastnet.Solver).parameters)[2:]  # after model and data
        if unknown := sorted(set(options) - set(known)):
            hints = [hint for name in unknown if (hint := _INSTEAD.get(name))]
            hint = f"; give {' and '.join(hints)}" if hints else ""
            raise TypeError(f"fit: Solver has no option {', '.join(unknown)}{hint}; it has {', '.join(known)}")
        solver = fastnet.Solver(self, (X, y), validation, epochs=epochs, **options)
        self.preprocessing = solver.preprocess
        return solver.train()

    def evaluate(
        self,
        X: ArrayLike,
        y: ArrayLike,
        batch_size: int = 128,
        loss: str | Loss = "softmax",
        views: Any = None,
    ) -> Evaluation:
        """Mean loss and accuracy (for regression, mean absolute error) over a data set, in inference mode.

        It runs on the plan that :meth:`predict` keeps.

        Parameters
        ----------
        X : array, (N, *input_shape)
            `preprocessing` is applied to each batch.
        y : array
            Class numbers, integers (N,), or what the loss takes.
        batch_size : int
        loss : str or function
            A name, or a function of (scores, labels) that returns (mean loss, gradient); see `fastnet.losses`.
        views : "flips", "ten-crop", "five-scales", "dense", "center" or Transform, optional
            Average the probabilities over several views of each image, uint8; see :class:`fastnet.training.Views`.

        Returns
        -------
        Evaluation
            ``(loss, accuracy)``, floats; for regression ``(loss, mae)``.
        """
        import fastnet

        ops, losses = current(), fastnet.losses
        if views is not None:
            if losses.get(loss) is not losses.softmax_cross_entropy:
                raise ValueError("evaluate: with views the loss must be 'softmax', of their mean probabilities")
            return fastnet.training.Views(self, views).evaluate(X, y, batch_size)
        loss = losses.get(loss)
        examples, classes = self.examples("evaluate: X", X, ops), on_host(y, "evaluate: y")
        count = len(examples)
        if count != len(classes) or not count:
            raise ValueError(f"evaluate: X and y must have the same length, at least 1, got {count} and {len(classes)}")
        done, total, metric = 0, 0.0, 0.0
        for scores in self._batches(examples, batch_size, self.preprocessing):
            labels, kept = classes[done : done + len(scores)], ops.xp.array(scores)  # the loss may work in place
            total += float(loss(scores, ops.xp.array(labels))[0]) * len(labels)
            metric += losses.measure(loss, kept, labels) * len(labels)
            done += len(scores)
        return evaluation(losses.metric(loss).name, total / count, metric / count)

    def _scores(self, method: str, X: ArrayLike, batch_size: int) -> Array:
        """What `predict` returns, of a model with classes; a warning if it is not finite."""
        scores = self.predict(X, batch_size)
        self.require_classes(method)
        finite = isfinite(scores)
        if not finite.all():
            bad = int((~finite).reshape(len(scores), -1).any(axis=1).sum())
            warnings.warn(
                f"{method}: the scores of {bad} of {len(scores)} images are not finite, so their classes mean nothing: "
                "do these images hold NaN, or has training diverged?",
                stacklevel=3,
            )
        return scores

    def require_classes(self, method: str) -> None:
        """Raise a ValueError, for `method`, unless the model has several outputs for each image."""
        if not self.output_shape or self.output_shape[0] == 1:
            raise ValueError(
                f"{method}: the model's outputs are {self.output_shape} for each image, and classes need a score each; "
                "predict gives the outputs"
            )
