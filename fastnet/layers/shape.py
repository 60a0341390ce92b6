"""Layers that move elements without computing: Flatten, Unflatten, Identity, Subsample."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fastnet.arguments import frozen, integer
from fastnet.graph import Node, Recorder
from fastnet.layers.base import Layer, count
from fastnet.types import DType, Generator, Shape

__all__ = ["Flatten", "Identity", "Subsample", "Unflatten"]


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


class Unflatten(Layer):
    """(N, C*H*W) to (N, C, H, W), the inverse of :class:`Flatten`; or (N, C*L) to (N, C, L).

    Parameters
    ----------
    dim : 1
        PyTorch's argument: the axis of vectors that is split.
    unflattened_size : tuple of int
        (C, H, W) or (C, L); one of them may be -1, which then follows from the others.
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        if dim not in (1, -1):
            raise ValueError(f"Unflatten: dim must be 1, the axis after the batch's, got {dim!r}")
        sizes = frozen(unflattened_size)
        if not isinstance(sizes, tuple) or len(sizes) not in (2, 3) or sizes.count(-1) > 1:
            raise ValueError(f"Unflatten: unflattened_size must be (C, H, W) or (C, L), got {unflattened_size!r}")
        self.unflattened_size = tuple(
            -1 if size == -1 else count(size, "Unflatten: unflattened_size") for size in sizes
        )

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        return self._sizes(shape)

    def _sizes(self, shape: Shape) -> Shape:
        known = math.prod(size for size in self.unflattened_size if size != -1)
        sizes = tuple(math.prod(shape) // known if size == -1 else size for size in self.unflattened_size)
        if len(shape) != 1 or math.prod(sizes) != shape[0]:
            raise ValueError(f"Unflatten: {self.unflattened_size} does not fit examples of shape {tuple(shape)}")
        return sizes

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.unflatten(x, self._sizes(x.shape[1:]))


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
