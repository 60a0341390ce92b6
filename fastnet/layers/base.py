"""Layer: what every layer can do, whatever it computes.

A subclass writes two methods: ``setup``, which infers shapes and makes parameters, and ``run``, which computes.
Everything else (casting at the door, names, files, freezing, prediction, summaries) is here and in the mixins.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Self

from fastnet import initializers
from fastnet.backends import Ops, current
from fastnet.layers.parameter import Parameter
from fastnet.layers.prediction import Prediction
from fastnet.layers.state import State
from fastnet.layers.tracing import step, trace
from fastnet.types import Array, ArrayLike, Backward, DType, DTypeLike, Generator, Initializer, Seed, Shape

__all__ = ["Layer", "Parameter", "trace"]


def count(value: Any, name: str) -> int:
    """A positive integer, or an error that says which argument is wrong."""
    try:
        number = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if not 1 <= number < 2**31:
        raise ValueError(f"{name} must be an integer between 1 and 2**31 - 1, got {value!r}")
    return number


class Layer(State, Prediction):
    """A function of one array with parameters, that knows its own gradient.

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
        One for each place of the layer in the model that was built last around it.
    path : str
        Where the layer sits in the model that was built last around it ("1.body.0").
    own : dict of str to Parameter
        The layer's own parameters, not its children's.
    """

    built = False
    input_shape: Shape | Any = None  # these three are None until built
    output_shape: Shape | Any = None
    dtype: DType | Any = None
    macs = 0
    uses: Sequence[tuple[Shape, int]] = ()
    path = ""
    traced = True  # whether trace() reports this layer's own output

    _arguments: tuple[tuple[Any, ...], dict[str, Any]]
    own: dict[str, Parameter]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        layer = super().__new__(cls)
        layer._arguments = args, kwargs  # what repr shows
        layer.own = {}
        return layer

    def __init__(self) -> None:
        pass

    # ---------------------------------------------------------------- what a subclass writes

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        """Check the input shape (without N), make parameters with :meth:`parameter`, return the output shape."""
        return shape

    def run(self, x: Array, training: bool, ops: Ops) -> tuple[Array, Callable[..., Any]]:
        """Compute ``(y, backward)``; x has the model's dtype and belongs to the backend `ops`.

        ``backward(dy, input_gradient=True)`` accumulates the gradients of parameters that require one and returns dx,
        or None without `input_gradient`.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define run(x, training, ops)")

    def infer(self, x: Array, ops: Ops, **options: Any) -> Array:
        """``run`` for inference, keeping nothing for a backward pass."""
        return step(self, x, False, ops, **options)[0]

    def children(self) -> dict[str, Layer]:
        """Child layers by name.  A name that starts with "_" is left out of the parameters' names."""
        return {}

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
        """Make ``self.<name>``, or keep it where it exists with this shape (a layer may be built again)."""
        ops, existing = current(), self.own.get(name)
        if existing is None:
            value = ops.xp.asarray(initializers.draw(initializer, rng, shape), dtype, order="C")
            self.own[name] = Parameter(value, name, decay=decay, buffer=buffer)
            setattr(self, name, self.own[name])
        elif existing.shape != tuple(shape):
            raise ValueError(
                f"{type(self).__name__}: built with {name} of shape {existing.shape}, this input needs {tuple(shape)}"
            )
        elif existing.dtype != dtype:
            existing.value, existing.grad = ops.xp.asarray(existing.value, dtype, order="C"), None
        return self.own[name]

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
            A layer that cannot take its input; the message names it.
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

    def _name(self, path: str, seen: set[int]) -> None:
        if id(self) in seen:
            return
        seen.add(id(self))
        self.path = path
        for name, child in self.children().items():
            child._name(join(path, name), seen)

    def leaves(self) -> list[Layer]:
        """The layers without children, in order, each once."""
        return [layer for _, layer in self.named_layers() if not layer.children()]

    def named_layers(self) -> list[tuple[str, Layer]]:
        """(path, layer) of this layer and all below, each layer once, parents first; the path starts here."""
        found: list[tuple[str, Layer]] = []
        seen: set[int] = set()

        def visit(path: str, layer: Layer) -> None:
            if id(layer) not in seen:
                seen.add(id(layer))
                found.append((path, layer))
                for name, child in layer.children().items():
                    visit(join(path, name), child)

        visit("", self)
        return found

    def trains(self) -> bool:
        """Whether any parameter in here requires a gradient."""
        if any(parameter.requires_grad for parameter in self.own.values()):
            return True
        return any(child.trains() for child in self.children().values())

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
            `input_gradient`, which saves its computation).  Call it once: containers let go of activations on the way.
        """
        ops = current()
        x = self._enter(x, ops)
        y, inner = step(self, x, training, ops)
        shape, dtype = y.shape, self.dtype

        def backward(dy: ArrayLike, input_gradient: bool = True) -> Any:
            dy = ops.asarray(dy, dtype)
            if dy.shape != shape:
                raise ValueError(f"backward: dy must have the output's shape {tuple(shape)}, got {tuple(dy.shape)}")
            return inner(dy, input_gradient)

        return y, backward

    def __call__(self, x: ArrayLike) -> Array:
        """Inference: y alone."""
        ops = current()
        return self.infer(self._enter(x, ops), ops)

    def _enter(self, x: Any, ops: Ops) -> Array:
        if getattr(x, "dtype", None) != self.dtype or not self.built:
            x = self._cast(x, ops)
        return ops.asarray(x, self.dtype)

    def _cast(self, x: Any, ops: Ops) -> Any:
        given = getattr(x, "dtype", None)
        if given is not None and given.kind not in "fiub":
            raise TypeError(f"{type(self).__name__}: x must hold real numbers, got dtype {given}")
        if not self.built:
            self.build(x.shape[1:] if given is not None else ops.asarray(x).shape[1:])
        if given == "float64" and self.dtype == "float32" and not getattr(self, "_warned", False):
            self._warned = True
            message = "x is float64 and the model float32: x is cast; give float32, or build(..., dtype='float64')"
            warnings.warn(message, stacklevel=4)
        return x

    def __repr__(self) -> str:
        args, kwargs = self._arguments
        words = [repr(value) for value in args] + [f"{name}={value!r}" for name, value in kwargs.items()]
        return f"{type(self).__name__}({', '.join(words)})"


def join(path: str, name: str) -> str:
    """The path of child `name`; names that start with "_" leave no trace."""
    if name.startswith("_"):
        return path
    return f"{path}.{name}" if path else name
