"""Recorder: ops that compute nothing and record their calls."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from fastnet.graph.ir import Graph, Node, Unrecordable
from fastnet.graph.opaque import observe, opaque
from fastnet.ops import REGISTRY, Op
from fastnet.ops.methods import op_methods

__all__ = ["Recorder", "record"]


@op_methods(gradients=False)
class Recorder:
    """Every op of the registry as a method that returns a Node.

    Parameters
    ----------
    tell : function, optional
        ``tell(name, phase, array)``; the graph gets nodes that call it with each layer's arrays.
    symbolic : bool
        Whether to record through ``run`` of layers that define it, as plans need; ``run`` must then only call ops.
    noisy : bool
        Whether layers with a random stream (dropout) run as in training even where others don't.

    A Parameter among the arguments is read when the graph runs; any other array is a constant.
    """

    if TYPE_CHECKING:  # the methods that op_methods makes

        def __getattr__(self, name: str) -> Callable[..., Node]: ...

    name = "recorder"

    def __init__(self, tell: Callable[..., None] | None = None, symbolic: bool = False, noisy: bool = False) -> None:
        self.order: list[Node] = []
        self.tell, self.symbolic, self.noisy = tell, symbolic, noisy
        self._sources: dict[int, Node] = {}
        self._layers: list[Any] = []
        self.outputs: dict[int, list[Node]] = {}  # by the layer's id, one for each use

    @property
    def xp(self) -> Any:
        raise Unrecordable(
            "compile: a layer computes with ops.xp; only layers that call nothing but ops can be compiled"
        )

    def source(self, shape: Any, dtype: Any, what: Any) -> Node:
        """A node without an op: an array that is not computed."""
        node = Node(None, (), {}, shape, dtype, what)
        self.order.append(node)
        return node

    def call(self, op: Op, arrays: tuple[Any, ...], attributes: dict[str, Any]) -> Node:
        """Record a call; raises the errors that the call would raise."""
        inputs = [self._node(array) for array in arrays]
        shape, dtype = op.check(inputs, attributes)
        return self.append(op, inputs, attributes, shape, dtype)

    def append(self, op: Op, inputs: list[Node | None], attributes: dict[str, Any], shape: Any, dtype: Any) -> Node:
        node = Node(op, inputs, attributes, shape, dtype, layers=tuple(self._layers[-1:]))
        self.order.append(node)
        return node

    def layer(self, layer: Any, x: Node, training: bool) -> Node:
        """Record a child layer's ops on x; containers call this."""
        training = training or (self.noisy and hasattr(layer, "stream"))
        observed = self.tell is not None and layer.traced
        if observed:
            x = self.append(*observe(x, layer, "backward", self.tell))
        with self._inside(layer):
            if layer.opaque and not self.symbolic:
                y = self.append(*opaque(x, layer, training, self.tell))
            elif layer.opaque:
                y = layer.infer(x, _Pairs(self))
            else:
                y = layer.call(x, training, self)
        if not isinstance(y, Node):
            raise Unrecordable(f"compile: {type(layer).__name__} returned {type(y).__name__}, not an op's result")
        self.outputs.setdefault(id(layer), []).append(y)
        return self.append(*observe(y, layer, "forward", self.tell)) if observed else y

    @contextlib.contextmanager
    def _inside(self, layer: Any) -> Iterator[None]:
        self._layers.append(layer)
        try:
            yield
        finally:
            self._layers.pop()

    @contextlib.contextmanager
    def reading(self, parameter: Any, node: Node) -> Iterator[None]:
        """Inside, ops that are given the parameter read the node."""
        kept = self._node(parameter)
        assert kept is not None
        self._sources[id(parameter)] = node
        try:
            yield
        finally:
            self._sources[id(parameter)] = kept

    def _node(self, array: Any) -> Node | None:
        if array is None or isinstance(array, Node):
            return array
        if id(array) not in self._sources:
            self._sources[id(array)] = self.source(array.shape, array.dtype, array)
        return self._sources[id(array)]


class _Pairs:
    """A Recorder whose methods return ``(y, saved)`` like a backend's, for layers that define ``run``."""

    name = "recorder"

    def __init__(self, recorder: Recorder) -> None:
        self.plain = recorder

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.plain, name)
        if name in REGISTRY and REGISTRY[name].backward is not None and not REGISTRY[name].plain:
            return lambda *args, **kwargs: (method(*args, **kwargs), None)
        return method


def record_any_batch(recorded: Callable[[int], Graph]) -> Graph:
    """The graph for any number of images, of a function that records it, symbolic, for a number.

    Raises
    ------
    Unrecordable
        A layer computes by itself, or reads the number of images.
    """
    two, three = recorded(2), recorded(3)
    for one, other in zip(two.nodes, three.copy(2).nodes, strict=False):
        if one.name != other.name or (one.op is not None and one.attributes != other.attributes):
            raise Unrecordable(f"compile: a layer calls {one.name} with an argument that depends on the batch size")
    return two


def record(
    function: Callable[..., Any],
    shape: Any,
    dtype: Any,
    tell: Any = None,
    symbolic: bool = False,
    noisy: bool = False,
) -> Graph:
    """The graph of ``function(x, ops)`` for x of a shape, batch axis included; arguments as Recorder's.

    Raises
    ------
    Unrecordable
        With `symbolic`, if a layer does anything but pass arrays to ops.
    """
    recorder = Recorder(tell, symbolic, noisy)
    x = recorder.source(shape, dtype, "input")
    y = function(x, recorder)
    return Graph(x, y, recorder.order)
