"""Pooling to a given output size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from fastnet.arguments import flag
from fastnet.geometry import Pool2dGeometry
from fastnet.graph import Node, Recorder
from fastnet.layers.base import Layer, count
from fastnet.layers.shape import image_shape
from fastnet.types import DType, Generator, Shape

__all__ = ["AdaptiveAvgPool2d", "AdaptiveMaxPool2d"]

OutputSize = int | None | tuple[int | None, int | None]


class _AdaptivePool2d(Layer):
    def __init__(self, output_size: OutputSize) -> None:
        name = f"{type(self).__name__}: output_size"
        sides = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size, output_size)
        if len(sides) != 2:
            raise ValueError(f"{name} must be an int or a pair of ints (None: the input's size), got {output_size!r}")
        self.output_size = tuple(None if side is None else count(side, name) for side in sides)

    def size(self, x_shape: Sequence[int]) -> tuple[int, int]:
        """(P, Q) for inputs of shape (N, C, H, W)."""
        P, Q = self.output_size
        return x_shape[2] if P is None else P, x_shape[3] if Q is None else Q

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        C, H, W = image_shape(type(self).__name__, shape)
        return C, *self.size((1, C, H, W))


class AdaptiveAvgPool2d(_AdaptivePool2d):
    """The means of P x Q windows that cover the image: (N, C, H, W) to (N, C, P, Q), at any H and W.

    Window p has rows floor(p H / P) to ceil((p + 1) H / P) - 1: windows overlap where P does not divide H.

    Parameters
    ----------
    output_size : int or pair
        (P, Q); None stands for H or W.
    """

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        size = self.size(x.shape)
        return ops.global_avg_pool2d(x) if size == (1, 1) else ops.adaptive_avg_pool2d(x, size)


class AdaptiveMaxPool2d(_AdaptivePool2d):
    """The largest values of P x Q windows that cover the image; windows and `output_size` as in AdaptiveAvgPool2d.

    Parameters
    ----------
    output_size : int or pair
    return_indices : False
        PyTorch's argument; True is not supported.
    """

    def __init__(self, output_size: OutputSize, return_indices: Literal[False] = False) -> None:
        if flag(return_indices, "AdaptiveMaxPool2d: return_indices"):
            raise ValueError(f"AdaptiveMaxPool2d: return_indices must be False, got {return_indices!r}")
        super().__init__(output_size)

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        (P, Q), (H, W) = self.size(x.shape), x.shape[2:]
        if H % P or W % Q:
            return ops.adaptive_max_pool2d(x, (P, Q))
        return ops.max_pool2d(x, Pool2dGeometry.make(x.shape, (H // P, W // Q), op="adaptive_max_pool2d"))
