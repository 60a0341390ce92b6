"""Layers for signals (N, C, L), which are images of one row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, overload

from fastnet import initializers
from fastnet.arguments import flag, frozen, integer
from fastnet.geometry import Conv2dGeometry, Pool2dGeometry
from fastnet.graph import Node, Recorder
from fastnet.layers.base import Layer, Parameter, count
from fastnet.layers.conv import PaddingMode, padding_mode_of
from fastnet.layers.sizes import check_declared, optional_input_size
from fastnet.ops.resample import padded_size
from fastnet.types import DType, Generator, Initializer, Shape

__all__ = ["AvgPool1d", "Conv1d", "MaxPool1d"]

Single = int | tuple[int]


def single(value: Any, name: str, minimum: int = 1) -> int:
    """An integer, or a tuple of one, as PyTorch takes."""
    value = frozen(value)
    return integer(value[0] if isinstance(value, tuple) and len(value) == 1 else value, name, minimum)


def signal_shape(layer: Layer, shape: Shape) -> tuple[int, int]:
    """`shape` as (C, L), or a ValueError."""
    if len(shape) != 2:
        raise ValueError(f"{type(layer).__name__}: expects signals, (N, C, L), got examples of shape {tuple(shape)}")
    return shape[0], shape[1]


class Conv1d(Layer):
    """A 1-d convolution, (N, C, L) to (N, K, Q); it runs on the kernels of `Conv2d`.

    ``Conv1d(out_channels, kernel_size, stride=...)`` infers the number of input channels when it is built;
    ``Conv1d(in_channels, out_channels, kernel_size, stride, ...)``, PyTorch's order, declares it.

    Parameters
    ----------
    in_channels : int, optional
        C; checked when the layer is built.
    out_channels : int
        K.
    kernel_size, stride, dilation : int
    padding : int, "same" (at any stride) or "valid"
        On both sides.
    groups : int
    bias : bool
    padding_mode : "zeros", "reflect", "replicate" or "circular"
        What lies outside the signal, as in `Conv2d`.
    initializer : str or function of (rng, shape)
        Of the weight (K, C // groups, kernel_size).
    bias_initializer : str or function of (rng, shape)
        As in `Conv2d`.
    """

    @overload
    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        kernel_size: Single,
        stride: Single = 1,
        padding: Single | str = 0,
        dilation: Single = 1,
        groups: int = 1,
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
        kernel_size: Single,
        *,
        stride: Single = 1,
        padding: Single | str = 0,
        dilation: Single = 1,
        groups: int = 1,
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
        kernel_size: Single,
        stride: Single = 1,
        padding: Single | str = 0,
        dilation: Single = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        *,
        initializer: str | Initializer = "kaiming_normal",
        bias_initializer: str | Initializer = "zeros",
    ) -> None:
        self.in_channels = None if in_channels is None else count(in_channels, "Conv1d: in_channels")
        self.out_channels = count(out_channels, "Conv1d: out_channels")
        self.kernel_size = single(kernel_size, "Conv1d: kernel_size")
        self.stride, self.dilation = single(stride, "Conv1d: stride"), single(dilation, "Conv1d: dilation")
        if isinstance(padding, str) and padding not in ("same", "valid"):
            raise ValueError(f'Conv1d: padding must be a number, "same" or "valid", got {padding!r}')
        self.padding = padding if isinstance(padding, str) else single(padding, "Conv1d: padding", 0)
        self.groups = count(groups, "Conv1d: groups")
        self.use_bias, self.padding_mode = flag(bias, "Conv1d: bias"), padding_mode_of(padding_mode, "Conv1d")
        self.initializer, self.bias_initializer = initializer, bias_initializer
        self.weight: Parameter | Any = None  # None until built
        self.bias: Parameter | Any = None  # None until built
        initializers.resolve(initializer)
        initializers.resolve(bias_initializer)

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        C, L = signal_shape(self, shape)
        check_declared("Conv1d", "in_channels", self.in_channels, C, " channels")
        w_shape: Shape = (self.out_channels, max(C // self.groups, 1), self.kernel_size)
        if self.weight is not None:
            w_shape = self.weight.shape  # the geometry reports a wrong number of channels
        geometry = self._geometry((1, C, L), w_shape)
        if self.padding_mode != "zeros":
            padded_size((1, C, 1, L), geometry.padding, self.padding_mode)
        self.parameter("weight", w_shape, self.initializer, rng, dtype)
        if self.use_bias:
            self.parameter("bias", (self.out_channels,), self.bias_initializer, rng, dtype, decay=False)
        self.macs = geometry.macs
        return geometry.y_shape[1:]

    def _geometry(self, x_shape: Sequence[int], w_shape: Sequence[int], padded: bool = False) -> Conv2dGeometry:
        (N, C, L), (K, per_group, S), padding = x_shape, w_shape, 0 if padded else self.padding
        around = padding if isinstance(padding, str) else (0, padding)
        sizes = (1, self.stride), around, (1, self.dilation), self.groups
        return Conv2dGeometry.make((N, C, 1, L), (K, per_group, 1, S), *sizes).of_signals()

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        geometry = self._geometry(x.shape, self.weight.shape)
        if self.padding_mode != "zeros":
            x = ops.pad(x, geometry.padding, self.padding_mode)
            geometry = self._geometry(x.shape, geometry.w_shape, padded=True)
        return ops.conv2d(x, self.weight, self.bias, geometry)


class _Pool1d(Layer):
    def __init__(self, kernel_size: Single, stride: Single | None, padding: Single, ceil_mode: bool) -> None:
        name, default = type(self).__name__, stride is None or frozen(stride) == ()
        self.kernel_size = single(kernel_size, f"{name}: kernel_size")
        self.stride = self.kernel_size if default else single(stride, f"{name}: stride")
        self.padding = single(padding, f"{name}: padding", 0)
        self.ceil_mode = flag(ceil_mode, f"{name}: ceil_mode")

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        return self.geometry((1, *signal_shape(self, shape))).y_shape[1:]

    def geometry(self, x_shape: Sequence[int]) -> Pool2dGeometry:
        """The geometry of this layer on inputs of shape (N, C, L)."""
        raise NotImplementedError

    def _geometry(self, x_shape: Sequence[int], **more: Any) -> Pool2dGeometry:
        (N, C, L), window = x_shape, ((1, self.kernel_size), (1, self.stride), (0, self.padding))
        name = type(self).__name__
        return Pool2dGeometry.make((N, C, 1, L), *window, self.ceil_mode, op=name, **more).of_signals()


class MaxPool1d(_Pool1d):
    """The largest value of each window of a signal; a window with a NaN gives NaN.

    Parameters
    ----------
    kernel_size : int
    stride : int, default `kernel_size`
    padding : int
        Padded elements count as absent.
    dilation : int
        The distance of a window's elements.
    return_indices : False
        PyTorch's argument; indices are not available.
    ceil_mode : bool
        Round the output size up, so that the last elements are covered too.
    """

    def __init__(
        self,
        kernel_size: Single,
        stride: Single | None = None,
        padding: Single = 0,
        dilation: Single = 1,
        return_indices: Literal[False] = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        if flag(return_indices, "MaxPool1d: return_indices"):
            raise TypeError("MaxPool1d: return_indices=True is not supported; a layer returns one array")
        self.dilation = single(dilation, "MaxPool1d: dilation")

    def geometry(self, x_shape: Sequence[int]) -> Pool2dGeometry:
        return self._geometry(x_shape, dilation=(1, self.dilation))

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.max_pool2d(x, self.geometry(x.shape))


class AvgPool1d(_Pool1d):
    """The mean of each window of a signal; kernel_size, stride, padding and ceil_mode as in :class:`MaxPool1d`.

    Parameters
    ----------
    count_include_pad : bool
        Whether padded elements count, as zeros.
    """

    def __init__(
        self,
        kernel_size: Single,
        stride: Single | None = None,
        padding: Single = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = flag(count_include_pad, "AvgPool1d: count_include_pad")

    def geometry(self, x_shape: Sequence[int]) -> Pool2dGeometry:
        return self._geometry(x_shape, count_include_pad=self.count_include_pad)

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.avg_pool2d(x, self.geometry(x.shape))
