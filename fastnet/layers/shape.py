"""Layers that move elements without computing: Flatten, Identity, Subsample."""

from __future__ import annotations

import math

from fastnet.arguments import integer
from fastnet.graph import Node, Recorder
from fastnet.layers.base import Layer, count
from fastnet.types import DType, Generator, Shape

__all__ = ["Flatten", "Identity", "Subsample"]


def image_shape(name: str, shape: Shape) -> tuple[int, int, int]:
    """`shape` as (C, H, W), or a ValueError."""
    if len(shape) != 3:
        raise ValueError(f"{name}: expects images, (N, C, H, W), got examples of shape {tuple(shape)}")
    C, H, W = shape
    return C, H, W


class Flatten(Layer):
    """(N, C, H, W) to (N, C*H*W), in that order.

    Parameters
    ----------
    start_dim : 1
    end_dim : -1
        PyTorch's arguments; only the default is supported.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        if (integer(start_dim, "Flatten: start_dim", -64), integer(end_dim, "Flatten: end_dim", -64)) != (1, -1):
            raise TypeError(
                f"Flatten: only the batch axis is kept, as Flatten() or Flatten(1, -1) say, got {start_dim}, {end_dim}"
            )

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        return (math.prod(shape),)

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.flatten(x)


class Identity(Layer):
    """y = x."""

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return x


class Subsample(Layer):
    """Every `stride`-th pixel, zero-padded along the channel axis on both sides to `channels` channels.

    The parameter-free shortcut of He et al. 2015 (arXiv:1512.03385), option A.
    """

    def __init__(self, stride: int, channels: int) -> None:
        self.stride, self.channels = count(stride, "Subsample: stride"), count(channels, "Subsample: channels")

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        C, H, W = image_shape("Subsample", shape)
        if self.channels < C:
            raise ValueError(f"Subsample: {self.channels} channels requested, the input already has {C}")
        return self.channels, -(-H // self.stride), -(-W // self.stride)

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.subsample(x, self.stride, self.channels)
