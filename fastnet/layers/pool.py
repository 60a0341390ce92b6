"""Pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from fastnet.geometry import Pool2dGeometry, pair
from fastnet.graph import Node, Recorder
from fastnet.layers.base import Layer
from fastnet.layers.shape import image_shape
from fastnet.types import DType, Generator, Padding, Pair, Shape

__all__ = ["MaxPool2d", "AvgPool2d", "GlobalAvgPool2d"]


class _Pool2d(Layer):
    _op = "pool2d"

    def __init__(
        self, kernel_size: Pair, stride: Pair | None = None, padding: Padding = 0, ceil_mode: bool = False
    ) -> None:
        self.kernel_size = pair(kernel_size, f"{type(self).__name__}: kernel_size")
        self.stride = self.kernel_size if stride is None else pair(stride, f"{type(self).__name__}: stride")
        self.padding: Padding = tuple(padding) if isinstance(padding, list) else padding
        self.ceil_mode, self.count_include_pad = bool(ceil_mode), True

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        return self.geometry((1, *image_shape(type(self).__name__, shape))).y_shape[1:]

    def geometry(self, x_shape: Sequence[int]) -> Pool2dGeometry:
        """The geometry of this layer on inputs of shape (N, C, H, W)."""
        return Pool2dGeometry.make(
            x_shape, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad, self._op
        )


class MaxPool2d(_Pool2d):
    """The largest value of each window; a window with a NaN gives NaN.

    Parameters
    ----------
    kernel_size : int or pair
    stride : int or pair, default `kernel_size`
    padding : int, pair, (top, bottom, left, right), "same" or "valid"
        Padded pixels count as absent.
    dilation : 1
    return_indices : False
        These two are PyTorch's; other values are not supported.
    ceil_mode : bool
        Round the output size up, so that the last pixels are covered too.
    """

    _op = "max_pool2d"

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Padding = 0,
        dilation: Literal[1] = 1,
        return_indices: Literal[False] = False,
        ceil_mode: bool = False,
    ) -> None:
        if dilation is True or dilation != 1 or return_indices is not False:
            raise ValueError(
                f"MaxPool2d: dilation must be 1 and return_indices False, got {dilation!r} and {return_indices!r}; "
                "expected MaxPool2d(kernel_size, stride=None, padding=0, ceil_mode=False)"
            )
        super().__init__(kernel_size, stride, padding, ceil_mode)

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.max_pool2d(x, self.geometry(x.shape))


class AvgPool2d(_Pool2d):
    """The mean of each window; kernel_size, stride, padding and ceil_mode as in :class:`MaxPool2d`.

    Parameters
    ----------
    count_include_pad : bool
        True: padded pixels count as zeros, as is PyTorch's default.  False: they count as absent.
    """

    _op = "avg_pool2d"

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = bool(count_include_pad)

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.avg_pool2d(x, self.geometry(x.shape))


class GlobalAvgPool2d(Layer):
    """The mean over all pixels, (N, C, H, W) to (N, C, 1, 1), at any H and W."""

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        return image_shape("GlobalAvgPool2d", shape)[0], 1, 1

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.global_avg_pool2d(x)
