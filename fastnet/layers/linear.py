"""The fully connected layer."""

from __future__ import annotations

from fastnet import initializers
from fastnet.layers.base import Layer, count
from fastnet.layers.parameter import weighted

__all__ = ["Linear"]


class Linear(Layer):
    """``y = x @ weight.T + bias``, (N, in) to (N, out); the number of inputs is inferred.

    Parameters
    ----------
    features : int
        The number of outputs.
    bias : bool
    initializer : str or function of (rng, shape)
        Of the weight (out, in); the bias starts at 0.
    """

    def __init__(self, features, *, bias=True, initializer="kaiming_normal"):
        self.features = count(features, "Linear: features")
        self.use_bias, self.initializer = bool(bias), initializer
        self.weight = self.bias = None
        initializers.resolve(initializer)

    def setup(self, shape, rng, dtype):
        if len(shape) != 1:
            raise ValueError(
                f"Linear: expects vectors, (N, in), got examples of shape {shape}; put Flatten() before it"
            )
        self.parameter("weight", (self.features, shape[0]), self.initializer, rng, dtype)
        if self.use_bias:
            self.parameter("bias", (self.features,), "zeros", rng, dtype, decay=False)
        self.macs = self.features * shape[0]
        return (self.features,)

    def run(self, x, training, ops, relu=False):
        weight, bias = self.weight, self.bias
        y, saved = ops.linear(x, weight.value, None if bias is None else bias.value, relu)
        return y, weighted(ops.linear_backward, saved, weight, bias)
