"""Pooling."""

from __future__ import annotations

from fastnet.geometry import Pool2dGeometry, pair
from fastnet.layers.base import Layer
from fastnet.layers.shape import image_shape

__all__ = ["MaxPool2d", "AvgPool2d", "GlobalAvgPool2d"]


class _Pool2d(Layer):
    _op = "pool2d"

    def __init__(self, kernel_size, stride=None, padding=0, ceil_mode=False):
        self.kernel_size = pair(kernel_size, f"{type(self).__name__}: kernel_size")
        self.stride = self.kernel_size if stride is None else pair(stride, f"{type(self).__name__}: stride")
        self.padding = tuple(padding) if isinstance(padding, list) else padding
        self.ceil_mode, self.count_include_pad = bool(ceil_mode), True

    def setup(self, shape, rng, dtype):
        return self.geometry((1, *image_shape(type(self).__name__, shape))).y_shape[1:]

    def geometry(self, x_shape) -> Pool2dGeometry:
        """Of this layer on inputs of a shape (N, C, H, W)."""
        return Pool2dGeometry.make(
            x_shape, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad, self._op
        )


class MaxPool2d(_Pool2d):
    """The largest value of each window; NaN wins.

    Parameters
    ----------
    kernel_size : int or pair
    stride : int or pair, default `kernel_size`
    padding : int, pair, (top, bottom, left, right), "same" or "valid"
        Never wins: padded pixels count as absent.
    ceil_mode : bool
        Round the output size up, so that the last pixels are seen too.
    """

    _op = "max_pool2d"

    def run(self, x, training, ops, relu=False):
        y, saved = ops.max_pool2d(x, self.geometry(x.shape), relu)

        def backward(dy, input_gradient=True):
            return ops.max_pool2d_backward(dy, saved) if input_gradient else None

        return y, backward


class AvgPool2d(_Pool2d):
    """The mean of each window; arguments as :class:`MaxPool2d`.

    Parameters
    ----------
    count_include_pad : bool
        Whether padded pixels count as zeros (PyTorch's default) or as absent.
    """

    _op = "avg_pool2d"

    def __init__(self, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = bool(count_include_pad)

    def run(self, x, training, ops):
        y, saved = ops.avg_pool2d(x, self.geometry(x.shape))

        def backward(dy, input_gradient=True):
            return ops.avg_pool2d_backward(dy, saved) if input_gradient else None

        return y, backward


class GlobalAvgPool2d(Layer):
    """The mean over all pixels, (N, C, H, W) to (N, C, 1, 1), at any H and W."""

    def setup(self, shape, rng, dtype):
        return image_shape("GlobalAvgPool2d", shape)[0], 1, 1

    def run(self, x, training, ops):
        y, saved = ops.global_avg_pool2d(x)

        def backward(dy, input_gradient=True):
            return ops.global_avg_pool2d_backward(dy, saved) if input_gradient else None

        return y, backward
