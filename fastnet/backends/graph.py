"""A network as a graph of ops: what layers call on ops, written down instead of computed."""

from __future__ import annotations

import math
from collections.abc import Callable

from fastnet.backends.checks import check_joinable, check_shape, one_dtype
from fastnet.backends.reference import Ops

__all__ = ["Graph", "Node", "Unrecordable", "record"]


class Unrecordable(TypeError):
    """A layer does something else with an array than to hand it to ops."""


class Node:
    """An op of the contract on described arrays; stands for its result, as layers see it.

    Attributes
    ----------
    op : str
        A method of Ops; "input" for the network's input.
    inputs : list of Node
    arguments : dict
        The op's other arguments by name, arrays among them as they are.
    shape : tuple of int
        For a batch of one image.
    dtype : numpy dtype
    """

    __slots__ = ("arguments", "dtype", "inputs", "op", "shape")

    def __init__(self, op: str, inputs: list[Node], shape, dtype, **arguments):
        self.op, self.inputs, self.arguments, self.shape, self.dtype = op, inputs, arguments, tuple(shape), dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def __getattr__(self, name):
        raise Unrecordable(
            f"compile: a layer uses {name} of an array that is only described, (N, *{self.shape[1:]}); layers can be "
            "compiled whose run and infer call nothing but ops on their arrays"
        )


def _refuse(name):
    return lambda self, *_, **__: Node.__getattr__(self, name)


_ARITHMETIC = "add radd sub rsub mul rmul matmul rmatmul truediv rtruediv pow rpow neg abs lt le gt ge eq ne bool"
_ACCESS = "getitem setitem len iter float int array array_ufunc array_function"
for _name in f"{_ARITHMETIC} {_ACCESS}".split():
    setattr(Node, f"__{_name}__", _refuse(f"__{_name}__"))
Node.__hash__ = object.__hash__


class Graph:
    """The nodes that a network's output depends on, in order; the input comes first, even where nothing needs it."""

    def __init__(self, source: Node, output: Node):
        self.source, self.output = source, output
        self.nodes, self.uses = [source], {id(source): 0}
        stack = [(output, iter(output.inputs))] if output is not source else []
        self.uses.setdefault(id(output), 0)
        while stack:
            node, inputs = stack[-1]
            for child in inputs:
                first = id(child) not in self.uses
                self.uses[id(child)] = self.uses.get(id(child), 0) + 1
                if first:
                    stack.append((child, iter(child.inputs)))
                    break
            else:
                self.nodes.append(stack.pop()[0])

    def only_use(self, node: Node) -> bool:
        """Whether one place reads the node's value, and it is not the output."""
        return self.uses[id(node)] == 1 and node is not self.output


def record(function: Callable, shape, dtype) -> Graph:
    """Write down what ``function(x, ops)`` calls for x of `shape`, a batch of one.

    Raises
    ------
    Unrecordable
        The function does something else with an array than to hand it to ops that infer.
    """
    source = Node("input", [], shape, dtype)
    return Graph(source, function(source, Recorder()))


class Recorder(Ops):
    """Ops that compute nothing: forward ops return ``(node, None)``."""

    name = "recorder"

    def _same(self, op, x, **arguments):
        return Node(op, [x], x.shape, x.dtype, **arguments), None

    def linear(self, x, w, b, relu=False):
        one_dtype("linear", x=x, weight=w, bias=b)
        if x.ndim != 2 or w.ndim != 2 or x.shape[1] != w.shape[1]:
            raise ValueError(f"linear: x must be (N, in) and weight (out, in), got {x.shape} and {tuple(w.shape)}")
        return self._rectified(Node("linear", [x], (x.shape[0], w.shape[0]), x.dtype, w=w, b=b), relu)

    def conv2d(self, x, w, b, geometry, relu=False):
        one_dtype("conv2d", x=x, weight=w, bias=b)
        check_shape("conv2d", "x", x, geometry.x_shape)
        return self._rectified(Node("conv2d", [x], geometry.y_shape, x.dtype, w=w, b=b, geometry=geometry), relu)

    def conv2d_scaled(self, x, w, geometry, scale, shift, add=None, relu=False):
        y, _ = self.conv2d(x, w * scale[:, None, None, None], shift, geometry)
        return self._rectified(y if add is None else self.add(y, add), relu)[0]

    def max_pool2d(self, x, geometry, relu=False):
        check_shape("max_pool2d", "x", x, geometry.x_shape)
        return self._rectified(Node("max_pool2d", [x], geometry.y_shape, x.dtype, geometry=geometry), relu)

    def avg_pool2d(self, x, geometry):
        check_shape("avg_pool2d", "x", x, geometry.x_shape)
        return Node("avg_pool2d", [x], geometry.y_shape, x.dtype, geometry=geometry), None

    def global_avg_pool2d(self, x):
        if x.ndim != 4:
            raise ValueError(f"global_avg_pool2d: x must have shape (N, C, H, W), got {x.shape}")
        return Node("global_avg_pool2d", [x], (*x.shape[:2], 1, 1), x.dtype), None

    def batch_norm(self, x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
        one_dtype("batch_norm", x=x, gamma=gamma, beta=beta, running_mean=running_mean, running_var=running_var)
        if not training:
            self._check_batch_norm(x, gamma, beta, running_mean, running_var, False)
        elif running_mean is not None:
            raise Unrecordable("compile: a batch norm updates its running statistics; only inference can be compiled")
        statistics = {"running_mean": running_mean, "running_var": running_var}
        return self._same("batch_norm", x, gamma=gamma, beta=beta, **statistics, training=training, eps=eps)

    def batch_norm_relu(self, x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5, add=None):
        y, _ = self.batch_norm(x, gamma, beta, running_mean, running_var, training, momentum, eps)
        return self.relu(y if add is None else self.add(y, add))

    def relu(self, x):
        return self._same("relu", x)

    def _rectified(self, y, relu):
        return self.relu(y) if relu else (y, None)

    def leaky_relu(self, x, slope=0.01):
        return self._same("leaky_relu", x, slope=slope)

    def sigmoid(self, x):
        return self._same("sigmoid", x)

    def tanh(self, x):
        return self._same("tanh", x)

    def add(self, a, b):
        one_dtype("add", a=a, b=b)
        check_shape("add", "b", b, a.shape)
        return Node("add", [a, b], a.shape, a.dtype)

    def concat(self, arrays):
        first = arrays[0]
        one_dtype("concat", **{f"x{i}": x for i, x in enumerate(arrays)})
        check_joinable("concat", first)
        for x in arrays[1:]:
            check_shape("concat", "x", x, (first.shape[0], x.shape[1], *first.shape[2:]))
        channels = sum(x.shape[1] for x in arrays)
        return Node("concat", list(arrays), (first.shape[0], channels, *first.shape[2:]), first.dtype)

    def flatten(self, x):
        return Node("flatten", [x], (x.shape[0], math.prod(x.shape[1:])), x.dtype)

    def subsample(self, x, stride, channels):
        N, C, H, W = x.shape
        if channels < C:
            raise ValueError(f"subsample: {channels} channels asked for, x already has {C}")
        shape = N, channels, -(-H // stride), -(-W // stride)
        return Node("subsample", [x], shape, x.dtype, stride=stride, channels=channels), None
