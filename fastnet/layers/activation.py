"""Activations."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastnet import initializers
from fastnet.arguments import flag, integer, real
from fastnet.graph import Node, Recorder
from fastnet.layers.base import Layer, Parameter
from fastnet.types import DType, Generator, Shape

__all__ = [
    "ELU",
    "GELU",
    "Hardsigmoid",
    "Hardswish",
    "LeakyReLU",
    "Maxout",
    "PReLU",
    "ReLU",
    "ReLU6",
    "SELU",
    "Sigmoid",
    "SiLU",
    "Softplus",
    "Tanh",
]


class ReLU(Layer):
    """max(x, 0); the gradient at 0 is 0.

    Parameters
    ----------
    inplace : bool
        Accepted so that PyTorch's calls work; it has no effect: a ReLU is fused with the layer before it.
    """

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = flag(inplace, "ReLU: inplace")

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.relu(x)


class ReLU6(Layer):
    """min(max(x, 0), 6), as in MobileNet (Howard et al. 2017, arXiv:1704.04861); `inplace` as in :class:`ReLU`."""

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = flag(inplace, "ReLU6: inplace")

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.relu6(x)


class Hardsigmoid(Layer):
    """relu6(x + 3) / 6 (Howard et al. 2019, arXiv:1905.02244); `inplace` as in :class:`ReLU`."""

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = flag(inplace, "Hardsigmoid: inplace")

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.hardsigmoid(x)


class Hardswish(Layer):
    """x relu6(x + 3) / 6 (Howard et al. 2019, arXiv:1905.02244); `inplace` as in :class:`ReLU`."""

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = flag(inplace, "Hardswish: inplace")

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.hardswish(x)


class LeakyReLU(Layer):
    """x where x > 0, else negative_slope * x (Maas et al. 2013); `inplace` as in :class:`ReLU`."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        self.negative_slope = real(negative_slope, "LeakyReLU: negative_slope")
        self.inplace = flag(inplace, "LeakyReLU: inplace")

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.leaky_relu(x, self.negative_slope)


class Sigmoid(Layer):
    """1 / (1 + exp(-x))."""

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.sigmoid(x)


class ELU(Layer):
    """x where x > 0, else alpha * (exp(x) - 1) (Clevert et al. 2016, arXiv:1511.07289).

    `inplace` as in :class:`ReLU`.
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        self.alpha, self.inplace = real(alpha, "ELU: alpha"), flag(inplace, "ELU: inplace")

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.elu(x, self.alpha)


class GELU(Layer):
    """x Phi(x), Phi the normal distribution function (Hendrycks & Gimpel 2016, arXiv:1606.08415).

    Parameters
    ----------
    approximate : "none" or "tanh"
        "tanh" computes x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 instead, which differs by less than 5e-4.
    """

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise ValueError(f'GELU: approximate must be "none" (the exact function) or "tanh", got {approximate!r}')
        self.approximate = approximate

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.gelu(x) if self.approximate == "none" else ops.gelu_tanh(x)


class SELU(Layer):
    """scale * x where x > 0, else scale * alpha * (exp(x) - 1) (Klambauer et al. 2017, arXiv:1706.02515).

    alpha = 1.6732632423543772848170429916717 and scale = 1.0507009873554804934193349852946 make zero mean and unit
    variance a stable fixed point of layers whose weights have variance 1 / fan_in (initializer "lecun_normal").
    `inplace` as in :class:`ReLU`.
    """

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = flag(inplace, "SELU: inplace")

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.selu(x)


class SiLU(Layer):
    """x / (1 + exp(-x)), or swish (Hendrycks & Gimpel 2016, arXiv:1606.08415); `inplace` as in :class:`ReLU`."""

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = flag(inplace, "SiLU: inplace")

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.silu(x)


class PReLU(Layer):
    """x where x > 0, else a * x, with learned slopes a (He et al. 2015, arXiv:1502.01852).

    The form max(a x, x) of lectures is this function only for a <= 1.  The gradient of a slope is the sum of x dy where
    x <= 0; weight decay leaves slopes alone.

    Parameters
    ----------
    num_parameters : int
        1: one slope for all channels.  The number of channels: one for each.
    init : float
        Their first value.
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        self.num_parameters = integer(num_parameters, "PReLU: num_parameters")
        self.init = real(init, "PReLU: init")
        self.weight: Parameter | Any = None  # None until built

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        if self.num_parameters not in (1, shape[0]):
            raise ValueError(f"PReLU: num_parameters must be 1 or {shape[0]} (channels), got {self.num_parameters}")
        constant = partial(initializers.constant, value=self.init)
        self.parameter("weight", (self.num_parameters,), constant, rng, dtype, decay=False)
        return shape

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.prelu(x, self.weight)


class Maxout(Layer):
    """The largest of each `pieces` adjacent channels: (N, C, ...) to (N, C / pieces, ...).

    ``Linear(pieces * K), Maxout(pieces)`` is a maxout layer of K units, max over i of (w_i x + b_i), and
    ``Conv2d(pieces * K, 3), Maxout(pieces)`` one of K channels (Goodfellow et al. 2013, arXiv:1302.4389).  It neither
    saturates nor dies, for `pieces` times the parameters.  Of equal channels the first gets the gradient.
    """

    def __init__(self, pieces: int = 2) -> None:
        self.pieces = integer(pieces, "Maxout: pieces")

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        if shape[0] % self.pieces or self.pieces > 255:
            raise ValueError(f"Maxout: {shape[0]} channels do not divide into groups of pieces={self.pieces} (<= 255)")
        return (shape[0] // self.pieces, *shape[1:])

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.maxout(x, self.pieces)


class Softplus(Layer):
    """log(1 + exp(beta * x)) / beta, and x itself where beta * x > threshold."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self.beta, self.threshold = real(beta, "Softplus: beta"), real(threshold, "Softplus: threshold")
        if self.beta <= 0:
            raise ValueError(f"Softplus: beta must be positive, got {beta!r}")

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.softplus(x, self.beta, self.threshold)


class Tanh(Layer):
    """tanh(x)."""

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.tanh(x)
