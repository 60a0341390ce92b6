"""The types that signatures share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

__all__ = [
    "Activation",
    "Array",
    "ArrayLike",
    "Backward",
    "DType",
    "DTypeLike",
    "Generator",
    "Initializer",
    "Loss",
    "Padding",
    "Pair",
    "Preprocess",
    "Seed",
    "Shape",
    "Shaped",
]

Array = NDArray[Any]
"""An array of the current backend; its dtype and number of axes are checked when the program runs."""

DType = np.dtype[Any]

Generator = np.random.Generator

Shape = tuple[int, ...]

Pair = int | tuple[int, int]
"""One number for both axes, or (vertical, horizontal)."""

Padding = int | tuple[int, int] | tuple[int, int, int, int] | str
"""A Pair, (top, bottom, left, right), "same" or "valid"."""


class Shaped(Protocol):
    """An array or a graph's Node; only its shape is read."""

    @property
    def shape(self) -> Shape: ...

    @property
    def ndim(self) -> int: ...


Activation = tuple[str, Mapping[str, float]]
"""A fused activation: the name of an elementwise op, and the values of its attributes."""

Seed = int | np.random.SeedSequence | Generator

Initializer = Callable[[Generator, Shape], Array]

Preprocess = Callable[[Array, DTypeLike], Array]
"""A function of (batch, dtype) that returns the prepared batch in that dtype."""

Loss = Callable[[Array, Array], tuple[float, Array]]
"""A function of (scores, labels) that returns the mean loss and its gradient with respect to the scores."""


class Backward(Protocol):
    """The backward function of ``forward``: accumulates the parameters' gradients and returns dx if requested."""

    @overload
    def __call__(self, dy: ArrayLike, input_gradient: Literal[True] = True) -> Array: ...

    @overload
    def __call__(self, dy: ArrayLike, input_gradient: bool) -> Array | None: ...
