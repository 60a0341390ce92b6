"""DropConnect (Wan et al. 2013)."""

from __future__ import annotations

from fastnet.graph import Node, Recorder
from fastnet.layers.base import Layer
from fastnet.layers.noise import Noise, probability
from fastnet.types import DType, Generator, Shape

__all__ = ["DropConnect"]


class DropConnect(Noise):
    """A layer whose weights are zeroed at random in training: ``DropConnect(Linear(100), 0.5)``.

    In training, each element of the weight is zeroed with probability `p` and divided by 1 - p otherwise, for one step
    of all examples; the bias is kept.  Inference uses all connections as they are, which is the expectation of what
    training computes.  Wan et al. 2013 ("Regularization of neural networks using DropConnect") draw a mask for each
    example and mask biases, too, and in inference sample the outputs from a normal distribution with the mean and
    variance of the masked sums; here inference is its mean.

    Parameters
    ----------
    layer : Layer
        Linear, Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d, or one of your own with a `weight` of two or more
        axes.  Parameters keep their names.
    p : float
        The probability of zeroing, in [0, 1).
    seed : int, optional
        Of the stream, in [0, 2**64); by default drawn from the model's seed when the layer is built.
    """

    traced = False

    def __init__(self, layer: Layer, p: float = 0.5, *, seed: int | None = None) -> None:
        super().__init__(seed)
        if not isinstance(layer, Layer):
            raise TypeError(f"DropConnect: layer must be a layer such as Linear(10), got {layer!r}")
        if layer.opaque or layer.children():
            raise TypeError(f"DropConnect: {type(layer).__name__} has no weight that an op reads; wrap a single layer")
        self.p = probability(p, "DropConnect")
        self.layer = layer

    def children(self) -> dict[str, Layer]:
        return {"_layer": self.layer}

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        y_shape = self.layer.place(shape, rng, dtype)
        weight = self.layer.own.get("weight")
        if weight is None or len(weight.shape) < 2:
            name = type(self.layer).__name__
            raise TypeError(f"DropConnect: needs a layer with connections, such as Linear or Conv2d, got {name}")
        super().setup(shape, rng, dtype)
        return y_shape

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        if not training or self.p == 0:
            return ops.layer(self.layer, x, training)
        weight = self.layer.own["weight"]
        with ops.reading(weight, ops.drop_weights(weight, self.p, self._stream)):
            return ops.layer(self.layer, x, training)
