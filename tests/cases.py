"""Shapes at which kernels have broken, and arrays with every awkward memory layout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Conv:
    """A convolution: x (N, C, H, W), weight (K, C // groups, R, S)."""

    N: int
    C: int
    H: int
    W: int
    K: int
    R: int
    S: int
    stride: int | tuple = 1
    padding: int | tuple | str = 0
    dilation: int | tuple = 1
    groups: int = 1

    @property
    def x_shape(self):
        return self.N, self.C, self.H, self.W

    @property
    def w_shape(self):
        return self.K, self.C // self.groups, self.R, self.S

    @property
    def arguments(self):
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}

    def __str__(self):
        text = f"{self.N}x{self.C}x{self.H}x{self.W}-k{self.K}x{self.R}x{self.S}"
        for name, default in (("stride", 1), ("padding", 0), ("dilation", 1), ("groups", 1)):
            value = getattr(self, name)
            if value != default:
                text += f"-{name[0]}{value}".replace(" ", "")
        return text


@dataclass(frozen=True)
class Pool:
    """A pooling of x (N, C, H, W)."""

    N: int
    C: int
    H: int
    W: int
    kernel: int | tuple
    stride: int | tuple | None = None
    padding: int | tuple | str = 0
    ceil_mode: bool = False
    dilation: int | tuple = 1

    @property
    def x_shape(self):
        return self.N, self.C, self.H, self.W

    @property
    def arguments(self):
        names = "kernel", "stride", "padding", "ceil_mode", *(("dilation",) if self.dilation != 1 else ())
        return {name: getattr(self, name) for name in names}

    def __str__(self):
        text = f"{self.N}x{self.C}x{self.H}x{self.W}-k{self.kernel}-s{self.stride}-p{self.padding}"
        text += "-ceil" * self.ceil_mode + f"-d{self.dilation}" * (self.dilation != 1)
        return text.replace(" ", "")


# ---------------------------------------------------------------- shapes

CONV = [
    # one pixel, one channel, one filter
    Conv(1, 1, 1, 1, 1, 1, 1),
    Conv(2, 3, 1, 1, 5, 1, 1),
    Conv(3, 17, 1, 1, 33, 3, 3, padding=1),
    # kernel as large as the padded input
    Conv(2, 3, 5, 4, 5, 5, 4),
    Conv(1, 2, 3, 3, 1, 5, 5, padding=1),
    # stride larger than the kernel, and than the input
    Conv(2, 3, 9, 8, 5, 2, 2, stride=3),
    Conv(2, 3, 7, 7, 4, 1, 1, stride=4),
    Conv(2, 2, 5, 6, 3, 3, 3, stride=9, padding=1),
    # pixels that no window covers: their gradient is 0
    Conv(2, 4, 8, 8, 3, 3, 3, stride=3),
    Conv(1, 3, 10, 11, 5, 5, 5, stride=3),
    # dilation
    Conv(2, 3, 9, 9, 5, 3, 3, dilation=2),
    Conv(2, 3, 11, 9, 4, 3, 2, stride=2, padding=(2, 1), dilation=(3, 2)),
    # padding that differs on four sides; larger than the kernel
    Conv(2, 3, 6, 7, 4, 3, 3, padding=(0, 1, 2, 3)),
    Conv(2, 3, 6, 7, 4, 3, 3, stride=(2, 1), padding=(3, 0, 0, 1)),
    Conv(1, 3, 4, 4, 5, 2, 2, padding=3),
    # "same" at any stride
    Conv(2, 3, 7, 8, 4, 3, 3, padding="same"),
    Conv(2, 3, 7, 8, 4, 4, 2, padding="same"),
    Conv(2, 3, 7, 8, 4, 3, 3, stride=2, padding="same"),
    Conv(2, 3, 8, 7, 4, 5, 3, stride=3, padding="same", dilation=2),
    # groups
    Conv(2, 4, 6, 6, 16, 3, 3, padding=1, groups=2),
    Conv(2, 6, 7, 6, 9, 3, 3, stride=2, padding=1, groups=3),
    Conv(2, 6, 5, 5, 3, 1, 1, groups=3),
    Conv(2, 34, 5, 5, 66, 3, 3, padding=1, groups=2),
    Conv(1, 32, 6, 6, 32, 3, 3, stride=2, padding=1, groups=2),
    # depthwise; with stride; with multiplier; wide and narrow
    Conv(2, 1, 6, 6, 1, 3, 3, padding=1),
    Conv(2, 5, 6, 7, 5, 3, 3, padding=1, groups=5),
    Conv(2, 24, 7, 7, 24, 3, 3, stride=2, padding=1, groups=24),
    Conv(2, 33, 7, 6, 33, 5, 5, stride=2, padding=2, groups=33),
    Conv(2, 16, 6, 6, 32, 3, 3, padding=1, groups=16),
    Conv(2, 3, 6, 6, 9, 3, 3, stride=2, dilation=2, padding=2, groups=3),
    Conv(1, 64, 5, 5, 64, 1, 1, groups=64),
    # channel counts around vector and tile widths
    Conv(2, 1, 7, 9, 5, 3, 3, padding=1),
    Conv(2, 3, 9, 7, 32, 3, 3, padding=1),
    Conv(2, 16, 5, 6, 33, 3, 3, padding=1),
    Conv(1, 17, 6, 5, 32, 3, 3, stride=2, padding=1),
    Conv(1, 33, 5, 5, 1, 3, 3, padding=1),
    Conv(1, 64, 7, 7, 64, 3, 3, padding=1),
    Conv(3, 64, 5, 4, 33, 1, 1),
    Conv(2, 16, 9, 9, 17, 1, 1, stride=2),
    Conv(1, 33, 4, 4, 130, 3, 3, padding=1),
    Conv(1, 200, 3, 3, 40, 3, 3, padding=1),
    # few channels, large kernels, thin images
    Conv(2, 3, 15, 13, 8, 7, 7, stride=2, padding=3),
    Conv(1, 1, 12, 11, 6, 5, 5),
    Conv(2, 3, 1, 19, 5, 1, 7, padding=(0, 3)),
    Conv(2, 3, 19, 1, 5, 7, 1, padding=(3, 0)),
    Conv(9, 8, 4, 4, 12, 3, 3, padding=1),
    Conv(20, 3, 5, 5, 4, 3, 3, stride=2, padding=1),
    # strided with few channels: several bands of rows, windows that overlap each edge, gaps between windows
    Conv(2, 3, 71, 9, 8, 3, 3, stride=2, padding=1),
    Conv(1, 1, 130, 6, 17, 7, 2, stride=(1, 2), padding=(3, 1)),
    Conv(2, 4, 40, 7, 9, 3, 4, stride=(3, 2), padding=(0, 4, 5, 0), dilation=(5, 1)),
    Conv(2, 3, 9, 30, 8, 2, 2, stride=(4, 5)),
    Conv(1, 2, 7, 3, 40, 3, 3, stride=3, padding=7),
    # empty batches
    Conv(0, 3, 5, 5, 4, 3, 3, padding=1),
    Conv(0, 8, 5, 5, 8, 3, 3, padding=1, groups=8),
]

POOL = [
    Pool(1, 1, 1, 1, 1),
    Pool(2, 3, 4, 4, 2),
    Pool(2, 3, 5, 7, 2),
    Pool(2, 17, 6, 5, (3, 2)),
    Pool(2, 3, 7, 7, 3, 2),
    Pool(2, 16, 7, 7, 3, 2, 1),
    Pool(1, 33, 6, 6, 3, 1, 1),
    Pool(2, 64, 5, 5, 2, 1),
    Pool(1, 3, 9, 9, 2, 4),
    Pool(1, 3, 4, 3, 2, 7),
    Pool(2, 5, 6, 7, 3, 2, (0, 1, 2, 1)),
    Pool(2, 5, 7, 8, 3, 2, "same"),
    Pool(2, 5, 7, 8, (2, 3), 3, "same"),
    Pool(2, 3, 6, 6, 3, 2, 0, True),
    Pool(2, 3, 5, 5, 2, 2, 0, True),
    Pool(1, 5, 7, 6, 3, 2, 1, True),
    Pool(1, 5, 7, 7, 2, 3, 1, True),
    Pool(1, 3, 4, 4, 3, 3, (2, 0, 1, 2), True),
    Pool(2, 3, 5, 4, (5, 4)),
    Pool(1, 3, 20, 19, (17, 16), 1),
    Pool(1, 8, 6, 6, 5, 5, 2),
    Pool(1, 2, 1, 9, (1, 3), (1, 2)),
    Pool(2, 12, 8, 8, 2),
    # ceil_mode: windows larger than the input
    Pool(1, 1, 2, 2, 3, 2, 0, True),
    Pool(2, 17, 2, 5, (4, 3), (3, 2), 0, True),
    Pool(1, 3, 4, 3, 6, 7, 1, True),
    Pool(0, 3, 4, 4, 2),
    Pool(2, 0, 4, 4, 2),
]

DILATED = [  # of max pooling
    Pool(2, 3, 7, 8, 2, 2, 0, False, 2),
    Pool(2, 17, 9, 8, 3, 1, 1, False, (2, 3)),
    Pool(1, 33, 9, 9, 3, 2, 2, True, 2),
    Pool(2, 5, 8, 11, (2, 3), (3, 1), (0, 1, 2, 1), True, (3, 2)),
    Pool(2, 3, 10, 7, (3, 2), 2, "same", False, (2, 1)),
    Pool(1, 4, 35, 34, (17, 16), (2, 3), 3, True, 2),
    Pool(2, 3, 5, 6, 1, 2, 0, False, 4),
    Pool(1, 2, 4, 4, 2, 3, 0, True, 4),
    Pool(0, 3, 8, 8, 2, 2, 0, False, 2),
]

NORM_SHAPES = [
    (2, 1),
    (5, 3),
    (64, 33),
    (7, 130),
    (2, 1, 1, 1),
    (2, 3, 4, 5),
    (3, 17, 3, 3),
    (4, 16, 5, 4),
    (2, 33, 7, 6),
    (1, 64, 2, 1),
    (40, 5, 6, 7),
]

GEMM = [
    (1, 1, 1),
    (1, 5, 1),
    (2, 1, 3),
    (3, 7, 5),
    (17, 33, 16),
    (13, 64, 32),
    (5, 300, 10),
    (33, 65, 129),
    (64, 10, 700),
    (0, 4, 3),
    (3, 0, 4),
    (3, 4, 0),
]  # M, K, N


# ---------------------------------------------------------------- hostile arrays


def _slices(x):
    """x in every other element of each axis of a larger array."""
    big = np.full([2 * size + 1 for size in x.shape], np.nan if x.dtype.kind == "f" else -1, x.dtype)
    view = big[tuple(slice(1, None, 2) for _ in x.shape)][tuple(slice(0, size) for size in x.shape)]
    view[...] = x
    return view


def _negative(x):
    """x with every stride negative."""
    flip = tuple(slice(None, None, -1) for _ in x.shape)
    return x[flip].copy()[flip]


def _read_only(x):
    copy = x.copy()
    copy.flags.writeable = False
    return copy


def _unaligned(x):
    """x one byte off its alignment."""
    memory = np.empty(x.nbytes + 1, np.uint8)
    view = np.ndarray(x.shape, x.dtype, memory, 1)
    view[...] = x
    return view


def _offset(x):
    """x aligned to its item, but not to a vector."""
    memory = np.empty(x.size + 1, x.dtype)
    view = memory[1:].reshape(x.shape)
    view[...] = x
    return view


def _last_to_second(x):
    """Channels-last memory (the last axis of the shape becomes second), for any rank of at least 2."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1) if x.ndim > 1 else x.copy()


def _transposed(x):
    """The last two axes swapped in memory."""
    return x.swapaxes(-1, -2).copy().swapaxes(-1, -2) if x.ndim > 1 else x.copy()


class _Subclass(np.ndarray):
    pass


HOSTILE = {
    "c-order": lambda x: np.array(x, order="C"),
    "channels-last": _last_to_second,
    "fortran": lambda x: np.array(x, order="F"),
    "negative-strides": _negative,
    "every-other": _slices,
    "byte-swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "read-only": _read_only,
    "unaligned": _unaligned,
    "offset": _offset,
    "transposed": _transposed,
    "subclass": lambda x: x.copy().view(_Subclass),
}


def hostile(x):
    """(name, array equal to x with an awkward memory layout), for each layout."""
    for name, make in HOSTILE.items():
        yield name, make(x)


def broadcast(shape, dtype, seed=0):
    """An array of `shape` whose first axis, and for 4-d shapes also the rows, have stride 0."""
    random = np.random.default_rng(seed)
    small = [1, *shape[1:]]
    if len(shape) == 4:
        small[2] = 1
    return np.broadcast_to(random.integers(-3, 4, small).astype(dtype), shape)


def integers(shape, dtype, seed=0, low=-4, high=4):
    """Integers: their sums of products are exact in float32 as long as they stay below 2**24."""
    return np.random.default_rng(seed).integers(low, high + 1, shape).astype(dtype)


def normal(shape, dtype, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)
