"""Softmax and its logarithm as layers."""

from __future__ import annotations

from fastnet.arguments import integer
from fastnet.graph import Node, Recorder
from fastnet.layers.base import Layer
from fastnet.types import DType, Generator, Shape

__all__ = ["LogSoftmax", "Softmax"]


class _Softmax(Layer):
    def __init__(self, dim: int | None = None) -> None:
        self.dim = None if dim is None else integer(dim, f"{type(self).__name__}: dim", 1 - 2**31)

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        if self.dim not in (None, 1, -len(shape)):
            raise ValueError(
                f"{type(self).__name__}: only the axis of the classes or channels, dim=1, is supported, got "
                f"dim={self.dim} for arrays of shape {('N', *shape)}".replace("'", "")
            )
        return shape


class Softmax(_Softmax):
    """exp(x) / sum of exp(x), over the classes of (N, C) or the channels of (N, C, H, W).

    The losses take scores: a model that ends in Softmax gives probabilities, and must not be trained with "softmax".

    Parameters
    ----------
    dim : int, optional
        PyTorch's argument: 1, or -1 for (N, C).
    """

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.softmax(x)


class LogSoftmax(_Softmax):
    """x - log of the sum of exp(x), over the classes of (N, C) or the channels of (N, C, H, W); `dim` as in Softmax."""

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.log_softmax(x)
