"""Initializers by name, and the checks of what they return."""

from __future__ import annotations

import numpy as np

from fastnet.arguments import integer
from fastnet.initializers import distributions, matrices
from fastnet.types import Array, DType, DTypeLike, Generator, Initializer, Seed, Shape

__all__ = ["draw", "float_dtype", "generator", "resolve"]


def generator(seed: Seed) -> Generator:
    """A NumPy Generator from an integer seed, a SeedSequence or a Generator (which is returned as it is)."""
    if seed is None:
        raise TypeError("seed must be an integer or a numpy Generator, got None: results would not be reproducible")
    if not isinstance(seed, (Generator, np.random.SeedSequence)):
        seed = integer(seed, "seed", 0, 128)
    return np.random.default_rng(seed)


_NAMED: dict[str, Initializer] = {
    name: getattr(module, name)
    for module in (distributions, matrices)
    for name in module.__all__
    if name not in ("fans", "gain", "variance_scaling")
}


def resolve(initializer: str | Initializer) -> Initializer:
    """The initializer of that name, or the function itself.

    Raises
    ------
    ValueError
        An unknown name.
    TypeError
        Neither a name nor a function.
    """
    if callable(initializer):
        return initializer
    if not isinstance(initializer, str):
        raise TypeError(f"initializer must be a name or a function of (rng, shape), got {initializer!r}")
    if initializer not in _NAMED:
        raise ValueError(
            f"initializer must be one of {sorted(_NAMED)} or a function of (rng, shape), got {initializer!r}"
        )
    return _NAMED[initializer]


def draw(initializer: str | Initializer, rng: Generator, shape: Shape) -> Array:
    """Call an initializer and check what it returns."""
    values = np.asarray(resolve(initializer)(rng, shape))
    if values.shape != tuple(shape):
        raise ValueError(f"initializer {initializer!r} returned shape {values.shape}, the weight has {tuple(shape)}")
    return values


def float_dtype(dtype: DTypeLike) -> DType:
    """np.dtype of "float32" or "float64".

    Raises
    ------
    TypeError
        Any other dtype.
    """
    result = np.dtype(dtype)
    if result not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise TypeError(f"dtype must be float32 or float64, got {dtype!r}")
    return result
