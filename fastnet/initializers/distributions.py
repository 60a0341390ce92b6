"""Initializers that draw every element alone: normal, uniform, constant.

An initializer is a function of (rng, shape) that returns an array.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from fastnet.arguments import real
from fastnet.types import Array, Generator, Shape

__all__ = [
    "constant",
    "fans",
    "gain",
    "kaiming_normal",
    "kaiming_uniform",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "ones",
    "uniform",
    "variance_scaling",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]

Mode = Literal["fan_in", "fan_out", "fan_avg"]

_SQUARED_GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 25 / 9, "relu": 2.0, "selu": 9 / 16}


def fans(shape: Shape) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (out, in) or (K, C // groups, R, S).

    fan_in is the number of inputs to one output, fan_out the number of outputs that one input reaches.
    """
    if len(shape) < 2:
        raise ValueError(f"initializer: fan-in needs a weight with at least 2 axes, got shape {tuple(shape)}")
    taps = math.prod(shape[2:])
    return shape[1] * taps, shape[0] * taps


def gain(nonlinearity: str, negative_slope: float = 0.01) -> float:
    """The factor by which a layer before this activation is scaled (PyTorch's ``calculate_gain``).

    linear and sigmoid 1, tanh 5/3, relu sqrt(2), leaky_relu sqrt(2 / (1 + negative_slope**2)), selu 3/4.  With it,
    the variance of what follows a ReLU stays 1 (He et al. 2015); for tanh and SELU it is a rule of thumb.

    Raises
    ------
    ValueError
        Another activation.
    """
    return math.sqrt(_squared_gain(nonlinearity, negative_slope))


def _squared_gain(nonlinearity: str, negative_slope: float) -> float:
    if nonlinearity == "leaky_relu":
        return 2 / (1 + real(negative_slope, "gain: negative_slope") ** 2)
    if nonlinearity not in _SQUARED_GAINS:
        known = sorted([*_SQUARED_GAINS, "leaky_relu"])
        raise ValueError(f"gain: nonlinearity must be one of {known}, got {nonlinearity!r}")
    return _SQUARED_GAINS[nonlinearity]


def fan(shape: Shape, mode: Mode, name: str) -> float:
    """The fan that `mode` chooses; a ValueError, which begins with `name`, for another mode."""
    fan_in, fan_out = fans(shape)
    choices = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    if mode not in choices:
        raise ValueError(f"{name}: mode must be one of {sorted(choices)}, got {mode!r}")
    return max(choices[mode], 1)


def normal(rng: Generator, shape: Shape, std: float = 0.01) -> Array:
    """Normal, of mean 0 and standard deviation `std`: with 0.01 the small random numbers of the CS231n lectures."""
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
    mode: Mode = "fan_in",
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
    variance = scale / fan(shape, mode, "variance_scaling")
    if distribution == "normal":
        return normal(rng, shape, math.sqrt(variance))
    if distribution == "uniform":
        return uniform(rng, shape, math.sqrt(3 * variance))
    raise ValueError(f"variance_scaling: distribution must be 'normal' or 'uniform', got {distribution!r}")


def kaiming_normal(
    rng: Generator, shape: Shape, mode: Mode = "fan_in", nonlinearity: str = "relu", negative_slope: float = 0.0
) -> Array:
    """Normal, std gain / sqrt(fan); the default, sqrt(2 / fan_in), is for layers before a ReLU.

    He et al. 2015, arXiv:1502.01852.  `nonlinearity` and `negative_slope` choose the `gain`.
    """
    return variance_scaling(rng, shape, _squared_gain(nonlinearity, negative_slope), mode)


def kaiming_uniform(
    rng: Generator, shape: Shape, mode: Mode = "fan_in", nonlinearity: str = "relu", negative_slope: float = 0.0
) -> Array:
    """Uniform within +-gain * sqrt(3 / fan), +-sqrt(6 / fan_in) by default (He et al. 2015, arXiv:1502.01852)."""
    return variance_scaling(rng, shape, _squared_gain(nonlinearity, negative_slope), mode, "uniform")


def xavier_normal(rng: Generator, shape: Shape, gain: float = 1.0) -> Array:
    """Normal, std gain * sqrt(2 / (fan_in + fan_out)), for tanh and sigmoid.

    Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010: Xavier is
    Glorot's first name.  Some lectures, CS231n's among them, give the name to `lecun_normal`.
    """
    return variance_scaling(rng, shape, gain**2, mode="fan_avg")


def xavier_uniform(rng: Generator, shape: Shape, gain: float = 1.0) -> Array:
    """Uniform within +-gain * sqrt(6 / (fan_in + fan_out)), for tanh and sigmoid (Glorot & Bengio 2010)."""
    return variance_scaling(rng, shape, gain**2, mode="fan_avg", distribution="uniform")


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
