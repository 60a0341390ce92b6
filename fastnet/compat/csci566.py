"""USC CSCI 566, assignment 1: the convolutional layers of ``lib/cnn/layer_utils.py``.

Images are (N, H, W, C).  The layers can be used in the assignment's ``sequential``::

    from fastnet.compat.csci566 import ConvLayer2D, MaxPoolingLayer
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from fastnet.compat import nhwc

__all__ = ["ConvLayer2D", "MaxPoolingLayer"]


def _images(img, what: str) -> np.ndarray:
    img = np.asarray(img)
    if img.ndim != 4:
        raise ValueError(f"{what}: expected a batch of images (N, H, W, C), got shape {img.shape}")
    return img


def _remembered(meta, name: str) -> np.ndarray:
    if meta is None:
        raise ValueError(f"{name}: call forward before backward")
    return meta


class ConvLayer2D:
    """Convolution with weights ``params[name + "_w"]`` (k, k, C, F) and biases ``params[name + "_b"]`` (F,).

    Parameters
    ----------
    input_channels, kernel_size, number_filters : int
    stride, padding : int
    init_scale : float
        Standard deviation of the initial weights, which are drawn from ``np.random``.
    name : str

    Attributes
    ----------
    params, grads : dict of arrays
    meta : array or None
        The images of the last forward pass; backward resets it to None.
    """

    def __init__(
        self,
        input_channels: int,
        kernel_size: int,
        number_filters: int,
        stride: int = 1,
        padding: int = 0,
        init_scale: float = 0.02,
        name: str = "conv",
    ):
        self.name, self.w_name, self.b_name = name, f"{name}_w", f"{name}_b"
        self.input_channels, self.kernel_size, self.number_filters = input_channels, kernel_size, number_filters
        self.stride, self.padding = stride, padding
        shape = kernel_size, kernel_size, input_channels, number_filters
        self.params = {self.w_name: init_scale * np.random.randn(*shape), self.b_name: np.zeros(number_filters)}
        self.grads: dict[str, np.ndarray | None] = {self.w_name: None, self.b_name: None}
        self.meta: np.ndarray | None = None

    def get_output_size(self, input_size: Sequence[int]) -> list[int]:
        """The shape of the output, as a list, for images of shape `input_size` (N, H, W, C)."""
        N, H, W, _ = input_size
        P, Q = (1 + (size + 2 * self.padding - self.kernel_size) // self.stride for size in (H, W))
        return [N, P, Q, self.number_filters]

    def forward(self, img: ArrayLike) -> np.ndarray:
        """The output (N, P, Q, F) for images (N, H, W, C)."""
        img = _images(img, self.name)
        output = nhwc.conv_forward(img, self.params[self.w_name], self.params[self.b_name], self.stride, self.padding)
        self.meta = img
        return output

    def backward(self, dprev: ArrayLike) -> np.ndarray:
        """Return the images' gradient for `dprev`, the output's gradient; store the parameters' ones in ``grads``."""
        img, w = _remembered(self.meta, self.name), self.params[self.w_name]
        dimg, self.grads[self.w_name], self.grads[self.b_name] = nhwc.conv_backward(
            dprev, img, w, self.stride, self.padding
        )
        self.meta = None
        return dimg


class MaxPoolingLayer:
    """Max pooling over windows of pool_size x pool_size; the first of equal maxima, row by row, gets the gradient.

    Parameters
    ----------
    pool_size, stride : int
    name : str
    """

    def __init__(self, pool_size: int, stride: int, name: str):
        self.pool_size, self.stride, self.name = pool_size, stride, name
        self.params: dict[str, np.ndarray] = {}
        self.grads: dict[str, np.ndarray] = {}
        self.meta: np.ndarray | None = None

    def forward(self, img: ArrayLike) -> np.ndarray:
        """The output (N, P, Q, C) for images (N, H, W, C)."""
        self.meta = images = _images(img, self.name)
        return nhwc.max_pool_forward(images, self.pool_size, self.stride)

    def backward(self, dprev: ArrayLike) -> np.ndarray:
        """Return the images' gradient for `dprev`, the output's gradient."""
        img = _remembered(self.meta, self.name)
        return nhwc.max_pool_backward(dprev, img, self.pool_size, self.stride, ties="first")
