"""Element-wise activations."""

from __future__ import annotations

import math

from fastnet.layers.base import Layer

__all__ = ["ReLU", "LeakyReLU", "Sigmoid", "Tanh"]


def check_inplace(layer: str, inplace: bool) -> bool:
    """`inplace`, which has no effect but is no place for another argument either."""
    if not isinstance(inplace, bool):
        raise TypeError(f"{layer}: inplace must be True or False, got {inplace!r}")
    return inplace


class ReLU(Layer):
    """max(x, 0); the gradient at 0 is 0.

    Parameters
    ----------
    inplace : bool
        Accepted so that PyTorch's calls work; it has no effect: a ReLU runs inside the layer before it if it can.
    """

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = check_inplace("ReLU", inplace)

    def run(self, x, training, ops):
        y, saved = ops.relu(x)

        def backward(dy, input_gradient=True):
            return ops.relu_backward(dy, saved) if input_gradient else None

        return y, backward


class LeakyReLU(Layer):
    """x where x > 0, else negative_slope * x (Maas et al. 2013); `inplace` as in :class:`ReLU`."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        if not isinstance(negative_slope, (int, float)) or not math.isfinite(negative_slope):
            raise ValueError(f"LeakyReLU: negative_slope must be a finite number, got {negative_slope!r}")
        self.negative_slope, self.inplace = float(negative_slope), check_inplace("LeakyReLU", inplace)

    def run(self, x, training, ops):
        y, saved = ops.leaky_relu(x, self.negative_slope)

        def backward(dy, input_gradient=True):
            return ops.leaky_relu_backward(dy, saved) if input_gradient else None

        return y, backward


class Sigmoid(Layer):
    """1 / (1 + exp(-x))."""

    def run(self, x, training, ops):
        y, saved = ops.sigmoid(x)

        def backward(dy, input_gradient=True):
            return ops.sigmoid_backward(dy, saved) if input_gradient else None

        return y, backward


class Tanh(Layer):
    """tanh(x)."""

    def run(self, x, training, ops):
        y, saved = ops.tanh(x)

        def backward(dy, input_gradient=True):
            return ops.tanh_backward(dy, saved) if input_gradient else None

        return y, backward
