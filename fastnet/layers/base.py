"""Layer: what all layers have in common.

A subclass defines two methods: ``setup``, which infers shapes and makes parameters, and ``call``, which calls ops.
These calls are recorded as a graph, fused, differentiated and run (fastnet/graph).  A layer that computes in NumPy,
and its gradient too, defines ``run`` in place of ``call``; it becomes one node of the graph.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Self

from fastnet import initializers
from fastnet.arguments import flag, integer
from fastnet.arrays import as_array
from fastnet.backends import Ops, current
from fastnet.graph import Node, Program, Recorder
from fastnet.layers.parameter import Parameter
from fastnet.layers.programs import Programs
from fastnet.layers.state import State
from fastnet.layers.tracing import trace
from fastnet.layers.tree import Tree
from fastnet.layers.version import changed
from fastnet.types import Array, ArrayLike, Backward, DType, DTypeLike, Generator, Initializer, Seed, Shape

__all__ = ["Layer", "Parameter", "trace"]


def count(value: Any, name: str) -> int:
    """A positive integer, or an error that says which argument is wrong."""
    return integer(value, name)


class Layer(Tree, State, Programs):
    """A differentiable function of one array, with parameters.

    Attributes
    ----------
    built : bool
        Whether shapes are known and parameters exist.
    input_shape, output_shape : tuple of int
        Without the batch axis, as last built.
    dtype : numpy dtype
        Of the parameters; inputs are cast to it.
    macs : int
        Multiply-accumulates for one image, as last built.
    uses : list of (output shape, macs)
        One for each use of the layer in the model that was last built with it.
    path : str
        Where the layer is in the model that was last built with it ("1.body.0").
    own : dict of str to Parameter
        The layer's own parameters, not its children's.
    """

    built = False
    input_shape: Shape | Any = None  # these three are None until built
    output_shape: Shape | Any = None
    dtype: DType | Any = None
    macs = 0
    uses: Sequence[tuple[Shape, int]] = ()
    frozen = False  # set by ``freeze`` on a layer with buffers: it must use them and leave them as they are

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.opaque = cls.run is not Layer.run  # then the graph has one node for the layer

    _arguments: tuple[tuple[Any, ...], dict[str, Any]]
    own: dict[str, Parameter]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        layer = super().__new__(cls)
        layer._arguments = args, kwargs  # the arguments shown by repr
        layer.own = {}
        return layer

    def __init__(self) -> None:
        pass

    # ---------------------------------------------------------------- what a subclass defines

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        """Check the input shape (without N), make parameters with :meth:`parameter`, return the output shape.

        It runs again when the layer is built again, and for images of another size, then with rng None: parameters
        exist by then.
        """
        return shape

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        """Return y, computed from x by ops alone: ``ops.relu(ops.conv2d(x, self.weight, self.bias, geometry))``.

        x is symbolic: it has a shape and a dtype but no values, and only ops accept it.  `ops` has a
        method for each op of ``fastnet.ops.REGISTRY``, and ``ops.layer(child, x, training)`` for a child layer.
        Parameters are passed as they are.  Gradients follow from the ops; one without a gradient (``im2col``) serves
        for inference only.

        It is called when a shape comes for the first time, and again after an attribute of any layer was assigned, not
        at every step: what it reads must be attributes, and what it assigns is recorded only then.
        """
        raise NotImplementedError(
            f"{type(self).__name__} defines neither call(x, training, ops) nor run(x, training, ops)"
        )

    def run(self, x: Array, training: bool, ops: Ops) -> tuple[Array, Callable[..., Any]]:
        """Compute ``(y, backward)``; x has the model's dtype, belongs to the backend `ops` and is read-only.

        A layer that overrides this computes its own gradient: ``backward(dy, input_gradient=True)`` accumulates the
        gradients of parameters that require one and returns dx, or None without `input_gradient`.  Ops with a gradient
        return ``(y, saved)`` here.
        """
        if isinstance(x, Node):  # a layer whose `run` calls this one is being compiled
            y: Any = self.call(x, training, ops.plain)
            backward: Any = None  # gradients follow from the graph
            return y, backward
        return self._program(x, training, ops, gradients=True, whole=False).forward(x)

    def infer(self, x: Array, ops: Ops) -> Array:
        """y alone, for inference; saves nothing for a backward pass."""
        if self.opaque or isinstance(x, Node):
            return self.run(x, False, ops)[0]
        y: Array = self._program(x, False, ops, gradients=False, whole=False).infer(x)
        return y

    def parameter(
        self,
        name: str,
        shape: Shape,
        initializer: str | Initializer,
        rng: Generator,
        dtype: DType,
        decay: bool = True,
        buffer: bool = False,
    ) -> Parameter:
        """Create ``self.<name>``, or keep it if it exists with this shape (a layer may be built again)."""
        ops, existing = current(), self.own.get(name)
        if existing is None:
            value = ops.xp.array(initializers.draw(initializer, rng, shape), dtype, order="C")
            self.own[name] = Parameter(value, name, decay=decay, buffer=buffer)
            setattr(self, name, self.own[name])
            changed()
        elif existing.shape != tuple(shape):
            raise ValueError(
                f"{type(self).__name__}: built with {name} of shape {existing.shape}, this input needs {tuple(shape)}"
            )
        elif existing.dtype != dtype:
            existing.value, existing.grad = ops.xp.array(as_array(existing.value), dtype, order="C"), None
        return self.own[name]

    def shape_of(self, input_shape: Shape) -> Shape:
        """The output shape for an input shape, both without the batch axis."""
        if input_shape == self.input_shape:
            return self.output_shape
        kept = [(layer, dict(layer.__dict__)) for _, layer in self.named_layers()]
        try:
            unused: Any = None  # no parameter is drawn
            return tuple(self.setup(input_shape, unused, self.dtype))
        finally:
            for layer, attributes in kept:
                layer.__dict__.update(attributes)

    # ---------------------------------------------------------------- building

    def build(self, input_shape: Sequence[int], seed: Seed = 0, dtype: DTypeLike | None = None) -> Shape:
        """Infer all shapes and make the parameters that do not exist yet.

        Parameters
        ----------
        input_shape : tuple of int
            Of one example, without the batch axis: (3, 32, 32).
        seed : int or numpy Generator
            The same seed gives the same weights, whatever the backend and dtype.
        dtype : "float32" or "float64", optional
            Default: the dtype the layer has, else float32.

        Returns
        -------
        tuple of int
            The output shape, without the batch axis.

        Raises
        ------
        ValueError, TypeError
            If a layer cannot take its input; the message names the layer.
        """
        try:
            shape = tuple(operator.index(size) for size in input_shape)
        except TypeError:
            raise TypeError(f"build: input_shape must be a tuple like (3, 32, 32), got {input_shape!r}") from None
        if not shape or min(shape) < 1:
            raise ValueError(f"build: input_shape must have sizes >= 1 and no batch axis, got {shape}")
        if dtype is None:
            dtype = next((leaf.dtype for leaf in self.leaves() if leaf.built), "float32")
        self._name("", set())
        for _, layer in self.named_layers():
            layer.uses = []
        return self.place(shape, initializers.generator(seed), initializers.float_dtype(dtype))

    def place(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        """Set up this layer inside a model; errors name the layer."""
        try:
            output_shape = tuple(self.setup(shape, rng, dtype))
        except (TypeError, ValueError) as error:
            if not self.path or "[layer " in str(error):
                raise
            what = type(self).__name__ if self.children() else repr(self)
            raise type(error)(f"{error} [layer {self.path}: {what}, input shape {shape}]") from error
        self.input_shape, self.output_shape, self.dtype, self.built = shape, output_shape, dtype, True
        self.uses = [*self.uses, (output_shape, self.macs)]
        for name, parameter in self.own.items():
            parameter.name = f"{self.path}.{name}" if self.path else name
        return output_shape

    # ---------------------------------------------------------------- running

    def forward(self, x: ArrayLike, training: bool = False) -> tuple[Array, Backward]:
        """Run the layer and return ``(y, backward)``.

        Parameters
        ----------
        x : array, (N, *input_shape)
            Cast to the model's dtype; a layer that is not built is built for it with seed 0.
        training : bool
            Whether dropout drops, and batch norm uses (and tracks) the batch's statistics.

        Returns
        -------
        y : array, (N, *output_shape)
        backward : function
            ``backward(dy, input_gradient=True)`` adds into ``parameter.grad`` and returns dx (None without
            `input_gradient`, which saves its computation).  Call it once: it frees activations as it goes.
        """
        ops, training = current(), flag(training, "forward: training")
        x = self._enter(x, ops)
        y, inner = self._program(x, training, ops, gradients=True).forward(x)
        shape, dtype = tuple(y.shape), self.dtype

        def backward(dy: ArrayLike, input_gradient: bool = True) -> Any:
            gradient = ops.asarray(as_array(dy, "backward: dy"), dtype)
            if gradient.shape != shape:
                raise ValueError(f"backward: dy must have the output's shape {shape}, got {tuple(gradient.shape)}")
            return inner(gradient, input_gradient)

        return y, backward

    def program(self, x: ArrayLike, training: bool = False) -> tuple[Array, Program]:
        """x as the backend reads it, and the program that runs the layer on it, forward and backward."""
        ops = current()
        x = self._enter(x, ops)
        return x, self._program(x, training, ops, gradients=True)

    def __call__(self, x: ArrayLike) -> Array:
        """Inference: y alone."""
        ops = current()
        x = self._enter(x, ops)
        y: Array = self._program(x, False, ops, gradients=False).infer(x)
        return y

    def _enter(self, x: Any, ops: Ops) -> Array:
        if getattr(x, "dtype", None) != self.dtype or not self.built:
            x = self._cast(x, ops)
        entered: Array = ops.asarray(x, self.dtype)
        return entered

    def _cast(self, x: Any, ops: Ops) -> Any:
        weak = isinstance(x, (list, tuple))
        x = as_array(x, f"{type(self).__name__}: x")
        if not self.built:
            self.build(x.shape[1:])
        if x.dtype == "float64" and not weak and self.dtype == "float32" and not getattr(self, "_warned", False):
            self._warned = True
            message = "x is float64 and the model float32: x is cast; give float32, or build(..., dtype='float64')"
            warnings.warn(message, stacklevel=4)
        return x

    def __repr__(self) -> str:
        args, kwargs = self._arguments
        words = [repr(value) for value in args] + [f"{name}={value!r}" for name, value in kwargs.items()]
        return f"{type(self).__name__}({', '.join(words)})"
