"""Averages of weights: exponential, of snapshots, and the running statistics that belong to them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fastnet.arguments import integer, real
from fastnet.arrays import as_array, on_host
from fastnet.backends import current
from fastnet.data import Loader
from fastnet.layers import Model, Parameter
from fastnet.layers.preserved import preserved
from fastnet.ops import REGISTRY
from fastnet.types import Array, ArrayLike

__all__ = ["WeightAverage", "average_states", "update_bn"]


class WeightAverage:
    """The average of a model's weights over its training, for test time.

    With a `decay`, Polyak's exponential average: ``average = decay*average + (1 - decay)*weights`` at each update; the
    first sets it to the weights (Polyak & Juditsky 1992; CS231n 2017, lecture 7, has 0.995).  Without, the mean of all
    updates (stochastic weight averaging, Izmailov et al. 2018, arXiv:1803.05407).

    The running statistics of batch norms are averaged like weights, which is close to those that belong to the averaged
    weights; :func:`update_bn` computes them exactly.

    Parameters
    ----------
    model : Model
        Built.
    decay : float in [0, 1), or None

    Attributes
    ----------
    count : int
        Updates so far.

    Examples
    --------
    >>> average = WeightAverage(model, 0.995)
    >>> for x, y in loader:
    ...     loss, _ = plan(x, y)
    ...     optimizer.step(model.parameters())
    ...     average.update()
    >>> with average.swapped():
    ...     print(model.evaluate(X_test, y_test))
    """

    def __init__(self, model: Model, decay: float | None = 0.995) -> None:
        if not isinstance(model, Model):
            raise TypeError(f"WeightAverage: model must be a fastnet.Model, got {model!r}")
        self.decay = checked_decay("WeightAverage", decay)
        self.model, self.count = model, 0
        self._averages: dict[str, Array] = {}
        self._state()

    def _state(self) -> dict[str, Parameter]:
        return dict([*self.model.named_parameters(), *self.model.named_buffers()])

    def update(self) -> None:
        """Take the model's present weights into the average, all in one call of a kernel."""
        ops, state = current(), self._state()
        for parameter in state.values():
            parameter.move()
        if not self.count:
            self._averages = {name: parameter.value.copy() for name, parameter in state.items()}
        else:
            self._averages = {name: ops.own(average) for name, average in self._averages.items()}
            pairs = [(self._averages[name], parameter.value) for name, parameter in state.items()]
            decay = self.count / (self.count + 1) if self.decay is None else self.decay
            ops.update_each(REGISTRY["average_step"], pairs, {"decay": decay})
        self.count += 1

    def state_dict(self) -> dict[str, Array]:
        """Copies of the averages, as ``model.load_state_dict`` takes them.

        Raises
        ------
        RuntimeError
            There has been no update.
        """
        self._require_updates()
        ops = current()
        return {name: ops.to_numpy(average).copy(order="C") for name, average in self._averages.items()}

    def load_state_dict(self, state: Mapping[str, ArrayLike], count: int) -> None:
        """Go on from averages of `count` updates.

        Raises
        ------
        ValueError
            The averages of another model.
        """
        own, ops = self._state(), current()
        if own.keys() != state.keys() or any(own[name].shape != np.shape(array) for name, array in state.items()):
            raise ValueError("WeightAverage: these are the averages of another model")
        self.count = integer(count, "WeightAverage: count")
        self._averages = {name: ops.contiguous(state[name], own[name].dtype).copy() for name in own}

    @contextlib.contextmanager
    def swapped(self) -> Iterator[Model]:
        """A context in which the model has the averaged weights; its own come back at the end."""
        self._require_updates()
        with preserved(self.model):
            for name, parameter in self._state().items():
                parameter.set(self._averages[name])
            yield self.model

    def _require_updates(self) -> None:
        if not self.count:
            raise RuntimeError("WeightAverage: there is no average yet: call update() after each step of the optimiser")


def checked_decay(name: str, decay: float | None) -> float | None:
    """A decay in [0, 1), or None; TypeError or ValueError, which begin with `name`, for anything else."""
    number = None if decay is None else real(decay, f"{name}: decay")
    if number is not None and not 0 <= number < 1:
        raise ValueError(f"{name}: decay, the weight of the old average, must be in [0, 1), got {decay!r}")
    return number


def average_states(states: Iterable[Mapping[str, ArrayLike]]) -> dict[str, Array]:
    """The mean of several snapshots of one model, added in float64 (CS231n 2017, lecture 7: "average of snapshots").

    Parameters
    ----------
    states : iterable of state dicts
        Such as ``load_checkpoint(path).model_state(best=False)`` of each checkpoint.

    Returns
    -------
    dict of str to array
        For ``model.load_state_dict``; :func:`update_bn` then computes the running statistics again.

    Raises
    ------
    ValueError
        No state, or states of different models.
    """
    states = list(states)
    if not all(isinstance(state, Mapping) for state in states):
        raise TypeError("average_states: states must be a list of state dicts, such as [model.state_dict(), ...]")
    states = [dict(state) for state in states]
    if not states:
        raise ValueError("average_states: there are no states to average")
    result = {}
    for name, first in states[0].items():
        arrays = [on_host(state[name], f"average_states: {name}") for state in states if name in state]
        if len(arrays) < len(states) or any(array.shape != arrays[0].shape for array in arrays):
            raise ValueError(f"average_states: not all states have {name} of shape {np.shape(first)}: other models?")
        result[name] = np.mean([array.astype(np.float64) for array in arrays], axis=0).astype(arrays[0].dtype)
    if extra := sorted(set().union(*states) - set(result)):
        raise ValueError(f"average_states: only some of the states have {', '.join(extra)}: other models?")
    return result


def update_bn(model: Model, data: ArrayLike | Loader | Iterable[ArrayLike], batch_size: int = 128) -> None:
    """Compute the running statistics of batch norms again, for weights that no training step has had.

    They become the means over all batches, weighted by their numbers of examples, of the batches' means and variances
    under the present weights (PyTorch's ``update_bn``).  Dropout is on, as in training; its random streams are left
    where they were.  Frozen batch norms, and models without any, do not change.

    Parameters
    ----------
    model : Model
        Built.
    data : Loader, array (N, ...) or iterable of arrays
        Training examples: those of a Loader's first epoch; an array, to which the model's `preprocessing` is applied;
        or prepared batches.
    batch_size : int
        For an array.

    Raises
    ------
    ValueError
        No examples.
    FloatingPointError
        Statistics that are not finite.  After an error the model has those from before.
    """
    norms: list[Any] = [layer for _, layer in model.named_layers() if "running_mean" in layer.own and not layer.frozen]
    if not norms:
        return
    momenta, streams, seen = [norm.momentum for norm in norms], model.rng_state(), 0
    sums = [(0.0, 0.0) for _ in norms]
    kept = [(norm.running_mean.value.copy(), norm.running_var.value.copy()) for norm in norms]
    try:
        for norm in norms:
            norm.momentum = 1.0  # the running statistics are then the batch's
        for x in _batches(model, data, integer(batch_size, "update_bn: batch_size")):
            model.forward(x, training=True)
            seen += len(x)
            for position, norm in enumerate(norms):
                mean, var = sums[position]
                sums[position] = (
                    mean + len(x) * norm.running_mean.value.astype("float64"),
                    var + len(x) * norm.running_var.value.astype("float64"),
                )
    finally:
        for norm, momentum, (mean, var) in zip(norms, momenta, kept, strict=True):
            norm.momentum = momentum
            norm.running_mean.value[...], norm.running_var.value[...] = mean, var
        model.set_rng_state(streams)
    if not seen:
        raise ValueError("update_bn: data holds no examples")
    if not all(np.isfinite(on_host(array)).all() for pair in sums for array in pair):
        raise FloatingPointError("update_bn: a running statistic would not be finite: data or weights are not")
    for norm, (mean, var) in zip(norms, sums, strict=True):
        norm.running_mean.value[...] = mean / seen
        norm.running_var.value[...] = var / seen


def _batches(model: Model, data: Any, batch_size: int) -> Iterator[Any]:
    if isinstance(data, Loader):
        yield from (x for x, _ in data.batches(0))
    elif hasattr(data, "shape"):
        X, prepare = as_array(data, "update_bn: data"), model.preprocessing
        rest = len(X) % batch_size
        end = len(X) - 1 if rest == 1 and len(X) > 1 else len(X)  # batch norm needs two examples
        for start in range(0, end, batch_size):
            x = X[start : min(start + batch_size, end)]
            yield x if prepare is None else prepare(on_host(x).copy(), model.dtype)
    elif isinstance(data, Sequence | Iterator | Iterable):
        yield from data
    else:
        raise TypeError(f"update_bn: data must be a Loader, an array or batches, got {type(data).__name__}")
