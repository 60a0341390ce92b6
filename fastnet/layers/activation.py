"""Element-wise activations."""

from __future__ import annotations

from fastnet.arguments import flag, real
from fastnet.graph import Node, Recorder
from fastnet.layers.base import Layer

__all__ = ["ELU", "GELU", "Hardsigmoid", "Hardswish", "LeakyReLU", "ReLU", "ReLU6", "Sigmoid", "Softplus", "Tanh"]


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
    approximate : "none"
        PyTorch's argument; only the exact function is available.
    """

    def __init__(self, approximate: str = "none") -> None:
        if approximate != "none":
            raise ValueError(f'GELU: approximate must be "none" (the exact function), got {approximate!r}')

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.gelu(x)


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
