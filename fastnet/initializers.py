"""Initial values of weights.  An initializer is a function of (rng, shape) that returns a float32 array.

Numbers are drawn in float32 by NumPy whatever the model's dtype and backend: one seed, one model.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

__all__ = ["kaiming", "xavier", "glorot", "normal", "constant", "zeros", "fans", "generator", "resolve"]

Initializer = Callable[["np.random.Generator", tuple[int, ...]], np.ndarray]


def generator(seed) -> np.random.Generator:
    """A NumPy Generator from an integer seed, a SeedSequence or a Generator (which is returned as it is)."""
    if seed is None:
        raise TypeError("seed must be an integer or a numpy Generator, got None: results would not be reproducible")
    return np.random.default_rng(seed)


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (out, in) or (K, C // groups, R, S).

    fan_in is the number of inputs that one output sums over.
    """
    if len(shape) < 2:
        raise ValueError(f"initializer: fan-in needs a weight with at least 2 axes, got shape {tuple(shape)}")
    taps = math.prod(shape[2:])
    return shape[1] * taps, shape[0] * taps


def normal(rng: np.random.Generator, shape: tuple[int, ...], std: float = 0.01) -> np.ndarray:
    """Normal numbers of mean 0 and standard deviation `std`."""
    values = rng.standard_normal(shape, dtype=np.float32)
    values *= np.float32(std)
    return values


def kaiming(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Normal, standard deviation sqrt(2 / fan_in), for layers before a ReLU (He et al. 2015, arXiv:1502.01852)."""
    return normal(rng, shape, math.sqrt(2.0 / max(fans(shape)[0], 1)))


def xavier(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Normal, standard deviation sqrt(1 / fan_in), the CS231n lectures' form: keeps the variance going forward."""
    return normal(rng, shape, math.sqrt(1.0 / max(fans(shape)[0], 1)))


def glorot(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Normal, standard deviation sqrt(2 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""
    return normal(rng, shape, math.sqrt(2.0 / max(sum(fans(shape)), 1)))


def constant(rng: np.random.Generator, shape: tuple[int, ...], value: float = 0.0) -> np.ndarray:
    """Every element `value`; draws nothing from `rng`."""
    return np.full(shape, value, np.float32)


def zeros(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Every element 0."""
    return constant(rng, shape, 0.0)


def ones(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Every element 1."""
    return constant(rng, shape, 1.0)


_NAMED = {function.__name__: function for function in (kaiming, xavier, glorot, normal, constant, zeros, ones)}


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


def draw(initializer: str | Initializer, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Call an initializer and check what it returns."""
    values = np.asarray(resolve(initializer)(rng, shape))
    if values.shape != tuple(shape):
        raise ValueError(f"initializer {initializer!r} returned shape {values.shape}, the weight has {tuple(shape)}")
    return values


def float_dtype(dtype) -> np.dtype:
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
