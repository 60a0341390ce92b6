"""Initial values of weights.  An initializer is a function of (rng, shape) that returns a float32 array.

Values are drawn in float32 by NumPy for every dtype and backend, so that one seed always gives the same model.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from fastnet.arguments import integer
from fastnet.types import Array, DType, DTypeLike, Generator, Initializer, Seed, Shape

__all__ = [
    "kaiming_normal",
    "kaiming_uniform",
    "xavier_normal",
    "xavier_uniform",
    "lecun_normal",
    "lecun_uniform",
    "variance_scaling",
    "normal",
    "uniform",
    "constant",
    "zeros",
    "ones",
    "fans",
    "generator",
    "resolve",
]


def generator(seed: Seed) -> Generator:
    """A NumPy Generator from an integer seed, a SeedSequence or a Generator (which is returned as it is)."""
    if seed is None:
        raise TypeError("seed must be an integer or a numpy Generator, got None: results would not be reproducible")
    if not isinstance(seed, (Generator, np.random.SeedSequence)):
        seed = integer(seed, "seed", 0, 128)
    return np.random.default_rng(seed)


def fans(shape: Shape) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (out, in) or (K, C // groups, R, S).

    fan_in is the number of inputs to one output, fan_out the number of outputs that one input reaches.
    """
    if len(shape) < 2:
        raise ValueError(f"initializer: fan-in needs a weight with at least 2 axes, got shape {tuple(shape)}")
    taps = math.prod(shape[2:])
    return shape[1] * taps, shape[0] * taps


def normal(rng: Generator, shape: Shape, std: float = 0.01) -> Array:
    """Normal, of mean 0 and standard deviation `std`."""
    values = rng.standard_normal(shape, dtype=np.float32)
    values *= np.float32(std)
    return values


def uniform(rng: Generator, shape: Shape, limit: float = 0.01) -> Array:
    """Uniform in [-limit, limit)."""
    values = rng.random(shape, dtype=np.float32)
    values -= np.float32(0.5)
    values *= np.float32(2 * limit)
    return values


def variance_scaling(
    rng: Generator,
    shape: Shape,
    scale: float = 1.0,
    mode: Literal["fan_in", "fan_out", "fan_avg"] = "fan_in",
    distribution: Literal["normal", "uniform"] = "normal",
) -> Array:
    """Mean 0 and variance ``scale / fan``, the family that the functions below are members of.

    ``functools.partial(variance_scaling, scale=2, mode="fan_out")`` is an initializer too.

    Parameters
    ----------
    rng : Generator
    shape : tuple of int
        Of a weight; see `fans`.
    scale : float
        1 keeps the variance through a linear layer, 2 through one and a ReLU.
    mode : "fan_in", "fan_out" or "fan_avg"
        fan_in keeps the variance of activations, fan_out that of gradients; fan_avg, their mean, is the compromise.
    distribution : "normal" or "uniform"
        Normal, std sqrt(scale/fan), or uniform within +-sqrt(3*scale/fan), which has the same variance.

    Raises
    ------
    ValueError
        An unknown mode or distribution, a weight of less than 2 axes.
    """
    fan_in, fan_out = fans(shape)
    choices = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    if mode not in choices:
        raise ValueError(f"variance_scaling: mode must be one of {sorted(choices)}, got {mode!r}")
    variance = scale / max(choices[mode], 1)
    if distribution == "normal":
        return normal(rng, shape, math.sqrt(variance))
    if distribution == "uniform":
        return uniform(rng, shape, math.sqrt(3 * variance))
    raise ValueError(f"variance_scaling: distribution must be 'normal' or 'uniform', got {distribution!r}")


def kaiming_normal(rng: Generator, shape: Shape) -> Array:
    """Normal, std sqrt(2 / fan_in), for layers before a ReLU; the default (He et al. 2015, arXiv:1502.01852)."""
    return variance_scaling(rng, shape, 2.0)


def kaiming_uniform(rng: Generator, shape: Shape) -> Array:
    """Uniform within +-sqrt(6 / fan_in), for layers before a ReLU (He et al. 2015, arXiv:1502.01852)."""
    return variance_scaling(rng, shape, 2.0, distribution="uniform")


def xavier_normal(rng: Generator, shape: Shape) -> Array:
    """Normal, std sqrt(2 / (fan_in + fan_out)), for tanh and sigmoid.

    Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010: Xavier is
    Glorot's first name.  Some lectures, CS231n's among them, give the name to `lecun_normal`.
    """
    return variance_scaling(rng, shape, mode="fan_avg")


def xavier_uniform(rng: Generator, shape: Shape) -> Array:
    """Uniform within +-sqrt(6 / (fan_in + fan_out)), for tanh and sigmoid (Glorot & Bengio 2010)."""
    return variance_scaling(rng, shape, mode="fan_avg", distribution="uniform")


def lecun_normal(rng: Generator, shape: Shape) -> Array:
    """Normal, std sqrt(1 / fan_in), for SELU or no activation; the CS231n lectures call it Xavier.

    LeCun, Bottou, Orr & Müller, "Efficient BackProp", 1998.
    """
    return variance_scaling(rng, shape)


def lecun_uniform(rng: Generator, shape: Shape) -> Array:
    """Uniform within +-sqrt(3 / fan_in) (LeCun, Bottou, Orr & Müller, "Efficient BackProp", 1998)."""
    return variance_scaling(rng, shape, distribution="uniform")


def constant(rng: Generator, shape: Shape, value: float = 0.0) -> Array:
    """Every element `value`; draws nothing from `rng`."""
    return np.full(shape, value, np.float32)


def zeros(rng: Generator, shape: Shape) -> Array:
    """Every element 0."""
    return constant(rng, shape, 0.0)


def ones(rng: Generator, shape: Shape) -> Array:
    """Every element 1."""
    return constant(rng, shape, 1.0)


_NAMED: dict[str, Initializer] = {
    function.__name__: function
    for function in (
        *(kaiming_normal, kaiming_uniform, xavier_normal, xavier_uniform, lecun_normal, lecun_uniform),
        *(normal, uniform, constant, zeros, ones),
    )
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
