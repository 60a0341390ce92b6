"""Shapes of convolutions and pooling windows: all arithmetic and all argument errors.

An existing geometry is valid in itself; ops check their arrays against it. No array is touched here.

Axes are named N C H W (batch, channels, rows, columns), K (filters), R S (kernel), P Q (output).
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from fastnet.types import Padding, Pair, Shape

__all__ = ["Conv2dGeometry", "Pool2dGeometry"]

# Every byte count must fit a signed 64-bit integer, times 8-byte items, 1,024 threads and a kernel's small factors.
_MAX_ELEMENTS = 2**46


def _integer(value: Any, name: str, minimum: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if not minimum <= number < 2**31:
        raise ValueError(f"{name} must be between {minimum} and 2**31 - 1, got {number}")
    return number


def pair(value: Any, name: str, minimum: int = 1) -> tuple[int, int]:
    """An int or a pair of ints as (vertical, horizontal).

    Raises
    ------
    TypeError
        Not an int or a pair of ints.
    ValueError
        A number below `minimum` or not below 2**31.
    """
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise ValueError(f"{name} must be an int or a pair of ints, got {value!r}")
        return _integer(value[0], name, minimum), _integer(value[1], name, minimum)
    number = _integer(value, name, minimum)
    return number, number


def _four_sides(padding: Any, name: str) -> tuple[int, int, int, int]:
    if isinstance(padding, (tuple, list)) and len(padding) == 4:
        top, bottom, left, right = (_integer(side, name, 0) for side in padding)
        return top, bottom, left, right
    if isinstance(padding, (tuple, list)) and len(padding) != 2:
        raise ValueError(f'{name} must be an int, a pair, (top, bottom, left, right) or "same", got {padding!r}')
    vertical, horizontal = pair(padding, name, 0)
    return vertical, vertical, horizontal, horizontal


def _same(size: int, span: int, stride: int) -> tuple[int, int]:
    """Padding (before, after) for which the output has ceil(size / stride) positions (TensorFlow's "SAME")."""
    total = max((-(-size // stride) - 1) * stride + span - size, 0)
    return total // 2, total - total // 2


def _padding(
    padding: Padding, op: str, size: tuple[int, int], span: tuple[int, int], stride: tuple[int, int]
) -> tuple[int, int, int, int]:
    if isinstance(padding, str):
        if padding == "valid":
            return 0, 0, 0, 0
        if padding != "same":
            raise ValueError(f'{op}: padding must be numbers, "same" or "valid", got {padding!r}')
        return *_same(size[0], span[0], stride[0]), *_same(size[1], span[1], stride[1])
    return _four_sides(padding, f"{op}: padding")


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
    N, C, H, W = (_integer(size, f"{op}: {name}.shape", 0) for size in shape)
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
        if isinstance(padding, list):
            padding = tuple(padding)
        if isinstance(stride, list):
            stride = tuple(stride)
        if isinstance(dilation, list):
            dilation = tuple(dilation)
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
    def x_shape(self) -> tuple[int, int, int, int]:
        return self.N, self.C, self.H, self.W

    @property
    def w_shape(self) -> tuple[int, int, int, int]:
        return self.K, self.C // self.groups, self.R, self.S

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        return self.N, self.K, self.P, self.Q

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
    groups = _integer(groups, f"{op}: groups", 1)
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
    sides = _padding(padding, op, (H, W), span, stride)
    padded = H + sides[0] + sides[1], W + sides[2] + sides[3]
    if span[0] > padded[0] or span[1] > padded[1]:
        raise ValueError(
            f"{op}: kernel {R}x{S} with dilation {dilation} covers {span[0]}x{span[1]} pixels, more than the padded "
            f"input's {padded[0]}x{padded[1]} (x.shape={x_shape}, padding={padding!r}); "
            "use a smaller kernel or more padding"
        )
    P = (padded[0] - span[0]) // stride[0] + 1
    Q = (padded[1] - span[1]) // stride[1] + 1
    _check_elements(op, x=x_shape, weight=w_shape, output=(N, K, P, Q), padded_input=(C, *padded))
    packed = struct.pack("=18q", N, C, H, W, K, R, S, P, Q, *stride, *sides, *dilation, groups)
    return Conv2dGeometry(N, C, H, W, K, R, S, P, Q, stride, sides, dilation, groups, packed)


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
    packed: bytes  # the same numbers as `fn_pool` of csrc/fastnet.h

    @classmethod
    def make(
        cls,
        x_shape: Sequence[int],
        kernel: Pair,
        stride: Pair | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        op: str = "pool2d",
    ) -> Pool2dGeometry:
        """Check every argument of a pooling and derive its output size.

        Parameters
        ----------
        x_shape : (N, C, H, W)
        kernel : int or pair
        stride : int or pair, default `kernel`
        padding : int, pair, (top, bottom, left, right), "same" or "valid"
            Smaller than the kernel on every side, so that no window covers padding alone.
        ceil_mode : bool
            Round the output size up; windows that would start beyond the input are dropped (PyTorch's rule).
        count_include_pad : bool
            Whether average pooling divides by the window's size with its padding (not with ceil_mode's overhang).
        op : str
            The name in error messages.
        """
        kernel = tuple(kernel) if isinstance(kernel, list) else kernel
        stride = tuple(stride) if isinstance(stride, list) else stride
        padding = tuple(padding) if isinstance(padding, list) else padding
        try:
            return _pool2d(tuple(x_shape), kernel, stride, padding, bool(ceil_mode), bool(count_include_pad), op)
        except TypeError as error:
            if "unhashable" not in str(error):
                raise
            raise TypeError(
                f"{op}: kernel, stride and padding must be ints or tuples of ints, got "
                f"{kernel!r}, {stride!r}, {padding!r}"
            ) from None

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        return self.N, self.C, self.H, self.W

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        return self.N, self.C, self.P, self.Q

    def of_batch(self, N: int) -> Pool2dGeometry:
        """The same for N images."""
        return replace(self, N=N, packed=struct.pack("=q", N) + self.packed[8:])


def _pooled(size: int, kernel: int, stride: int, before: int, after: int, ceil_mode: bool) -> int:
    room = size + before + after - kernel
    if not ceil_mode:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= size + before else count


@lru_cache(maxsize=4096, typed=True)
def _pool2d(
    x_shape: Shape,
    kernel: Pair,
    stride: Pair | None,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
    op: str,
) -> Pool2dGeometry:
    N, C, H, W = _shape(x_shape, op, "x")
    R, S = pair(kernel, f"{op}: kernel")
    stride = (R, S) if stride is None else pair(stride, f"{op}: stride")
    sides = _padding(padding, op, (H, W), (R, S), stride)
    if max(sides[0], sides[1]) >= R or max(sides[2], sides[3]) >= S:
        raise ValueError(f"{op}: padding {padding!r} must be smaller than the kernel {R}x{S} on every side")
    padded = H + sides[0] + sides[1], W + sides[2] + sides[3]
    if min(H, W) < 1 or R > padded[0] or S > padded[1]:
        raise ValueError(
            f"{op}: kernel {R}x{S} is larger than the padded input's {padded[0]}x{padded[1]} "
            f"(x.shape={x_shape}, padding={padding!r})"
        )
    if R * S >= 2**31:
        raise ValueError(f"{op}: a kernel of {R}x{S} has more positions than an index can hold (2**31 - 1)")
    P = _pooled(H, R, stride[0], sides[0], sides[1], ceil_mode)
    Q = _pooled(W, S, stride[1], sides[2], sides[3], ceil_mode)
    _check_elements(op, x=x_shape, output=(N, C, P, Q), window=(R, S))
    packed = struct.pack("=15q", N, C, H, W, R, S, P, Q, *stride, *sides, count_include_pad)
    return Pool2dGeometry(N, C, H, W, R, S, P, Q, stride, sides, count_include_pad, packed)
