"""CMU 11-785 "Introduction to Deep Learning", homework 2 part 1: the layers of ``mytorch.nn``, for images (N, C, H, W).

Layers have the names and attributes of the homework: ``W``, ``b``, and ``dLdW``, ``dLdb``, which accumulate over calls
of backward.  A strided layer contains the layers from which the homework builds it, including their parameters, but
computes only those outputs that the downsampling keeps::

    from fastnet.compat.mytorch import Conv2d, MaxPool2d, Flatten
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from fastnet.compat import kernels

__all__ = [
    "Conv1d",
    "Conv1d_stride1",
    "Conv2d",
    "Conv2d_stride1",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "Downsample1d",
    "Downsample2d",
    "Flatten",
    "MaxPool2d",
    "MaxPool2d_stride1",
    "MeanPool2d",
    "MeanPool2d_stride1",
    "Upsample1d",
    "Upsample2d",
]


# ---------------------------------------------------------------- resampling


def _steps(factor: int, axes: int) -> tuple:
    """The index of every `factor`-th element along the last `axes` axes."""
    return (..., *[slice(None, None, factor)] * axes)


class _Upsample:
    _axes = 1

    def __init__(self, upsampling_factor: int):
        self.upsampling_factor = upsampling_factor

    def forward(self, A: ArrayLike) -> np.ndarray:
        """A with upsampling_factor - 1 zeros between neighbours."""
        A, k = np.asarray(A), self.upsampling_factor
        sizes = [k * (size - 1) + 1 for size in A.shape[-self._axes :]]
        Z = np.zeros((*A.shape[:2], *sizes), kernels.promoted(type(self).__name__, A=A))
        Z[_steps(k, self._axes)] = A
        return Z

    def backward(self, dLdZ: ArrayLike) -> np.ndarray:
        """dLdA, the gradient with respect to A."""
        return np.ascontiguousarray(np.asarray(dLdZ)[_steps(self.upsampling_factor, self._axes)])


class _Downsample:
    _axes = 1

    def __init__(self, downsampling_factor: int):
        self.downsampling_factor = downsampling_factor

    def forward(self, A: ArrayLike) -> np.ndarray:
        """Every downsampling_factor-th element of A."""
        A = np.asarray(A)
        self._shape = A.shape
        return np.ascontiguousarray(A[_steps(self.downsampling_factor, self._axes)])

    def backward(self, dLdZ: ArrayLike) -> np.ndarray:
        """dLdA, which is zero where an element was dropped."""
        dLdZ = np.asarray(dLdZ)
        dLdA = np.zeros(self._shape, kernels.promoted(type(self).__name__, dLdZ=dLdZ))
        dLdA[_steps(self.downsampling_factor, self._axes)] = dLdZ
        return dLdA


class Upsample1d(_Upsample):
    """Insert zeros between the elements of (N, C, W)."""


class Downsample1d(_Downsample):
    """Keep every k-th element of (N, C, W)."""


class Upsample2d(_Upsample):
    """Insert zeros between the pixels of (N, C, H, W)."""

    _axes = 2


class Downsample2d(_Downsample):
    """Keep every k-th row and column of (N, C, H, W)."""

    _axes = 2


# ---------------------------------------------------------------- convolution


class _ConvStride1:
    """The base of convolutions at stride 1.

    Parameters
    ----------
    in_channels, out_channels, kernel_size : int
    weight_init_fn : function, optional
        ``W = weight_init_fn(out_channels, in_channels, kernel_size, ...)``; default: standard normal, ``np.random``.
    bias_init_fn : function, optional
        ``b = bias_init_fn(out_channels)``; default: zeros.
    """

    _axes, _saved = 1, None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        weight_init_fn: Callable | None = None,
        bias_init_fn: Callable | None = None,
    ):
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        shape = out_channels, in_channels, *[kernel_size] * self._axes
        self.W = np.random.normal(0, 1.0, shape) if weight_init_fn is None else weight_init_fn(*shape)
        self.b = np.zeros(out_channels) if bias_init_fn is None else bias_init_fn(out_channels)
        self.dLdW, self.dLdb = np.zeros(self.W.shape), np.zeros(self.b.shape)

    def forward(self, A: ArrayLike) -> np.ndarray:
        """Z (N, out_channels, ...) for A (N, in_channels, ...)."""
        return self._forward(A, 1, 0)

    def backward(self, dLdZ: ArrayLike) -> np.ndarray:
        """dLdA; adds to ``dLdW`` and ``dLdb``."""
        if self._saved is None:
            raise ValueError(f"{type(self).__name__}: call forward before backward")
        dLdZ = np.asarray(dLdZ)
        dLdA, dLdW, dLdb = kernels.conv_backward(self._images(dLdZ), self._saved, self._images(self.W))
        self.dLdW += dLdW.reshape(self.dLdW.shape)
        self.dLdb += dLdb.reshape(self.dLdb.shape)
        return self._back(dLdA)

    def _forward(self, A, stride, pad):
        self.A = np.asarray(A)
        lone = 2 - self._axes  # a 1-d signal is an image with one row
        strides, pads = (1,) * lone + (stride,) * self._axes, (0,) * lone + (pad,) * self._axes
        Z, self._saved = kernels.conv_forward(self._images(self.A), self._images(self.W), self.b, strides, pads)
        return self._back(Z)

    def _images(self, x):
        x = np.asarray(x)
        if x.ndim != 2 + self._axes:
            raise ValueError(f"{type(self).__name__}: expected {2 + self._axes} axes, got shape {x.shape}")
        return x[:, :, None] if self._axes == 1 else x

    def _back(self, x):
        return x[:, :, 0] if self._axes == 1 else x


class Conv1d_stride1(_ConvStride1):
    """1-d convolution at stride 1, W (out_channels, in_channels, K)."""


class Conv2d_stride1(_ConvStride1):
    """2-d convolution at stride 1, W (out_channels, in_channels, K, K)."""

    _axes = 2


class _Conv:
    """A strided convolution; ``conv1d_stride1`` or ``conv2d_stride1`` holds the parameters and their gradients.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding : int
    weight_init_fn, bias_init_fn : functions, optional
        As for the convolution at stride 1.
    """

    _inner: type[_ConvStride1] = Conv1d_stride1
    _downsample: type[_Downsample] = Downsample1d

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        padding: int = 0,
        weight_init_fn: Callable | None = None,
        bias_init_fn: Callable | None = None,
    ):
        self.stride, self.pad = stride, padding
        self._conv = self._inner(in_channels, out_channels, kernel_size, weight_init_fn, bias_init_fn)
        setattr(self, self._inner.__name__.lower(), self._conv)
        setattr(self, self._downsample.__name__.lower(), self._downsample(stride))

    def forward(self, A: ArrayLike) -> np.ndarray:
        """Z (N, out_channels, ...) for A (N, in_channels, ...)."""
        return self._conv._forward(A, self.stride, self.pad)

    def backward(self, dLdZ: ArrayLike) -> np.ndarray:
        """dLdA; adds to ``dLdW`` and ``dLdb`` of the convolution at stride 1."""
        return self._conv.backward(dLdZ)


class Conv1d(_Conv):
    """1-d convolution: ``conv1d_stride1``, then ``downsample1d``."""


class Conv2d(_Conv):
    """2-d convolution: ``conv2d_stride1``, then ``downsample2d``."""

    _inner, _downsample = Conv2d_stride1, Downsample2d


class _ConvTranspose:
    _inner: type[_ConvStride1] = Conv1d_stride1
    _upsample: type[_Upsample] = Upsample1d

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        upsampling_factor: int,
        weight_init_fn: Callable | None = None,
        bias_init_fn: Callable | None = None,
    ):
        self.upsampling_factor, self._up = upsampling_factor, self._upsample(upsampling_factor)
        self._conv = self._inner(in_channels, out_channels, kernel_size, weight_init_fn, bias_init_fn)
        setattr(self, self._upsample.__name__.lower(), self._up)
        setattr(self, self._inner.__name__.lower(), self._conv)

    def forward(self, A: ArrayLike) -> np.ndarray:
        """Z (N, out_channels, ...) for A (N, in_channels, ...)."""
        return self._conv.forward(self._up.forward(A))

    def backward(self, dLdZ: ArrayLike) -> np.ndarray:
        """dLdA; adds to ``dLdW`` and ``dLdb`` of the convolution."""
        return self._up.backward(self._conv.backward(dLdZ))


class ConvTranspose1d(_ConvTranspose):
    """``upsample1d``, then ``conv1d_stride1``."""


class ConvTranspose2d(_ConvTranspose):
    """``upsample2d``, then ``conv2d_stride1``."""

    _inner, _upsample = Conv2d_stride1, Upsample2d


# ---------------------------------------------------------------- pooling


class _MaxPool:
    def __init__(self, kernel: int, stride: int):
        self.kernel, self._stride = kernel, stride

    def forward(self, A: ArrayLike) -> np.ndarray:
        """The maximum of each window of A (N, C, H, W)."""
        self._A = np.array(A)
        return kernels.max_pool_forward(self._A, self.kernel, self._stride)

    def backward(self, dLdZ: ArrayLike) -> np.ndarray:
        """dLdA; the first of a window's equal maxima, row by row, receives its gradient."""
        return kernels.max_pool_backward(dLdZ, self._A, self.kernel, self._stride, ties="first")


class _MeanPool:
    def __init__(self, kernel: int, stride: int):
        self.kernel, self._stride = kernel, stride

    def forward(self, A: ArrayLike) -> np.ndarray:
        """The mean of each window of A (N, C, H, W)."""
        self._shape = np.shape(A)
        return kernels.avg_pool_forward(A, self.kernel, self._stride)

    def backward(self, dLdZ: ArrayLike) -> np.ndarray:
        """dLdA; each pixel of a window receives an equal part of its gradient."""
        return kernels.avg_pool_backward(dLdZ, self._shape, self.kernel, self._stride)


class MaxPool2d_stride1(_MaxPool):
    """Max pooling over windows of kernel x kernel at stride 1."""

    def __init__(self, kernel: int):
        super().__init__(kernel, 1)


class MeanPool2d_stride1(_MeanPool):
    """Mean pooling over windows of kernel x kernel at stride 1."""

    def __init__(self, kernel: int):
        super().__init__(kernel, 1)


class MaxPool2d(_MaxPool):
    """Max pooling over windows of kernel x kernel."""

    def __init__(self, kernel: int, stride: int):
        super().__init__(kernel, stride)
        self.stride, self.maxpool2d_stride1, self.downsample2d = stride, MaxPool2d_stride1(kernel), Downsample2d(stride)


class MeanPool2d(_MeanPool):
    """Mean pooling over windows of kernel x kernel."""

    def __init__(self, kernel: int, stride: int):
        super().__init__(kernel, stride)
        self.stride, self.meanpool2d_stride1 = stride, MeanPool2d_stride1(kernel)
        self.downsample2d = Downsample2d(stride)


class Flatten:
    """(N, C, H, W) or (N, C, W) to (N, C*H*W)."""

    def forward(self, A: ArrayLike) -> np.ndarray:
        """A with all axes but the first merged."""
        A = np.asarray(A)
        self._shape = A.shape
        return A.reshape(len(A), -1)

    def backward(self, dLdZ: ArrayLike) -> np.ndarray:
        """dLdZ in A's shape."""
        return np.asarray(dLdZ).reshape(self._shape)
