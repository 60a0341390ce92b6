"""Layers run over data sets: batch by batch, compiled, after the preprocessing that their inputs need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from fastnet.arguments import integer
from fastnet.arrays import as_array, elsewhere, on_host
from fastnet.backends import Ops, current
from fastnet.graph import Graph, Unrecordable, record
from fastnet.graph.recorder import record_any_batch
from fastnet.layers.base import Layer
from fastnet.layers.compiled import Plan
from fastnet.layers.evidence import Evidence
from fastnet.layers.plans import Kept, Plans
from fastnet.layers.probe import Probe
from fastnet.layers.shape import Flatten
from fastnet.layers.sizes import check_examples
from fastnet.layers.tracing import tracer
from fastnet.layers.version import version
from fastnet.types import Array, ArrayLike, Preprocess

__all__ = ["Batched"]

_AT_A_TIME = 128  # images, at most


class Batched(Layer):
    """A layer that runs over whole data sets, from which :class:`Model` derives.

    Attributes
    ----------
    preprocessing : function ``(x, dtype) -> x`` or None
        What is done with each batch first.
    """

    preprocessing: Preprocess | None = None

    def compile(self, batch_size: int = 1, input_shape: Sequence[int] | None = None, until: str | None = None) -> Plan:
        """Compile the model as it is now for inference: ``plan(x)`` computes ``self(x)``, faster.

        Batch norms are folded into convolutions, weights are packed once, and the whole network runs in one call.
        Results differ from ``self(x)`` by rounding; they depend neither on threads nor on the rest of a batch.
        :meth:`predict` and :meth:`evaluate` do this by themselves; a plan of one's own stays as it is when the model
        changes, and can be made for single images.

        Parameters
        ----------
        batch_size : int
            The expected number of images per call, of which at most so many are computed at a time; calls may have any
            number.  No bit depends on it.
        input_shape : tuple of int, optional
            Of one image, without the batch axis; default: what the model was built for.
        until : str, optional
            A layer by the name that ``model.summary()`` shows ("layer3.1"): the plan ends with its output, and has no
            layer after it.

        Raises
        ------
        RuntimeError
            If the model is not built.
        ValueError
            No layer has the name `until`, or it has no output.
        TypeError
            If a layer of your own does anything with arrays but pass them to `ops`, or calls an op that has no step in
            the backend's plans.
        """
        self._require_built()
        batch_size = integer(batch_size, "batch_size")
        shape = self.input_shape if input_shape is None else tuple(input_shape)
        return Plan(self._recorded(shape, until), current(), batch_size)

    def _recorded(self, shape: Sequence[int], until: str | None = None) -> Graph:
        """The graph that a plan computes."""
        probe = None if until is None else Probe(self, [until])

        def recorded(batch: int) -> Graph:
            if probe is None:
                return record(self._whole(False), (batch, *shape), self.dtype, symbolic=True)
            graph = probe.graph((batch, *shape), self.dtype, symbolic=True)
            return Graph(graph.source, graph.output, graph.nodes)

        return record_any_batch(recorded)

    def outputs(self, X: ArrayLike, batch_size: int, prepare: Preprocess | None) -> Array:
        """What `predict` returns, with `prepare` in place of `preprocessing`."""
        if prepare is None and (plan := self._ready(X, batch_size)) is not None:
            return plan(X)
        ops, done, result = current(), 0, None
        examples = self.examples("predict: X", X, ops, prepare)
        for y in self._batches(examples, batch_size, prepare):
            if len(examples) <= batch_size:
                return ops.to_numpy(y)
            if result is None:
                result = ops.empty((len(examples), *y.shape[1:]), y.dtype)
            result[done : done + len(y)] = y
            done += len(y)
        return ops.to_numpy(result)

    def layer_outputs(self, X: ArrayLike, layer: str, batch_size: int) -> Iterator[Array]:
        """What a layer computes for X, in inference: NumPy arrays, one batch after the other.  No later layer runs.

        Parameters
        ----------
        X : array, (N, *input_shape)
            `preprocessing` is applied to each batch.
        layer : str
            By the name that ``model.summary()`` shows.
        batch_size : int
        """
        ops = current()
        for y in self._batches(self.examples("X", X, ops), batch_size, self.preprocessing, layer):
            yield ops.to_numpy(y)

    def _batches(
        self, examples: Any, batch_size: int, prepare: Preprocess | None, until: str | None = None
    ) -> Iterator[Array]:
        """The outputs for one batch after the other; for one empty batch if there are no examples."""
        run = None
        for x in self.prepared(examples, batch_size, prepare):
            run = run or self.runner(x, until)
            yield run(x)

    def prepared(self, examples: Any, batch_size: int, prepare: Preprocess | None) -> Iterator[Array]:
        """One batch after the other, after `prepare`; one empty batch if there are no examples."""
        ops, batch_size = current(), integer(batch_size, "batch_size")
        for start in range(0, max(len(examples), 1), batch_size):
            x: Any = examples[start : start + batch_size]
            listed = isinstance(x, list)  # images of different sizes
            if prepare is None or not listed:
                x = as_array(x, "X")
            if prepare is not None:
                x = prepare(x if listed else on_host(x).copy(), self.dtype or "float32")  # a copy, which it may change
            if start == 0:
                self.check_examples(x.shape if prepare is not None else (len(examples), *x.shape[1:]))
                self._enter(x[:0], ops)
            yield x

    def check_examples(self, shape: Sequence[int]) -> None:
        """Raise a ValueError if an array of this shape does not hold examples as the model was built for.

        Images of another height and width pass, unless the model begins with Flatten, which would mix up their order.
        """
        if self.built:
            check_examples(tuple(shape), self.input_shape, isinstance(self.leaves()[0], Flatten))

    def examples(self, name: str, X: ArrayLike, ops: Ops, prepare: Preprocess | None = None) -> Any:
        """X as an array; one of another library with a shape and a dtype as it is: it may be larger than memory.

        A list or tuple of images becomes a list if `prepare`, by default `preprocessing`, brings them to one size.
        """
        if isinstance(X, (list, tuple)) and getattr(prepare or self.preprocessing, "resizes", False):
            return list(X)
        if hasattr(X, "__array_interface__"):
            return as_array(X, name)
        if hasattr(X, "shape") and hasattr(X, "dtype"):
            return X
        return ops.asarray(as_array(X, name), self.dtype or "float32")

    def runner(self, X: Any, until: str | None = None) -> Callable[[Any], Array]:
        """A function of batches like X, for use before the model changes: its plan, or one up to the layer `until`.

        The model itself under ``trace``, on a GPU, or if it cannot be compiled.
        """
        whole = self if until is None else partial(_value, Probe(self, [until]), until)
        if tracer() or (until is None and elsewhere()):
            return whole
        try:
            return self._plan(X.shape[1:]) or whole if until is None else self.compile(_AT_A_TIME, X.shape[1:], until)
        except Unrecordable:
            return whole
        except ValueError as error:
            if len(X.shape) > len(self.input_shape):
                if tuple(X.shape[1:]) == self.input_shape:
                    raise
                raise ValueError(
                    f"examples of shape {tuple(X.shape[1:])} do not fit the model, which was built for "
                    f"{self.input_shape}: {error}"
                ) from error
            raise ValueError(
                f"X must hold examples of shape {self.input_shape} along its first axis, got shape {tuple(X.shape)} "
                "(a single example needs a leading axis: X[None])"
            ) from error

    def _ready(self, X: Any, batch_size: int) -> Plan | None:
        """The plan, if one is kept for X and takes X as it is, as one batch."""
        ops, plans = current(), self.__dict__.get("_plans")
        if plans is None or type(X) not in ops.array_types or type(batch_size) is not int or tracer():
            return None
        kept = plans.find((X.shape[1:], ops.name, ops.choices))
        plan = kept.plan if kept else None
        return plan if plan is not None and X.dtype == plan.dtype and 0 < len(X) <= batch_size else None

    def _plan(self, shape: tuple[int, ...]) -> Plan | None:
        """The plan for images of this shape, which the model keeps; None if it cannot be compiled."""
        self._require_built()
        ops, since, plan = current(), version(), None
        plans: Plans = self.__dict__.setdefault("_plans", Plans())
        key = shape, ops.name, ops.choices
        if kept := plans.find(key):
            return kept.plan
        layers = {layer: None for _, layer in self.named_layers()}
        try:
            graph = self._recorded(shape)
            layers |= {layer: None for node in graph.nodes for layer in node.layers}
            sources = [node for node in graph.nodes if node.op is None and node is not graph.source]
            parameters = {*self._named_state().values(), *(node.source for node in sources if node.is_parameter)}
            constants = [node.source for node in sources if not node.is_parameter]
            evidence = Evidence(since, layers, parameters, constants)  # before the plan reads the arrays
            plan = Plan(graph, ops, _AT_A_TIME)
        except Unrecordable:
            evidence = Evidence(since, layers)
        if plan is None or not any(layer.opaque for layer in layers):  # these layers' attributes change unnoticed
            plans.keep(key, Kept(plan, evidence))
        return plan


def _value(probe: Probe, layer: str, x: ArrayLike) -> Array:
    return probe(x)[0][layer]
