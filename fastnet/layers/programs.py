"""The programs that run a layer: recorded on first use, and again after any change that may affect the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastnet.backends import current
from fastnet.graph import Graph, Node, Program, Recorder, record
from fastnet.graph.fusion import INFERENCE, TRAINING, fuse
from fastnet.layers.tracing import tracer
from fastnet.layers.version import changed, version
from fastnet.types import Array, ArrayLike

__all__ = ["Programs"]

_KEPT = 16  # programs per layer, one for each shape; the oldest is dropped first


class Programs:
    """The part of Layer that records and runs graphs."""

    if TYPE_CHECKING:  # Layer has these
        dtype: Any

        def call(self, x: Node, training: bool, ops: Recorder) -> Node: ...
        def _enter(self, x: Any, ops: Any) -> Array: ...

    traced = True  # whether trace() reports this layer's own output
    opaque = False

    def __setattr__(self, name: str, value: Any) -> None:
        """Any attribute may decide what ``call`` records: a dropout's p, a batch norm's momentum."""
        known = self.__dict__.get(name, changed) is value
        object.__setattr__(self, name, value)
        if not self.opaque and not known:
            changed()

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        changed()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_plans", "_programs", "_state")}

    def graph(self, shape: tuple[int, ...], training: bool = False) -> Graph:
        """The layer's unfused graph for x of this shape, batch axis included."""
        return record(self._whole(training), shape, self.dtype)

    def _whole(self, training: bool) -> Callable[..., Any]:
        """A function that records this layer; as one node if it is opaque."""
        return lambda x, ops: ops.layer(self, x, training)

    def noisy(self, x: ArrayLike) -> Array:
        """Inference with dropout and other layers that have a random stream as in training.

        Batch norms normalise with their running statistics, and do not update them.
        """
        ops = current()
        x = self._enter(x, ops)
        y: Array = self._program(x, False, ops, gradients=False, noisy=True).infer(x)
        return y

    def _program(
        self, x: Any, training: bool, ops: Any, gradients: bool, whole: bool = True, noisy: bool = False
    ) -> Program:
        """The program for x: of the whole layer, or of ``call`` alone, for an opaque layer that uses it."""
        tell, call = tracer(), self.call
        if training:
            self.__dict__.pop("_plans", None)  # out of date soon; until then it would only take memory
        function = self._whole(training) if whole else lambda x, ops: call(x, training, ops)
        if tell is not None:  # unfused, so that every layer's output exists
            return Program(record(function, x.shape, x.dtype, tell, noisy=noisy), ops, gradients, tell)
        key = whole, x.shape, x.dtype, bool(training), gradients, noisy, ops.name
        programs: dict[tuple[Any, ...], tuple[int, Program]] = self.__dict__.setdefault("_programs", {})
        kept = programs.get(key)
        if kept is not None and kept[0] == version():
            return kept[1]
        recorded = version()
        graph = fuse(record(function, x.shape, x.dtype, noisy=noisy), TRAINING if gradients else INFERENCE)
        program = Program(graph, ops, gradients)
        if key not in programs and len(programs) >= _KEPT:
            programs.pop(next(iter(programs)), None)
        programs[key] = recorded, program
        return program
