"""fastnet's models in the course's Solver, and the course's models in fastnet's.

A course model has ``params``, a dict of arrays, and ``loss(X, y=None)``, which returns scores without labels and (loss,
dict of gradients) with them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, MutableMapping

import numpy as np

from fastnet import losses
from fastnet.layers import Layer, Parameter
from fastnet.regularizers import L2

__all__ = ["as_course_model", "from_course_model"]


# ---------------------------------------------------------------- a fastnet model for the course's Solver


class _Params(MutableMapping):
    """Parameters as a dict of their arrays: who changes an array or puts another in its place, changes the model."""

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
        self._params = _Params({name: p for name, p in model.named_parameters().items() if p.trainable})

    @property
    def params(self):
        return self._params

    @params.setter
    def params(self, values):
        if not values:
            warnings.warn("params = {}: the model keeps its weights (no validation image was right?)", stacklevel=2)
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


def as_course_model(model: Layer, loss: str | Callable = "softmax", reg: float = 0.0):
    """A fastnet model as the course's Solver wants it.

    Parameters
    ----------
    model : Layer
        Built.  Batches are cast to its dtype.
    loss : "softmax", "svm" or function ``(scores, labels) -> (loss, dscores)``
    reg : float
        Adds ``reg / 2 * sum(W**2)`` to the loss, for weights (not for biases or batch norms).

    Returns
    -------
    object
        ``.model`` is `model`.  ``.params`` is a mapping of the trainable parameters' names to their arrays, the
        model's own: what a Solver assigns or changes in place is in the model at once, and so is the dict of best
        weights that it assigns in the end.  (Running statistics of batch norms are no parameters here either.)
        ``.loss(X)`` returns scores, with ``training=False``; ``.loss(X, y)`` the loss and gradients, with
        ``training=True``.

    Raises
    ------
    TypeError, RuntimeError
        No layer; a model that is not built.
    """
    if not isinstance(model, Layer):
        raise TypeError(
            f"as_course_model: model must be a fastnet layer such as Sequential, got {type(model).__name__}"
        )
    return _CourseModel(model, loss, reg)


# ---------------------------------------------------------------- a course model for fastnet's Solver


class _CourseLayer(Layer):
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
            raise ValueError(f"from_course_model: the course's model is {self.dtype}, it cannot be built as {dtype}")
        return self._scores(np.zeros((1, *shape), dtype)).shape[1:]

    def _scores(self, x):
        self._meet()
        return self.course_model.loss(np.ascontiguousarray(x))

    def _meet(self):
        """The parameters and the course model's arrays are the same; arrays that somebody put there are taken over."""
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
                raise RuntimeError("a course model gives no gradient of its input: it can only be the whole model")
            if call.grads is None:
                raise RuntimeError(
                    "a course model computes its gradients together with its loss: give the Solver loss=model.loss"
                )
            for name, parameter in self.own.items():
                if parameter.trainable:
                    parameter.accumulate(np.ascontiguousarray(call.grads[name], self.dtype))

        return scores, backward

    def loss(self, scores, labels):
        """(loss, dscores) for a Solver.

        For the scores of the last training batch: the course model's own loss, with its regularisation; the gradients
        are kept for ``backward``, so that dscores says nothing (zeros).  For other scores: the loss of the data alone.
        """
        call, self._call = self._call, None
        if call is None or scores is not call.scores:
            return self._data_loss(scores, labels)
        loss, call.grads = self.course_model.loss(np.ascontiguousarray(call.x), labels)
        return loss, np.zeros_like(scores)


class _Call:
    """A training batch on its way: its images, its scores, and its gradients once the loss is known."""

    def __init__(self, x, scores):
        self.x, self.scores, self.grads = x, scores, None


def from_course_model(course_model, loss: str | Callable = "softmax") -> Layer:
    """A course model as a fastnet layer, for fastnet's Solver with its optimisers, schedules, callbacks and files.

    >>> model = from_course_model(ThreeLayerConvNet(dtype=np.float32))                      # doctest: +SKIP
    >>> fn.Solver(model, (X, y), validation=(X_val, y_val), loss=model.loss).train()        # doctest: +SKIP

    Parameters
    ----------
    course_model : object
        All its parameters get one dtype, which batches are cast to; regularisation is its own.
    loss : "softmax", "svm" or function ``(scores, labels) -> (loss, dscores)``
        What the course model computes of its scores; used for the validation loss.

    Returns
    -------
    Layer
        Its parameters are the arrays in ``course_model.params``: who trains one has trained the other.
        Give ``loss=model.loss`` to the Solver, since a course model computes gradients with its loss.  A training
        step asks the course model twice, without labels for the scores and with them for the gradients; the training
        accuracy is therefore that of its test mode.  What it keeps beside `params` (running means, random streams) is
        not in ``state_dict()`` or checkpoints.

    Raises
    ------
    TypeError
        No such `params` and `loss`.
    """
    if not getattr(course_model, "params", None) or not callable(getattr(course_model, "loss", None)):
        raise TypeError(
            "from_course_model: a course model has params, a dict that is not empty, and loss(X, y=None); "
            f"{type(course_model).__name__} has not"
        )
    return _CourseLayer(course_model, loss)
