"""Node and Graph: ops on arrays whose values are not computed yet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from fastnet.ops import STATE, Op

__all__ = ["Graph", "Node", "Unrecordable"]


class Unrecordable(TypeError):
    """Raised when a layer uses an array for anything but calls of ops."""


class Node:
    """An op on other nodes, and the shape and dtype of its result; layers pass nodes to ops.

    Attributes
    ----------
    op : Op or None
        None for a source: the network's input, a parameter, a constant.
    inputs : tuple of Node or None
        In the order of the op's array arguments; None for an omitted one.
    attributes : mapping
        The op's other arguments.
    shape, dtype
        Of the result.
    source : object
        Of a source: "input", the Parameter, or the constant array.
    layers : tuple of Layer
        The layers that called the op (all of them, in order, for a fused op).
    """

    __slots__ = ("attributes", "dtype", "inputs", "layers", "op", "shape", "source")

    def __init__(
        self,
        op: Op | None,
        inputs: Iterable[Node | None],
        attributes: Mapping[str, Any],
        shape: Iterable[int],
        dtype: Any,
        source: Any = None,
        layers: tuple[Any, ...] = (),
    ) -> None:
        self.op, self.inputs, self.attributes = op, tuple(inputs), dict(attributes)
        self.shape, self.dtype, self.source, self.layers = tuple(shape), dtype, source, layers

    @property
    def name(self) -> str:
        """The op's name; "" for a source."""
        return self.op.name if self.op else ""

    @property
    def is_parameter(self) -> bool:
        """Whether it is a source whose array is a Parameter's."""
        return hasattr(type(self.source), "value")  # the type's: asking a parameter for its value counts as a change

    @property
    def given(self) -> Any:
        """A source's array, to be read: a parameter's or the constant."""
        return self.source._array if self.is_parameter else self.source

    @property
    def updated(self) -> list[Node]:
        """The inputs that the op changes in place: running statistics, in training."""
        if self.op is None or not self.attributes.get("training", self.op.backward is not None):
            return []  # conv2d_post, which has no gradient, only infers
        given = zip(self.op.inputs, self.inputs, strict=False)
        return [other for i, other in given if i.role == STATE and other is not None]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def __getattr__(self, name: str) -> Any:
        raise Unrecordable(
            f"compile: a layer uses {name} of a symbolic array, (N, *{self.shape[1:]}); only layers "
            "that do nothing with arrays but pass them to ops can be compiled"
        )

    def __repr__(self) -> str:
        return f"Node({self.name or self.source!r}, {self.shape}, {self.dtype})"


def _refuse(name: str) -> Any:
    return lambda self, *_, **__: Node.__getattr__(self, name)


_ARITHMETIC = "add radd sub rsub mul rmul matmul rmatmul truediv rtruediv pow rpow neg abs lt le gt ge eq ne bool"
_ACCESS = "getitem setitem len iter float int array array_ufunc array_function"
for _name in f"{_ARITHMETIC} {_ACCESS}".split():
    setattr(Node, f"__{_name}__", _refuse(f"__{_name}__"))
Node.__hash__ = object.__hash__  # type: ignore[method-assign]


class Graph:
    """The nodes that an output depends on, each after what it reads.

    Attributes
    ----------
    source : Node
        The network's input; first in `nodes`, even if nothing reads it.
    output : Node
    nodes : list of Node
        In the order of the calls.
    readers : dict of Node to list of Node
        The nodes that read each node, in order; twice if they read it twice.
    kept : list of Node
        Nodes whose values are wanted besides the output's; fusion keeps them.

    Fusion changes a graph in place (:meth:`replace`).
    """

    def __init__(self, source: Node, output: Node, order: Iterable[Node], kept: Iterable[Node] = ()) -> None:
        self.source, self.output, self.kept = source, output, list(kept)
        needed, stack = {id(source), id(output), *map(id, self.kept)}, [output, *self.kept]
        while stack:
            for node in stack.pop().inputs:
                if node is not None and id(node) not in needed:
                    needed.add(id(node))
                    stack.append(node)
        self.nodes = [node for node in order if id(node) in needed]
        self.readers: dict[Node, list[Node]] = {node: [] for node in self.nodes}
        for node in self.nodes:
            for other in node.inputs:
                if other is not None:
                    self.readers[other].append(node)

    def only_reader(self, node: Node) -> Node | None:
        """The one node that reads `node`, unless there are several or its value is wanted."""
        readers, wanted = self.readers[node], any(node is other for other in (self.output, *self.kept))
        return readers[0] if len(readers) == 1 and not wanted else None

    def replace(self, node: Node, new: Node, *absorbed: Node) -> None:
        """Replace `node` by `new`, and remove `absorbed`, which only `node` reads and `new` includes."""
        gone, kept = {node, *absorbed}, set(new.inputs)
        for other in kept:
            if other is not None:
                readers = [new if reader in gone else reader for reader in self.readers[other]]
                self.readers[other] = readers
        self.readers[new] = self.readers[node]
        for reader in self.readers[node]:
            reader.inputs = tuple(new if other is node else other for other in reader.inputs)
        for old in gone:
            for other in set(old.inputs):
                if other is not None and other not in gone and other not in kept:
                    self.readers[other] = [reader for reader in self.readers[other] if reader is not old]
            del self.readers[old]
        self.nodes = [new if other is node else other for other in self.nodes if other is node or other not in gone]
        self.output = new if self.output is node else self.output
        self.kept = [new if other is node else other for other in self.kept]

    def copy(self, batch: int, values: Mapping[Any, Any] | None = None) -> Graph:
        """The same graph for `batch` images; `values` replaces sources (parameters by copies of their arrays)."""
        new: dict[Node, Node] = {}
        for node in self.nodes:
            if node.op is None:
                given = node is self.source
                shape = (batch, *node.shape[1:]) if given else node.shape
                source = node.source if given or values is None else values[node]
                new[node] = Node(None, (), {}, shape, node.dtype, source)
                continue
            attributes = {name: _of_batch(value, batch) for name, value in node.attributes.items()}
            inputs = [None if other is None else new[other] for other in node.inputs]
            new[node] = Node(node.op, inputs, attributes, (batch, *node.shape[1:]), node.dtype, layers=node.layers)
        return Graph(new[self.source], new[self.output], new.values(), [new[node] for node in self.kept])


def _of_batch(value: Any, batch: int) -> Any:
    """An attribute adapted to another number of images, on which geometries depend."""
    return value.of_batch(batch) if hasattr(value, "of_batch") else value
