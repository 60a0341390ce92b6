"""Pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from fastnet.arguments import flag, nonzero, padding_of, pair, pooling_stride
from fastnet.geometry import Pool2dGeometry
from fastnet.graph import Node, Recorder
from fastnet.layers.base import Layer
from fastnet.layers.shape import image_shape
from fastnet.types import DType, Generator, Padding, Pair, Shape

__all__ = ["MaxPool2d", "AvgPool2d", "GlobalAvgPool2d"]


class _Pool2d(Layer):
    _op = "pool2d"

    def __init__(self, kernel_size: Pair, stride: Pair | None, padding: Padding, ceil_mode: bool) -> None:
        name = type(self).__name__
        self.kernel_size = pair(kernel_size, f"{name}: kernel_size")
        self.stride = pooling_stride(stride, self.kernel_size, f"{name}: stride")
        self.padding = padding_of(padding, name)
        self.ceil_mode = flag(ceil_mode, f"{name}: ceil_mode")

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        return self.geometry((1, *image_shape(type(self).__name__, shape))).y_shape[1:]

    def geometry(self, x_shape: Sequence[int]) -> Pool2dGeometry:
        """The geometry of this layer on inputs of shape (N, C, H, W)."""
        raise NotImplementedError

    def _geometry(self, x_shape: Sequence[int], **more: Any) -> Pool2dGeometry:
        return Pool2dGeometry.make(
            x_shape, self.kernel_size, self.stride, self.padding, self.ceil_mode, op=self._op, **more
        )


class MaxPool2d(_Pool2d):
    """The largest value of each window; a window with a NaN gives NaN.

    Parameters
    ----------
    kernel_size : int or pair
    stride : int or pair, default `kernel_size`
    padding : int, pair, (top, bottom, left, right), "same" or "valid"
        Padded pixels count as absent.
    dilation : int or pair
        The distance of a window's pixels.
    return_indices : False
        PyTorch's argument; indices are not available.
    ceil_mode : bool
        Round the output size up, so that the last pixels are covered too.
    """

    _op = "max_pool2d"

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Padding = 0,
        dilation: Pair = 1,
        return_indices: Literal[False] = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        if flag(return_indices, "MaxPool2d: return_indices"):
            raise TypeError("MaxPool2d: return_indices=True is not supported; a layer returns one array")
        self.dilation = pair(dilation, "MaxPool2d: dilation")

    def geometry(self, x_shape: Sequence[int]) -> Pool2dGeometry:
        return self._geometry(x_shape, dilation=self.dilation)

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.max_pool2d(x, self.geometry(x.shape))


class AvgPool2d(_Pool2d):
    """The mean of each window; kernel_size, stride, padding and ceil_mode as in :class:`MaxPool2d`.

    Parameters
    ----------
    count_include_pad : bool, optional
        True: padded pixels count as zeros.  False: they count as absent.  Default: True, as in PyTorch, but False for
        padding="same", as in TensorFlow.
    divisor_override : int, optional
        Divide the sum of each window by this instead of by its number of pixels.
    """

    _op = "avg_pool2d"

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool | None = None,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        if count_include_pad is None:
            count_include_pad = self.padding != "same"
        self.count_include_pad = flag(count_include_pad, "AvgPool2d: count_include_pad")
        self.divisor_override = (
            None if divisor_override is None else nonzero(divisor_override, "AvgPool2d: divisor_override")
        )

    def geometry(self, x_shape: Sequence[int]) -> Pool2dGeometry:
        return self._geometry(x_shape, count_include_pad=self.count_include_pad, divisor=self.divisor_override)

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.avg_pool2d(x, self.geometry(x.shape))


class GlobalAvgPool2d(Layer):
    """The mean over all pixels, (N, C, H, W) to (N, C, 1, 1), at any H and W."""

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        return image_shape("GlobalAvgPool2d", shape)[0], 1, 1

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.global_avg_pool2d(x)
