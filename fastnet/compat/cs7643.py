"""Georgia Tech CS 7643, assignment 2: the modules Conv2D and MaxPooling, for images (N, C, H, W).

::

    from fastnet.compat.cs7643 import Conv2D, MaxPooling
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastnet.compat import kernels

__all__ = ["Conv2D", "MaxPooling"]


class Conv2D:
    """Convolution; `backward` returns nothing and stores the gradients in ``dx``, ``dw`` and ``db``.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, padding : int

    Attributes
    ----------
    weight : array, (out_channels, in_channels, kernel_size, kernel_size)
        Normally distributed with standard deviation 1e-3, drawn after ``np.random.seed(1024)``, as in the course.
    bias : array, (out_channels,)
    cache
        What backward needs from the last forward pass.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1, padding: int = 0):
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        np.random.seed(1024)
        self.weight = 1e-3 * np.random.randn(out_channels, in_channels, kernel_size, kernel_size)
        self.bias = np.zeros(out_channels)
        self.cache: kernels.Saved | None = None
        self.dx: np.ndarray | None = None
        self.dw: np.ndarray | None = None
        self.db: np.ndarray | None = None

    def forward(self, x: ArrayLike) -> np.ndarray:
        """The output (N, out_channels, P, Q) for x (N, in_channels, H, W)."""
        out, self.cache = kernels.conv_forward(x, self.weight, self.bias, self.stride, self.padding)
        return out

    def backward(self, dout: ArrayLike) -> None:
        """Compute the gradients from `dout`, the gradient of the output."""
        if self.cache is None:
            raise ValueError("Conv2D: call forward before backward")
        self.dx, self.dw, self.db = kernels.conv_backward(dout, self.cache, self.weight)


class MaxPooling:
    """Max pooling; `backward` stores the gradient in ``dx``.  The first of equal maxima, row by row, receives it.

    Parameters
    ----------
    kernel_size, stride : int
    """

    def __init__(self, kernel_size: int, stride: int):
        self.kernel_size, self.stride = kernel_size, stride
        self.cache: tuple[np.ndarray, int, int] | None = None
        self.dx: np.ndarray | None = None

    def forward(self, x: ArrayLike) -> np.ndarray:
        """The output (N, C, P, Q) for x (N, C, H, W)."""
        out = kernels.max_pool_forward(x, self.kernel_size, self.stride)
        self.cache = np.array(x), out.shape[2], out.shape[3]
        return out

    def backward(self, dout: ArrayLike) -> None:
        """Compute the gradient from `dout`, the gradient of the output."""
        if self.cache is None:
            raise ValueError("MaxPooling: call forward before backward")
        self.dx = kernels.max_pool_backward(dout, self.cache[0], self.kernel_size, self.stride, ties="first")
