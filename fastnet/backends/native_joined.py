"""NativeOps' ops of several layers: a convolution and what comes after it, in one call."""

from __future__ import annotations

import numpy as np

from fastnet.backends import _native
from fastnet.backends.checks import check_gradient, check_shape, one_dtype
from fastnet.backends.joined import JoinedOps, check_joined


class NativeJoined(JoinedOps):
    """The kernels that work on some images at a time."""

    # ---------------------------------------------------------------- batch norm after a convolution

    def conv2d_batch_norm(self, x, w, b, geometry, statistics, add=None, relu=False):
        gamma, beta, running_mean, running_var, training = statistics[:5]
        running = {"running_mean": running_mean, "running_var": running_var}
        x, w, b, dtype = self._conv2d_arrays(x, w, b, geometry)
        one_dtype("batch_norm", x=x, gamma=gamma, beta=beta, add=add, **running)
        between, moments = self.empty(geometry.y_shape, dtype), None
        count = self._check_batch_norm(between, gamma, beta, running_mean, running_var, training, add)
        if training:
            moments = np.empty(geometry.K), np.empty(geometry.K)
            _native.conv_norm_forward(geometry.packed, x, w, b, between, *moments)
        else:
            _native.conv_forward(geometry.packed, x, w, None, b, None, False, between)
        y, saved = self._normalize(between, moments, statistics, count, add, relu, dtype)
        return y, (x, w, geometry, saved)

    def conv2d_batch_norm_backward(self, dy, saved, needs=(True,) * 5, add=None):
        x, w, g, saved = saved
        add = self._added(add, dy, g)
        dy, norm, sums, gradients, gated = self._norm_sums(dy, saved, needs[3], needs[4] or needs[2])
        dx, dw = self._conv2d_gradients(g, dy.dtype, needs)
        db = None
        if needs[2] and sums[0] is None:
            slope = norm[4] if norm[5] is None else norm[4] * norm[5]
            db = (slope * gradients[1]).astype(dy.dtype)
        elif needs[2]:  # the batch's mean takes any bias away
            db = np.zeros(g.K, dy.dtype)
        if needs[0] or needs[1]:
            _native.conv_norm_backward(g.packed, norm, x, w, dy, saved[0], *sums, add, dx, dw)
        return dx, dw, db, *(total if need else None for total, need in zip(gradients, needs[3:], strict=True)), gated

    def _added(self, add, dy, g):
        """The gradient that dx is added to, as kernels take it."""
        if add is None:
            return None
        one_dtype("conv2d_backward", dy=dy, add=add)
        check_shape("conv2d_backward", "add", add, g.x_shape)
        return self._dense(add)

    def _conv2d_gradients(self, g, dtype, needs):
        """Room for dx and dw, where they are needed."""
        dx = self.empty(g.x_shape, dtype) if needs[0] else None
        return dx, self._c_empty(g.w_shape, dtype) if needs[1] else None

    # ---------------------------------------------------------------- max pooling after a convolution

    def conv2d_max_pool(self, x, w, b, geometry, pool_geometry, relu=False):
        x, w, b, dtype = self._conv2d_arrays(x, w, b, geometry)
        check_joined(geometry, pool_geometry)
        y, index = self._pooled(pool_geometry, dtype)
        _native.conv_pool_forward(geometry.packed, pool_geometry.packed, x, w, b, relu, y, index)
        return y, (x, w, geometry, index, pool_geometry)

    def conv2d_max_pool_backward(self, dy, saved, needs=(True,) * 3, add=None):
        x, w, g, index, pool = saved
        check_gradient("conv2d_max_pool_backward", dy, pool.y_shape, x.dtype)
        add, (dx, dw) = self._added(add, dy, g), self._conv2d_gradients(g, dy.dtype, needs)
        db = self.empty((g.K,), dy.dtype) if needs[2] else None
        _native.conv_pool_backward(g.packed, pool.packed, x, w, self._dense(dy), index, add, dx, dw, db)
        return dx, dw, db
