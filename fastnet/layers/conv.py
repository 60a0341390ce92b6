"""Convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args, overload

from fastnet import initializers
from fastnet.arguments import flag, padding_of, pair
from fastnet.geometry import Conv2dGeometry
from fastnet.graph import Node, Recorder
from fastnet.layers.base import Layer, Parameter, count
from fastnet.layers.shape import image_shape
from fastnet.layers.sizes import check_declared, optional_input_size
from fastnet.ops.resample import padded_size
from fastnet.types import DType, Generator, Initializer, Padding, Pair, Shape

__all__ = ["Conv2d"]

_ORDER = (
    "Conv2d(in_channels, out_channels, kernel_size, stride, ...) declares them, "
    "Conv2d(out_channels, kernel_size, stride=...) infers them"
)

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


def padding_mode_of(mode: PaddingMode, name: str) -> PaddingMode:
    """A PaddingMode, or a ValueError that lists them."""
    if mode not in get_args(PaddingMode):
        modes = ", ".join(map(repr, get_args(PaddingMode)))
        raise ValueError(f"{name}: padding_mode must be one of {modes}, got {mode!r}")
    return mode


class Conv2d(Layer):
    """A 2-d convolution, (N, C, H, W) to (N, K, P, Q).

    ``Conv2d(out_channels, kernel_size, stride=..., padding=...)`` infers the number of input channels when it is built;
    ``Conv2d(in_channels, out_channels, kernel_size, stride, padding, ...)``, PyTorch's order, declares it.

    Parameters
    ----------
    in_channels : int, optional
        C; checked when the layer is built.
    out_channels : int
        K.
    kernel_size : int or pair
        (R, S), vertical and horizontal.
    stride, dilation : int or pair
    padding : int, pair, (top, bottom, left, right), "same" (at any stride) or "valid"
    groups : int or "depthwise"
        The number of groups into which input and output channels are split; "depthwise" is one for each input channel.
    bias : bool
    padding_mode : "zeros", "reflect", "replicate" or "circular"
        What lies outside the image; see ReflectionPad2d, ReplicationPad2d, CircularPad2d.
    initializer : str or function of (rng, shape)
        Of the weight (K, C // groups, R, S).  See `fastnet.initializers`.
    bias_initializer : str or function of (rng, shape)
        Some prefer 0.01 before ReLUs: ``functools.partial(fastnet.initializers.constant, value=0.01)``.
    """

    @overload
    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Padding = 0,
        dilation: Pair = 1,
        groups: int | Literal["depthwise"] = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
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
        dilation: Pair = 1,
        groups: int | Literal["depthwise"] = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
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
        dilation: Pair = 1,
        groups: int | Literal["depthwise"] = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        *,
        initializer: str | Initializer = "kaiming_normal",
        bias_initializer: str | Initializer = "zeros",
    ) -> None:
        self.in_channels = None if in_channels is None else count(in_channels, "Conv2d: in_channels")
        self.out_channels = count(out_channels, "Conv2d: out_channels")
        self.kernel_size = pair(kernel_size, "Conv2d: kernel_size")
        self.stride, self.dilation = pair(stride, "Conv2d: stride"), pair(dilation, "Conv2d: dilation")
        self.padding = padding_of(padding, "Conv2d")
        self.groups: int | Literal["depthwise"] = (
            "depthwise" if groups == "depthwise" else count(groups, "Conv2d: groups")
        )
        self.use_bias, self.padding_mode = flag(bias, "Conv2d: bias"), padding_mode_of(padding_mode, "Conv2d")
        self.initializer, self.bias_initializer = initializer, bias_initializer
        self.weight: Parameter | Any = None  # None until built
        self.bias: Parameter | Any = None  # None until built
        initializers.resolve(initializer)
        initializers.resolve(bias_initializer)

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        C, H, W = image_shape("Conv2d", shape)
        check_declared("Conv2d", "in_channels", self.in_channels, C, f" channels; {_ORDER}")
        groups = C if self.groups == "depthwise" else self.groups
        w_shape: Shape = (self.out_channels, max(C // groups, 1), *self.kernel_size)
        if self.weight is not None:
            w_shape = self.weight.shape  # the geometry reports a wrong number of channels
        geometry = self._geometry((1, C, H, W), w_shape)
        if self.padding_mode != "zeros":
            padded_size((1, C, H, W), geometry.padding, self.padding_mode)
        self.parameter("weight", w_shape, self.initializer, rng, dtype)
        if self.use_bias:
            self.parameter("bias", (self.out_channels,), self.bias_initializer, rng, dtype, decay=False)
        self.macs = geometry.macs
        return geometry.y_shape[1:]

    def _geometry(self, x_shape: Sequence[int], w_shape: Sequence[int]) -> Conv2dGeometry:
        groups = x_shape[1] if self.groups == "depthwise" else self.groups
        return Conv2dGeometry.make(x_shape, w_shape, self.stride, self.padding, self.dilation, groups)

    def geometry(self, x_shape: Sequence[int]) -> Conv2dGeometry:
        """The geometry of this built layer on inputs of shape (N, C, H, W)."""
        return self._geometry(x_shape, self.weight.shape)

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        geometry = self.geometry(x.shape)
        if self.padding_mode != "zeros":
            x = ops.pad(x, geometry.padding, self.padding_mode)
            w_shape, inner = geometry.w_shape, (geometry.stride, 0, geometry.dilation, geometry.groups)
            geometry = Conv2dGeometry.make(x.shape, w_shape, *inner)
        return ops.conv2d(x, self.weight, self.bias, geometry)
