"""Op: a record of everything that fastnet knows about one operation.

Whatever needs a list of the ops (the methods of a backend, recording, gradients, costs, fingerprints, functional, the
contract's tests) loops over ``REGISTRY``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from fastnet.ops.checks import one_dtype
from fastnet.ops.metrics import Metric
from fastnet.types import DType, Shape

__all__ = ["ACTIVATION", "REGISTRY", "REQUIRED", "STATE", "WEIGHT", "Example", "Input", "Op", "register"]

# How kernels read an array: in the backend's memory order; in C order; unconverted, to be updated in place.
# (This ACTIVATION is any array between layers; the attribute ``activation`` of an op is a function, such as a ReLU.)
ACTIVATION, WEIGHT, STATE = "activation", "weight", "state"
REQUIRED = inspect.Parameter.empty  # an attribute without a default


@dataclass(frozen=True)
class Input:
    """An array argument.

    Attributes
    ----------
    name : str
        Of the argument.
    role : "activation", "weight" or "state"
        Decides the memory order in which kernels read it; a state is updated in place.
    optional : bool
        Whether it may be None.
    label : str
        Its name in error messages; default: the name.
    differentiable : bool
        Whether ``backward`` returns a gradient for it.
    variadic : bool
        Whether it is a sequence of arrays, the op's only argument.
    integer : bool
        Whether it holds integers (class numbers); all other arrays of a call have one float dtype.
    """

    name: str
    role: str = ACTIVATION
    optional: bool = False
    label: str = ""
    differentiable: bool = True
    variadic: bool = False
    integer: bool = False


@dataclass(frozen=True)
class Example:
    """Example arguments for fingerprints and for the tests of every op.

    Attributes
    ----------
    shapes : tuple
        The shape of each array argument, in order; None leaves it out.
    attributes : dict
    scale : float
        Arrays are uniform in [-scale, scale).
    positive : tuple of str
        Arrays that must not be negative (variances, sums of squares).
    signs : tuple of str
        Arrays of 1 and -1.
    distribution : str
        An array whose axis 1 holds probabilities; "" for none.
    """

    shapes: tuple[Shape | None, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    scale: float = 1.0
    positive: tuple[str, ...] = ()
    signs: tuple[str, ...] = ()
    distribution: str = ""


@dataclass(frozen=True, eq=False)
class Op:
    """One operation on arrays.

    Attributes
    ----------
    name : str
    inputs : tuple of Input
        The array arguments, which come first.
    attributes : mapping
        The other arguments by name, with their defaults (REQUIRED where there is none).
    shape : function
        ``shape(*arrays, **attributes)`` checks shapes and attributes and returns the result's shape.  It reads only
        ``shape`` and ``ndim``, so a graph's nodes work, too.
    forward : function
        ``forward(xp, *arrays, **attributes)`` in the array library `xp` (NumPy, CuPy).  Returns ``(y, saved)`` where
        there is a gradient, else the result.
    backward : function, optional
        ``backward(xp, dy, saved, needs)`` returns a gradient for each differentiable array argument, or None where
        ``needs`` is False; with only one such argument, the bare gradient.
    recall : function, optional
        ``recall(*arrays, **attributes)`` returns the saved values of `forward`, for ops that save only arguments; it
        allows gradients without a forward pass.
    composed : bool
        Whether it is a fused op: `forward` and `backward` then take an Ops instead of `xp` and call other ops.
    plain : bool
        Whether the gradient needs only shapes from the forward pass; a backend's method then returns y alone.
    accumulates : bool
        Whether ``backward`` accepts ``add=``, a gradient to add to the first array's.
    elementwise : bool
        Whether each element of y is a function of the same element of x; its kernel has its name.
    saves_output : function
        For elementwise ops: ``saves_output(*attributes)``, whether the gradient is a function of y rather than of x.
    activations : tuple of str
        For ops with the attribute ``activation``: the activations that their kernels support.
    in_place : tuple of str
        The array arguments updated in place.
    gradient_role : "activation" or "weight"
        The memory order in which kernels read dy, and in which y lies.
    flops : (float, float)
        For forward and backward, per element of the largest array; `diagnose` has rules for products and windows.
    onnx : str
        The ONNX operator, or "".
    examples : tuple of Example
    metric : Metric, optional
        For losses: what else is reported, beside the loss.
    doc : str
        Formula, shapes, source.
    """

    name: str
    inputs: tuple[Input, ...]
    shape: Callable[..., Shape]
    forward: Callable[..., Any]
    backward: Callable[..., Any] | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    recall: Callable[..., Any] | None = None
    composed: bool = False
    plain: bool = False
    accumulates: bool = False
    elementwise: bool = False
    saves_output: Callable[..., bool] = lambda *_: False
    activations: tuple[str, ...] = ("relu",)
    in_place: tuple[str, ...] = ()
    gradient_role: str = ACTIVATION
    flops: tuple[float, float] = (1.0, 1.0)
    onnx: str = ""
    examples: tuple[Example, ...] = ()
    metric: Metric | None = None
    doc: str = ""

    def check(self, arrays: Sequence[Any], attributes: Mapping[str, Any]) -> tuple[Shape, DType | None]:
        """The result's shape and dtype (None without arrays); TypeError or ValueError if arguments do not fit."""
        if self.variadic:
            named = {f"x{n}": array for n, array in enumerate(arrays)}
        else:
            named = {}
            for i, array in zip(self.inputs, arrays, strict=True):
                if array is None and not i.optional:
                    raise TypeError(f"{self.name}: {i.label or i.name} must be an array, got None")
                if not i.integer:
                    named[i.label or i.name] = array
        dtype = one_dtype(self.name, **named) if named else None
        if attributes.get("activation") is not None:
            self._check_activation(*attributes["activation"])
        return self.shape(*arrays, **attributes), dtype

    def _check_activation(self, name: str, given: Mapping[str, Any]) -> None:
        known = {name: set(REGISTRY[name].attributes) for name in self.activations}
        if known.get(name) != set(given):
            described = " or ".join(f"{name} with {sorted(words)}" if words else name for name, words in known.items())
            raise ValueError(f"{self.name}: activation must be {described}, got {name!r} with {sorted(given)}")

    @property
    def variadic(self) -> bool:
        """Whether the op takes one sequence of arrays."""
        return bool(self.inputs) and self.inputs[0].variadic

    @property
    def differentiable(self) -> tuple[int, ...]:
        """The positions of the array arguments that have gradients."""
        return tuple(n for n, i in enumerate(self.inputs) if i.differentiable)

    @cached_property
    def signature(self) -> inspect.Signature:
        """Array arguments, then attributes, with their defaults."""
        kind, empty = inspect.Parameter.POSITIONAL_OR_KEYWORD, REQUIRED
        # An optional array has the default None unless an argument without a default comes after it.
        words = [(i.name, None if i.optional else empty) for i in self.inputs] + list(self.attributes.items())
        last = max((n for n, (_, default) in enumerate(words) if default is empty), default=-1)
        return inspect.Signature(
            [
                inspect.Parameter(name, kind, default=empty if n < last else default)
                for n, (name, default) in enumerate(words)
            ]
        )


REGISTRY: dict[str, Op] = {}


def register(op: Op) -> Op:
    """Add an op to the registry; ValueError if the name is taken."""
    if op.name in REGISTRY:
        raise ValueError(f"an op named {op.name} already exists")
    REGISTRY[op.name] = op
    return op
