"""Train fastnet's models with the course's Solver, and the course's models with fastnet's.

A course model has ``params``, a dict of arrays, and ``loss(X, y=None)``, which returns the scores if there are no
labels, and otherwise (loss, dict of gradients).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, MutableMapping
from typing import Any

import numpy as np

from fastnet import losses
from fastnet.layers import Layer, Model, Parameter
from fastnet.regularizers import L2

__all__ = ["as_course_model", "from_course_model"]


# ---------------------------------------------------------------- a fastnet model for the course's Solver


class _Params(MutableMapping):
    """Parameters as a dict of their arrays; changing or replacing an array changes the model."""

    def __init__(self, parameters: dict[str, Parameter]):
        self._parameters = parameters

    def __getitem__(self, name):
        return self._parameters[name].value

    def __setitem__(self, name, value):
        parameter = self._parameters[name]
        if value is parameter.value:
            return
        if np.shape(value) != parameter.shape:
            raise ValueError(f"params[{name!r}] must have shape {parameter.shape}, got {np.shape(value)}")
        parameter.value[...] = value

    def __delitem__(self, name):
        raise TypeError(f"params[{name!r}] belongs to the model and cannot be deleted")

    def __iter__(self):
        return iter(self._parameters)

    def __len__(self):
        return len(self._parameters)


class _CourseModel:
    def __init__(self, model: Layer, loss, reg: float):
        self.model, self._loss, self._penalty = model, losses.get(loss), L2(reg)
        self._params = _Params({name: p for name, p in model.named_parameters() if p.requires_grad})

    @property
    def params(self):
        return self._params

    @params.setter
    def params(self, values):
        if not values:
            warnings.warn(
                "params = {}: the model keeps its weights (was no validation image classified correctly?)", stacklevel=2
            )
            return
        if set(values) != set(self._params):
            raise KeyError(f"params must be a dict of {sorted(self._params)}, got {sorted(values)}")
        self._params.update(values)

    def loss(self, X, y=None):
        X = np.asarray(X, self.model.dtype)
        if y is None:
            return self.model(X)
        parameters = self._params._parameters
        self.model.zero_grad()
        scores, backward = self.model.forward(X, training=True)
        loss, dscores = self._loss(scores, y)
        backward(dscores, input_gradient=False)
        loss += self._penalty.loss(parameters.values())
        self._penalty.add_gradients(parameters.values())
        return loss, {name: np.zeros_like(p.value) if p.grad is None else p.grad for name, p in parameters.items()}


def as_course_model(model: Layer, loss: str | Callable = "softmax", reg: float = 0.0) -> _CourseModel:
    """A fastnet model in the form that the course's Solver expects.

    Parameters
    ----------
    model : Layer
        Built already.  Batches are cast to its dtype.
    loss : "softmax", "svm" or function ``(scores, labels) -> (loss, dscores)``
    reg : float
        Adds ``reg / 2 * sum(W**2)`` to the loss for all weights, but not for biases and batch norms.

    Returns
    -------
    object
        ``.model`` is `model`.  ``.params`` maps the names of the trainable parameters to the model's own arrays:
        whatever a Solver assigns or changes in place, including the dict of best weights at the end, takes effect in
        the model immediately.  (Running statistics of batch norms are not parameters here either.)
        ``.loss(X)`` returns the scores in inference mode; ``.loss(X, y)`` returns the loss and the gradients in
        training mode.

    Raises
    ------
    TypeError
        If `model` is not a layer.
    RuntimeError
        If `model` is not built, or its arrays lie on a GPU.
    """
    if not isinstance(model, Layer):
        raise TypeError(
            f"as_course_model: model must be a fastnet layer such as Sequential, got {type(model).__name__}"
        )
    _require_numpy("as_course_model", model.parameters())
    return _CourseModel(model, loss, reg)


def _require_numpy(caller, parameters):
    if not all(isinstance(parameter.value, np.ndarray) for parameter in parameters):
        raise RuntimeError(
            f"{caller}: the course's code computes in NumPy on the same arrays, which backend 'cupy' keeps on the GPU; "
            "call fastnet.use_backend('native') first"
        )


# ---------------------------------------------------------------- a course model for fastnet's Solver


class _CourseLayer(Model):
    def __init__(self, course_model, loss="softmax"):
        self.course_model, self._data_loss, self._call = course_model, losses.get(loss), None
        values = {name: np.asarray(value) for name, value in course_model.params.items()}
        self.dtype = np.result_type(*values.values())
        for name, value in values.items():
            self.own[name] = Parameter(np.array(value, self.dtype, order="C"), name, decay=value.ndim > 1)

    def build(self, input_shape, seed=0, dtype=None):
        return super().build(input_shape, seed, self.dtype if dtype is None else dtype)

    def setup(self, shape, rng, dtype):
        if dtype != self.dtype:
            raise ValueError(f"from_course_model: the course's model is {self.dtype}; it cannot be built as {dtype}")
        return self._scores(np.zeros((1, *shape), dtype)).shape[1:]

    def _scores(self, x):
        self._synchronise()
        return self.course_model.loss(np.ascontiguousarray(x))

    def _synchronise(self):
        """Copy arrays that were assigned to the course model's params into the parameters, and share those again."""
        for name, parameter in self.own.items():
            value = self.course_model.params[name]
            if value is not parameter.value:
                if np.shape(value) != parameter.shape:
                    raise ValueError(f"params[{name!r}] had shape {parameter.shape}, now it is {np.shape(value)}")
                parameter.value[...] = value
                self.course_model.params[name] = parameter.value

    def infer(self, x, ops):
        return self._scores(x)

    def run(self, x, training, ops):
        scores = self._scores(x)
        call = _Call(x, scores)
        self._call = call if training else None

        def backward(dy, input_gradient=True):
            if input_gradient:
                raise RuntimeError("a course model computes no input gradient: it can only be the whole model")
            if call.grads is None:
                raise RuntimeError(
                    "a course model computes its gradients together with its loss: pass loss=model.loss to the Solver"
                )
            for name, parameter in self.own.items():
                if parameter.requires_grad:
                    parameter.accumulate(np.ascontiguousarray(call.grads[name], self.dtype))

        return scores, backward

    def loss(self, scores, labels):
        """(loss, dscores) for a Solver.

        For the scores of the last training batch, this is the course model's own loss, including its regularisation;
        its gradients are kept for ``backward``, and dscores is all zeros.  For other scores it is the data loss alone.
        """
        call, self._call = self._call, None
        if call is None or scores is not call.scores:
            return self._data_loss(scores, labels)
        loss, call.grads = self.course_model.loss(np.ascontiguousarray(call.x), labels)
        return loss, np.zeros_like(scores)


class _Call:
    """A training batch between forward and backward: its images, its scores, and its gradients after the loss."""

    def __init__(self, x, scores):
        self.x, self.scores, self.grads = x, scores, None


def from_course_model(course_model: Any, loss: str | Callable = "softmax") -> Model:
    """A course model as a fastnet layer, for fastnet's Solver with its optimisers, schedules, callbacks and files.

    >>> model = from_course_model(ThreeLayerConvNet(dtype=np.float32))                      # doctest: +SKIP
    >>> fn.Solver(model, (X, y), validation=(X_val, y_val), loss=model.loss).train()        # doctest: +SKIP

    Parameters
    ----------
    course_model : object
        All its parameters are converted to one dtype, to which batches are cast; it applies its own regularisation.
    loss : "softmax", "svm" or function ``(scores, labels) -> (loss, dscores)``
        The loss that the course model computes from its scores; used for the validation loss.

    Returns
    -------
    Model
        Its parameters are the arrays in ``course_model.params``, so training one trains the other.  Pass
        ``loss=model.loss`` to the Solver, since a course model computes gradients together with its loss.  A training
        step calls the course model twice, without labels for the scores and with labels for the gradients; the
        training accuracy is therefore that of its test mode.  State that it keeps outside `params` (running means,
        random streams) is not part of ``state_dict()`` or of checkpoints.

    Raises
    ------
    TypeError
        If the model has no `params` or no `loss`.
    RuntimeError
        If backend "cupy" is in use.
    """
    if not getattr(course_model, "params", None) or not callable(getattr(course_model, "loss", None)):
        raise TypeError(
            "from_course_model: a course model has params, a non-empty dict, and loss(X, y=None); "
            f"{type(course_model).__name__} does not"
        )
    layer = _CourseLayer(course_model, loss)
    for parameter in layer.own.values():
        parameter.move()
    _require_numpy("from_course_model", layer.own.values())
    return layer
