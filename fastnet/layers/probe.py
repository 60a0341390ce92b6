"""Probe: values and gradients anywhere inside a model, in evaluation mode."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from fastnet.backends import current
from fastnet.graph import Graph, Node, Program, Recorder
from fastnet.graph.fusion import TRAINING, fuse
from fastnet.graph.rules import RECTIFIERS, RULES, apply_rule
from fastnet.layers.base import Layer
from fastnet.layers.version import version
from fastnet.types import Array, ArrayLike, DType, Shape
from fastnet.wording import did_you_mean, name_some

__all__ = ["INPUT", "SCORES", "Probe"]

INPUT, SCORES = "<input>", "<scores>"
_USE = re.compile(r"(.*) \(use (\d+)\)")
_KEPT = 4  # programs, one for each number of images


class Probe:
    """A function of x that gives values and gradients inside a model: dropout is off, batch norms use their statistics.

    It computes what is asked for and nothing else: no gradients of parameters, and no layer behind the last one named.
    The rest is fused as in training.  The model is not changed.

    Parameters
    ----------
    model : Layer
        Built.
    places : sequence of str
        INPUT, SCORES (the model's output, before a softmax at its end), or layers by the names that ``model.summary()``
        shows ("1.body.0"; "2 (use 2)" for the second use of a shared layer), also of containers ("1.body"): their
        outputs.
    rule : "guided" or "deconvnet", optional
        Another gradient for ReLU and ReLU6: see ``fastnet.graph.rules``.

    Raises
    ------
    RuntimeError
        The model is not built.
    ValueError
        No layer has this name, or it lies inside a layer that computes its own gradient; a rule for a model without
        ReLU.

    Examples
    --------
    >>> probe = Probe(model, [INPUT, SCORES, "4"])
    >>> values, backward = probe(x)
    >>> values["4"].shape
    (1, 16, 8, 8)
    >>> dscores = np.zeros_like(values[SCORES])
    >>> dscores[:, 3] = 1
    >>> gradients = backward({SCORES: dscores}, [INPUT, "4"])
    """

    def __init__(self, model: Layer, places: Iterable[str], rule: str | None = None) -> None:
        model._require_built()
        if rule is not None and rule not in RULES:
            raise ValueError(f"Probe: rule must be {', '.join(map(repr, RULES))} or None, got {rule!r}")
        self.model, self.places, self.rule = model, list(dict.fromkeys(places)), rule
        self._layers = {place: _find(model, place) for place in self.places if place not in (INPUT, SCORES)}
        self._programs: dict[Any, Program] = {}

    def __call__(self, x: ArrayLike) -> tuple[dict[str, Array], Callable[..., dict[str, Array]]]:
        """The values at all places, and ``backward(given, wanted)``, which may be called once.

        Parameters
        ----------
        x : array, (N, *input_shape)

        Returns
        -------
        values : dict of str to array
        backward : function
            `given` maps places to the gradients of a function by their values, `wanted` lists places; it returns the
            gradients of the function by these.
        """
        ops = current()
        entered = self.model._enter(x, ops)
        arrays, inner = self._program(entered, ops).probe(entered)
        values = dict(zip(self.places, arrays, strict=True))

        def backward(given: Mapping[str, ArrayLike], wanted: Iterable[str] = (INPUT,)) -> dict[str, Array]:
            gradients: list[Any] = [None] * len(self.places)
            names = list(wanted)
            for place, dy in given.items():
                value, gradient = values[place], ops.asarray(dy, values[place].dtype)
                if gradient.shape != value.shape:
                    raise ValueError(
                        f"Probe: the gradient of {place} must have its shape {value.shape}, got {gradient.shape}"
                    )
                gradients[self.places.index(place)] = gradient
            with _without_gradients(self.model):
                found = inner(gradients, [self.places.index(name) for name in names])
            return {
                name: ops.zeros(values[name].shape, values[name].dtype) if gradient is None else gradient
                for name, gradient in zip(names, found, strict=True)
            }

        return values, backward

    def _program(self, x: Array, ops: Any) -> Program:
        key = x.shape, x.dtype, ops.name, version()
        if key not in self._programs:
            while len(self._programs) >= _KEPT:
                self._programs.pop(next(iter(self._programs)))
            self._programs[key] = Program(fuse(self.graph(x.shape, x.dtype), TRAINING), ops, gradients=True)
        return self._programs[key]

    def graph(self, shape: Shape, dtype: DType, symbolic: bool = False) -> Graph:
        """The unfused graph for x of this shape, batch axis included; its `kept` are the nodes of all places.

        `symbolic` is a Recorder's.
        """
        recorder = _Until(None if SCORES in self.places else self._layers.values(), symbolic)
        source = recorder.source(shape, dtype, "input")
        scores: Any = source
        with contextlib.suppress(_Enough):
            output = recorder.layer(self.model, source, False)
            scores = output.inputs[0] if output.name in ("softmax", "log_softmax") else output
        kept: list[Node] = []
        for place in self.places:
            if place in (INPUT, SCORES):
                kept.append(source if place == INPUT else scores)
                continue
            layer, use = self._layers[place]
            outputs = recorder.outputs.get(id(layer), [])
            if use > len(outputs):
                raise ValueError(_unreached(place, len(outputs)))
            kept.append(outputs[use - 1])
        last = next((node for node in kept if node is not source), source)
        graph = Graph(source, last, recorder.order, kept)
        if self.rule is not None and not apply_rule(graph, self.rule):
            raise ValueError(
                f"the rule {self.rule!r} changes the gradient of {' and '.join(RECTIFIERS)}, of which the model has "
                "none here; plain gradients need no rule"
            )
        return graph


class _Enough(Exception):
    """Everything that is wanted is recorded."""


class _Until(Recorder):
    """A Recorder that stops behind the last of some uses of layers: those behind it may not fit images of this size."""

    def __init__(self, wanted: Iterable[tuple[Layer, int]] | None, symbolic: bool) -> None:
        super().__init__(symbolic=symbolic)
        self._wanted = None if wanted is None else list(wanted)

    def layer(self, layer: Any, x: Node, training: bool) -> Node:
        y = super().layer(layer, x, training)
        if self._wanted is not None and all(use <= len(self.outputs.get(id(each), ())) for each, use in self._wanted):
            raise _Enough
        return y


def _find(model: Layer, place: str) -> tuple[Layer, int]:
    """The layer of a name, and which of its uses."""
    if not isinstance(place, str):
        raise TypeError(f"layers go by their names in model.summary(), which are str, got {place!r}")
    layers = dict(model.named_layers())
    match = _USE.fullmatch(place)
    name, use = (match[1], int(match[2])) if match else (place, 1)
    if name not in layers:
        names = [path for path in layers if path]
        raise ValueError(
            f"the model has no layer {place!r}; {did_you_mean(place, names)}model.summary() lists {name_some(names, 8)}"
        )
    return layers[name], use


def _unreached(place: str, uses: int) -> str:
    if uses:
        return f"the layer of {place!r} is used {uses} time{'s' if uses > 1 else ''} in evaluation"
    return (
        f"the layer {place!r} has no output to look at: it is not used in evaluation, or lies inside a layer that "
        "defines `run`, and so its own gradient"
    )


@contextlib.contextmanager
def _without_gradients(model: Layer) -> Iterator[None]:
    """Leave the parameters' gradients as they are, also those that layers with their own ``run`` compute."""
    opaque = any(layer.opaque for _, layer in model.named_layers())
    kept = [(parameter, parameter.grad) for parameter in model.parameters()] if opaque else []
    for parameter, _ in kept:
        parameter.zero_grad()
    try:
        yield
    finally:
        for parameter, gradient in kept:
            parameter.grad = gradient
