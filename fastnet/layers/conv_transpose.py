"""Transposed convolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, overload

from fastnet import initializers
from fastnet.arguments import flag, four_sides, pair
from fastnet.geometry import Conv2dGeometry
from fastnet.graph import Node, Recorder
from fastnet.layers.base import Layer, Parameter, count
from fastnet.layers.shape import image_shape
from fastnet.layers.signal import Single, signal_shape, single
from fastnet.layers.sizes import check_declared, optional_input_size
from fastnet.ops.conv_transpose import transposed_geometry
from fastnet.types import DType, Generator, Initializer, Padding, Pair, Shape

__all__ = ["ConvTranspose1d", "ConvTranspose2d"]


class _ConvTranspose(Layer):
    def _start(
        self,
        in_channels: int | None,
        out_channels: int,
        groups: int,
        bias: bool,
        initializer: str | Initializer,
        bias_initializer: str | Initializer,
    ) -> None:
        name = type(self).__name__
        self.in_channels = None if in_channels is None else count(in_channels, f"{name}: in_channels")
        self.out_channels, self.groups = count(out_channels, f"{name}: out_channels"), count(groups, f"{name}: groups")
        if self.out_channels % self.groups:
            raise ValueError(f"{name}: groups={groups} must divide out_channels={out_channels}")
        self.use_bias = flag(bias, f"{name}: bias")
        self.initializer, self.bias_initializer = initializer, bias_initializer
        self.weight: Parameter | Any = None  # None until built
        self.bias: Parameter | Any = None  # None until built
        initializers.resolve(initializer)
        initializers.resolve(bias_initializer)

    def _setup(self, shape: Shape, kernel: tuple[int, ...], rng: Generator, dtype: DType) -> Shape:
        C = shape[0]
        check_declared(type(self).__name__, "in_channels", self.in_channels, C, " channels")
        w_shape: Shape = (C, self.out_channels // self.groups, *kernel)
        if self.weight is not None:
            w_shape = self.weight.shape  # the geometry reports a wrong number of channels
        geometry = self._geometry((1, *shape), w_shape)
        self.parameter("weight", w_shape, self.initializer, rng, dtype)
        if self.use_bias:
            self.parameter("bias", (self.out_channels,), self.bias_initializer, rng, dtype, decay=False)
        self.macs = geometry.macs
        return geometry.x_shape[1:]

    def _geometry(self, x_shape: Sequence[int], w_shape: Sequence[int]) -> Conv2dGeometry:
        raise NotImplementedError(f"{type(self).__name__} must define _geometry(x_shape, w_shape)")

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        geometry = self._geometry(x.shape, self.weight.shape)
        *rows, columns = x.shape[2:]
        below, right = geometry.P - math.prod(rows), geometry.Q - columns
        if below or right:
            x = ops.pad(x, (0, below, 0, right))
        return ops.conv_transpose2d(x, self.weight, self.bias, geometry)


class ConvTranspose2d(_ConvTranspose):
    """A transposed 2-d convolution, which enlarges images by its stride: (N, C, H, W) to (N, K, P, Q).

    It is the input gradient of a convolution with the same arguments (Zeiler et al. 2010, "Deconvolutional networks").
    P is (H - 1) * stride - top - bottom + dilation * (R - 1) + 1 + output_padding.

    ``ConvTranspose2d(out_channels, kernel_size, stride=...)`` infers the number of input channels when it is built;
    ``ConvTranspose2d(in_channels, out_channels, kernel_size, stride, ...)``, PyTorch's order, declares it.

    Parameters
    ----------
    in_channels : int, optional
        C; checked when the layer is built.
    out_channels : int
        K.
    kernel_size : int or pair
    stride, dilation : int or pair
    padding : int, pair or (top, bottom, left, right)
        Removed from the output: that of the convolution from the output to the input.
    output_padding : int or pair
        Rows added at the bottom and columns added at the right: several heights P have the same H after a strided
        convolution, and this says which is meant.  Smaller than the stride or the dilation.
    groups : int
    bias : bool
    initializer : str or function of (rng, shape)
        Of the weight (C, K // groups, R, S).  As in PyTorch, fan_in is K // groups * R * S.
    bias_initializer : str or function of (rng, shape)
        As in `Conv2d`.
    """

    @overload
    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Padding = 0,
        output_padding: Pair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Pair = 1,
        *,
        initializer: str | Initializer = "kaiming_normal",
        bias_initializer: str | Initializer = "zeros",
    ) -> None: ...

    @overload
    def __init__(
        self,
        out_channels: int,
        kernel_size: Pair,
        *,
        stride: Pair = 1,
        padding: Padding = 0,
        output_padding: Pair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Pair = 1,
        initializer: str | Initializer = "kaiming_normal",
        bias_initializer: str | Initializer = "zeros",
    ) -> None: ...

    @optional_input_size(3)
    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Padding = 0,
        output_padding: Pair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Pair = 1,
        *,
        initializer: str | Initializer = "kaiming_normal",
        bias_initializer: str | Initializer = "zeros",
    ) -> None:
        name = "ConvTranspose2d"
        self._start(in_channels, out_channels, groups, bias, initializer, bias_initializer)
        self.kernel_size = pair(kernel_size, f"{name}: kernel_size")
        self.stride, self.dilation = pair(stride, f"{name}: stride"), pair(dilation, f"{name}: dilation")
        self.padding = four_sides(padding, f"{name}: padding")
        self.output_padding = pair(output_padding, f"{name}: output_padding", 0)

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        return self._setup(image_shape("ConvTranspose2d", shape), self.kernel_size, rng, dtype)

    def _geometry(self, x_shape: Sequence[int], w_shape: Sequence[int]) -> Conv2dGeometry:
        given = self.stride, self.padding, self.output_padding, self.groups, self.dilation
        return transposed_geometry(x_shape, w_shape, *given)


class ConvTranspose1d(_ConvTranspose):
    """A transposed 1-d convolution, (N, C, L) to (N, K, Q); it runs on the kernels of `ConvTranspose2d`.

    Q is (L - 1) * stride - 2 * padding + dilation * (kernel_size - 1) + 1 + output_padding.  The weight is
    (C, K // groups, kernel_size); `in_channels` may be left out, as in `ConvTranspose2d`.

    Parameters
    ----------
    in_channels : int, optional
    out_channels : int
    kernel_size, stride, dilation : int
    padding : int
        Removed from both sides of the output.
    output_padding : int
        Elements added at the right; fewer than the stride or the dilation.
    groups : int
    bias : bool
    initializer : str or function of (rng, shape)
    """

    @overload
    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        kernel_size: Single,
        stride: Single = 1,
        padding: Single = 0,
        output_padding: Single = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Single = 1,
        *,
        initializer: str | Initializer = "kaiming_normal",
        bias_initializer: str | Initializer = "zeros",
    ) -> None: ...

    @overload
    def __init__(
        self,
        out_channels: int,
        kernel_size: Single,
        *,
        stride: Single = 1,
        padding: Single = 0,
        output_padding: Single = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Single = 1,
        initializer: str | Initializer = "kaiming_normal",
        bias_initializer: str | Initializer = "zeros",
    ) -> None: ...

    @optional_input_size(3)
    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        kernel_size: Single,
        stride: Single = 1,
        padding: Single = 0,
        output_padding: Single = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Single = 1,
        *,
        initializer: str | Initializer = "kaiming_normal",
        bias_initializer: str | Initializer = "zeros",
    ) -> None:
        name = "ConvTranspose1d"
        self._start(in_channels, out_channels, groups, bias, initializer, bias_initializer)
        self.kernel_size = single(kernel_size, f"{name}: kernel_size")
        self.stride, self.dilation = single(stride, f"{name}: stride"), single(dilation, f"{name}: dilation")
        self.padding = single(padding, f"{name}: padding", 0)
        self.output_padding = single(output_padding, f"{name}: output_padding", 0)

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        return self._setup(signal_shape(self, shape), (self.kernel_size,), rng, dtype)

    def _geometry(self, x_shape: Sequence[int], w_shape: Sequence[int]) -> Conv2dGeometry:
        (N, C, L), (inputs, per_group, S) = x_shape, w_shape
        sizes = (1, self.stride), (0, self.padding), (0, self.output_padding), self.groups, (1, self.dilation)
        return transposed_geometry((N, C, 1, L), (inputs, per_group, 1, S), *sizes).of_signals()
