"""A layer of one or two numbers."""

from __future__ import annotations

from typing import Any

from fastnet.arguments import flag
from fastnet.graph import Node, Recorder
from fastnet.layers.base import Layer, Parameter
from fastnet.types import DType, Generator, Shape

__all__ = ["ScalarAffine"]


class ScalarAffine(Layer):
    """``weight * x + bias``, with one learned number each for the whole array; weight starts at 1, bias at 0.

    They take the place of normalization in residual networks (Zhang, Dauphin & Ma 2019, arXiv:1901.09321); see
    `fastnet.initializers.fixup`.  Neither decays.

    Parameters
    ----------
    scale, bias : bool
        Whether there is a weight, and a bias.
    """

    def __init__(self, scale: bool = True, bias: bool = True) -> None:
        self.scale, self.use_bias = flag(scale, "ScalarAffine: scale"), flag(bias, "ScalarAffine: bias")
        self.weight: Parameter | Any = None
        self.bias: Parameter | Any = None
        if not (scale or bias):
            raise ValueError("ScalarAffine: needs a scale or a bias; Identity does nothing")

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        if self.scale:
            self.parameter("weight", (1,), "ones", rng, dtype, decay=False)
        if self.use_bias:
            self.parameter("bias", (1,), "zeros", rng, dtype, decay=False)
        return shape

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.scalar_affine(x, self.weight, self.bias)
