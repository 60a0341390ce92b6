"""Convolution."""

from __future__ import annotations

from fastnet import initializers
from fastnet.geometry import Conv2dGeometry, pair
from fastnet.layers.base import Layer, count
from fastnet.layers.parameter import weighted
from fastnet.layers.shape import image_shape

__all__ = ["Conv2d"]


class Conv2d(Layer):
    """A 2-d convolution, (N, C, H, W) to (N, K, P, Q); C is inferred.

    Parameters
    ----------
    filters : int
        K, the number of output channels.
    kernel_size : int or pair
        (R, S), vertical and horizontal.
    stride, dilation : int or pair
    padding : int, pair, (top, bottom, left, right), "same" (at any stride) or "valid"
    groups : int or "depthwise"
        Channels and filters are split into so many groups; "depthwise" is as many as there are channels.
    bias : bool
    initializer : str or function of (rng, shape)
        Of the weight (K, C // groups, R, S); the bias starts at 0.
    """

    def __init__(
        self, filters, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True, initializer="kaiming_normal"
    ):
        self.filters = count(filters, "Conv2d: filters")
        self.kernel_size = pair(kernel_size, "Conv2d: kernel_size")
        self.stride, self.dilation = pair(stride, "Conv2d: stride"), pair(dilation, "Conv2d: dilation")
        self.padding = tuple(padding) if isinstance(padding, list) else padding
        self.groups = groups if groups == "depthwise" else count(groups, "Conv2d: groups")
        self.use_bias, self.initializer = bool(bias), initializer
        self.weight = self.bias = None
        initializers.resolve(initializer)

    def setup(self, shape, rng, dtype):
        C, H, W = image_shape("Conv2d", shape)
        groups = C if self.groups == "depthwise" else self.groups
        w_shape = (self.filters, max(C // groups, 1), *self.kernel_size)
        if self.weight is not None:
            w_shape = self.weight.shape  # the geometry says it if x has other channels
        geometry = self._geometry((1, C, H, W), w_shape)
        self.parameter("weight", w_shape, self.initializer, rng, dtype)
        if self.use_bias:
            self.parameter("bias", (self.filters,), "zeros", rng, dtype, decay=False)
        self.macs = geometry.macs
        return geometry.y_shape[1:]

    def _geometry(self, x_shape, w_shape):
        groups = x_shape[1] if self.groups == "depthwise" else self.groups
        return Conv2dGeometry.make(x_shape, w_shape, self.stride, self.padding, self.dilation, groups)

    def geometry(self, x_shape) -> Conv2dGeometry:
        """Of this layer, built, on inputs of a shape (N, C, H, W)."""
        return self._geometry(x_shape, self.weight.value.shape)

    def run(self, x, training, ops, relu=False):
        weight, bias = self.weight, self.bias
        y, saved = ops.conv2d(x, weight.value, None if bias is None else bias.value, self.geometry(x.shape), relu)
        backward = weighted(ops.conv2d_backward, saved, weight, bias)
        backward.adds = True  # takes add=, another gradient of x to add its own to
        return y, backward
