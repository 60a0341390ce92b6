"""Element-wise activations."""

from __future__ import annotations

import math

from fastnet.layers.base import Layer

__all__ = ["ReLU", "LeakyReLU", "Sigmoid", "Tanh"]


class ReLU(Layer):
    """max(x, 0); the gradient at 0 is 0."""

    def run(self, x, training, ops):
        y, saved = ops.relu(x)

        def backward(dy, input_gradient=True):
            return ops.relu_backward(dy, saved) if input_gradient else None

        return y, backward


class LeakyReLU(Layer):
    """x where x > 0, else slope * x (Maas et al. 2013)."""

    def __init__(self, slope=0.01):
        if not isinstance(slope, (int, float)) or not math.isfinite(slope):
            raise ValueError(f"LeakyReLU: slope must be a finite number, got {slope!r}")
        self.slope = float(slope)

    def run(self, x, training, ops):
        y, saved = ops.leaky_relu(x, self.slope)

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
