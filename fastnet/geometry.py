"""Shapes of convolutions and pooling windows: all arithmetic and all argument errors.

An existing geometry is valid in itself; ops check their arrays against it. No array is touched here.

Axes are named N C H W (batch, channels, rows, columns), K (filters), R S (kernel), P Q (output).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from fastnet.arguments import flag, frozen, integer, nonzero, pair, pooling_stride, sides
from fastnet.types import Padding, Pair, Shape

__all__ = ["Conv2dGeometry", "Pool2dGeometry"]

# Every byte count must fit a signed 64-bit integer, times 8-byte items, 1,024 threads and a kernel's small factors.
_MAX_ELEMENTS = 2**46


def _check_elements(op: str, **shapes: tuple[int, ...]) -> None:
    for name, shape in shapes.items():
        count = 1
        for size in shape:
            count *= max(size, 1)
        if count > _MAX_ELEMENTS:
            raise ValueError(f"{op}: {name} of shape {shape} has more elements than memory can hold")


def _shape(shape: Sequence[int], op: str, name: str) -> tuple[int, int, int, int]:
    shape = tuple(shape)
    if len(shape) != 4:
        hint = " (a single image needs a leading batch axis: x[None])" if len(shape) == 3 else ""
        raise ValueError(f"{op}: {name} must have 4 axes, got shape {shape}{hint}")
    N, C, H, W = (integer(size, f"{op}: {name}.shape", 0) for size in shape)
    return N, C, H, W


@dataclass(frozen=True, slots=True)
class Conv2dGeometry:
    """The geometry of a 2-d convolution (cross-correlation, as in every deep-learning library).

    Build it with :meth:`make`.  ``P = (H + top + bottom - dilation_h * (R - 1) - 1) // stride_h + 1``, and Q alike.
    """

    N: int
    C: int
    H: int
    W: int
    K: int
    R: int
    S: int
    P: int
    Q: int
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    dilation: tuple[int, int]
    groups: int
    packed: bytes  # the same numbers as `fn_conv` of csrc/fastnet.h
    signals: bool = False  # whether arrays are signals, (N, C, L): images of one row without that axis

    @classmethod
    def make(
        cls,
        x_shape: Sequence[int],
        w_shape: Sequence[int],
        stride: Pair = 1,
        padding: Padding = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias_shape: Sequence[int] | None = None,
    ) -> Conv2dGeometry:
        """Check every argument of a convolution and derive its output size.

        Parameters
        ----------
        x_shape : (N, C, H, W)
        w_shape : (K, C // groups, R, S)
        stride, dilation : int or pair
        padding : int, pair, (top, bottom, left, right), "same" (any stride) or "valid"
        groups : int
            Divides C and K.
        bias_shape : (K,), optional

        Raises
        ------
        TypeError, ValueError
            Which argument is wrong, what was given, and what was expected.
        """
        stride, padding, dilation = frozen(stride), frozen(padding), frozen(dilation)
        bias_shape = None if bias_shape is None else tuple(bias_shape)
        try:
            return _conv2d(tuple(x_shape), tuple(w_shape), stride, padding, dilation, groups, bias_shape)
        except TypeError as error:
            if "unhashable" not in str(error):
                raise
            raise TypeError(
                f"conv2d: stride, padding, dilation and groups must be ints or tuples of ints, got "
                f"{stride!r}, {padding!r}, {dilation!r}, {groups!r}"
            ) from None

    @property
    def x_shape(self) -> Shape:
        return (self.N, self.C, self.W) if self.signals else (self.N, self.C, self.H, self.W)

    @property
    def w_shape(self) -> Shape:
        per_group = self.C // self.groups
        return (self.K, per_group, self.S) if self.signals else (self.K, per_group, self.R, self.S)

    @property
    def y_shape(self) -> Shape:
        return (self.N, self.K, self.Q) if self.signals else (self.N, self.K, self.P, self.Q)

    def of_signals(self) -> Conv2dGeometry:
        """The same for signals, (N, C, L), and kernels of one row."""
        return replace(self, signals=True)

    def of_batch(self, N: int) -> Conv2dGeometry:
        """The same for N images."""
        return replace(self, N=N, packed=struct.pack("=q", N) + self.packed[8:])

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the forward pass."""
        return self.N * self.K * self.P * self.Q * (self.C // self.groups) * self.R * self.S


@lru_cache(maxsize=4096, typed=True)
def _conv2d(
    x_shape: Shape,
    w_shape: Shape,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    bias_shape: Shape | None,
) -> Conv2dGeometry:
    op = "conv2d"
    N, C, H, W = _shape(x_shape, op, "x")
    K, Cg, R, S = _shape(w_shape, op, "weight")
    if min(K, Cg, R, S) < 1:
        raise ValueError(f"{op}: weight must not be empty, got shape {w_shape}")
    groups = integer(groups, f"{op}: groups", 1)
    stride = pair(stride, f"{op}: stride")
    dilation = pair(dilation, f"{op}: dilation")
    if C != Cg * groups:
        per = f" per group x {groups} groups = {Cg * groups}" if groups > 1 else ""
        raise ValueError(f"{op}: weight expects {Cg}{per} input channels, x has {C} (x.shape={x_shape})")
    if K % groups:
        raise ValueError(f"{op}: {K} filters cannot be split into {groups} groups (groups must divide K)")
    if bias_shape is not None and bias_shape != (K,):
        raise ValueError(f"{op}: bias must have shape ({K},), one element per filter, got {bias_shape}")
    span = dilation[0] * (R - 1) + 1, dilation[1] * (S - 1) + 1
    around = sides(padding, op, (H, W), span, stride)
    padded = H + around[0] + around[1], W + around[2] + around[3]
    if span[0] > padded[0] or span[1] > padded[1]:
        raise ValueError(
            f"{op}: kernel {R}x{S} with dilation {dilation} covers {span[0]}x{span[1]} pixels, more than the padded "
            f"input's {padded[0]}x{padded[1]} (x.shape={x_shape}, padding={padding!r}); "
            "use a smaller kernel or more padding"
        )
    P = (padded[0] - span[0]) // stride[0] + 1
    Q = (padded[1] - span[1]) // stride[1] + 1
    _check_elements(op, x=x_shape, weight=w_shape, output=(N, K, P, Q), padded_input=(C, *padded))
    packed = struct.pack("=18q", N, C, H, W, K, R, S, P, Q, *stride, *around, *dilation, groups)
    return Conv2dGeometry(N, C, H, W, K, R, S, P, Q, stride, around, dilation, groups, packed)


@dataclass(frozen=True, slots=True)
class Pool2dGeometry:
    """The geometry of max and average pooling.  Build it with :meth:`make`."""

    N: int
    C: int
    H: int
    W: int
    R: int
    S: int
    P: int
    Q: int
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    count_include_pad: bool
    dilation: tuple[int, int]
    divisor: int | None
    packed: bytes  # the same numbers as `fn_pool` of csrc/fastnet.h
    signals: bool = False  # as in Conv2dGeometry

    @classmethod
    def make(
        cls,
        x_shape: Sequence[int],
        kernel: Pair,
        stride: Pair | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool | None = None,
        op: str = "pool2d",
        dilation: Pair = 1,
        divisor: int | None = None,
    ) -> Pool2dGeometry:
        """Check every argument of a pooling and derive its output size.

        Parameters
        ----------
        x_shape : (N, C, H, W)
        kernel : int or pair
        stride : int or pair, default `kernel`
            () is the default, too, as in PyTorch.
        padding : int, pair, (top, bottom, left, right), "same" or "valid"
            Smaller than the window on every side, so that no window covers padding alone.
        ceil_mode : bool
            Round the output size up; windows that would start beyond the input are dropped (PyTorch's rule).
        count_include_pad : bool, optional
            Whether average pooling divides by the window's size with its padding (not with ceil_mode's overhang).
            Default: True, as in PyTorch, but False for padding="same", as in TensorFlow.
        op : str
            The name in error messages.
        dilation : int or pair
            The distance of a window's pixels; of max pooling only.
        divisor : int other than 0, optional
            What average pooling divides by, whatever the windows cover.
        """
        kernel, stride, padding, dilation = frozen(kernel), frozen(stride), frozen(padding), frozen(dilation)
        if count_include_pad is None:
            count_include_pad = padding != "same"
        if divisor is not None:
            divisor = nonzero(divisor, f"{op}: divisor_override")
        ceil_mode = flag(ceil_mode, f"{op}: ceil_mode")
        count_include_pad = flag(count_include_pad, f"{op}: count_include_pad")
        try:
            return _pool2d(tuple(x_shape), kernel, stride, padding, ceil_mode, count_include_pad, op, dilation, divisor)
        except TypeError as error:
            if "unhashable" not in str(error):
                raise
            raise TypeError(
                f"{op}: kernel, stride, padding and dilation must be ints or tuples of ints, got "
                f"{kernel!r}, {stride!r}, {padding!r}, {dilation!r}"
            ) from None

    @property
    def x_shape(self) -> Shape:
        return (self.N, self.C, self.W) if self.signals else (self.N, self.C, self.H, self.W)

    @property
    def y_shape(self) -> Shape:
        return (self.N, self.C, self.Q) if self.signals else (self.N, self.C, self.P, self.Q)

    def of_signals(self) -> Pool2dGeometry:
        """The same for signals, (N, C, L), and kernels of one row."""
        return replace(self, signals=True)

    def of_batch(self, N: int) -> Pool2dGeometry:
        """The same for N images."""
        return replace(self, N=N, packed=struct.pack("=q", N) + self.packed[8:])


def _pooled(size: int, span: int, stride: int, before: int, after: int, ceil_mode: bool) -> int:
    """The number of windows along an axis; 0 or less if none fits."""
    room = size + before + after - span
    if not ceil_mode:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= size + before else count


def _misses(size: int, count: int, stride: int, dilation: int, before: int) -> bool:
    """Whether one of `count` windows starts in the padding before an axis, and its taps step over the whole axis."""
    if dilation <= size:
        return False
    few = min(count, dilation // math.gcd(dilation, stride))  # then the starts' remainders repeat
    starts = range(-before, 0, stride)[:few]
    return any(start % dilation >= size for start in starts)


@lru_cache(maxsize=4096, typed=True)
def _pool2d(
    x_shape: Shape,
    kernel: Pair,
    stride: Pair | None,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
    op: str,
    dilation: Pair,
    divisor: int | None,
) -> Pool2dGeometry:
    N, C, H, W = _shape(x_shape, op, "x")
    R, S = pair(kernel, f"{op}: kernel")
    stride = pooling_stride(stride, (R, S), f"{op}: stride")
    dilation = pair(dilation, f"{op}: dilation")
    span = dilation[0] * (R - 1) + 1, dilation[1] * (S - 1) + 1
    around = sides(padding, op, (H, W), span, stride)
    what = f"kernel {R}x{S}" + (f" with dilation {dilation} ({span[0]}x{span[1]} pixels)" if max(dilation) > 1 else "")
    if max(around[:2]) >= span[0] or max(around[2:]) >= span[1]:
        raise ValueError(f"{op}: padding {padding!r} must be smaller than the {what} on every side")
    P = _pooled(H, span[0], stride[0], *around[:2], ceil_mode)
    Q = _pooled(W, span[1], stride[1], *around[2:], ceil_mode)
    if min(H, W, P, Q) < 1:
        raise ValueError(
            f"{op}: {what} is larger than the padded input's {H + sum(around[:2])}x{W + sum(around[2:])} "
            f"(x.shape={x_shape}, padding={padding!r}); use a smaller kernel or more padding"
        )
    if _misses(H, P, stride[0], dilation[0], around[0]) or _misses(W, Q, stride[1], dilation[1], around[2]):
        raise ValueError(
            f"{op}: with dilation {dilation} and padding {padding!r}, a window has no pixel inside the input's {H}x{W}"
        )
    if R * S >= 2**31:
        raise ValueError(f"{op}: a kernel of {R}x{S} has more positions than an index can hold (2**31 - 1)")
    _check_elements(op, x=x_shape, output=(N, C, P, Q), window=span)
    numbers = N, C, H, W, R, S, P, Q, *stride, *around, count_include_pad, *dilation, divisor or 0
    packed = struct.pack("=18q", *numbers)
    return Pool2dGeometry(N, C, H, W, R, S, P, Q, stride, around, count_include_pad, dilation, divisor, packed)
