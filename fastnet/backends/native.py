"""NativeOps: the contract on compiled kernels.  Allocate, call, return.

4-d arrays have shape (N, C, H, W) and lie in memory channels-last; anything else is copied once, where it enters.
"""

from __future__ import annotations

import math
import os

import numpy as np

from fastnet.backends import _native
from fastnet.backends.checks import FLOATS, TIES, check_gradient, check_shape, check_ties, one_dtype
from fastnet.backends.native_joined import NativeJoined
from fastnet.backends.native_plan import NativePlan
from fastnet.backends.native_pointwise import KERNELS, NativePointwise
from fastnet.backends.reference import Ops
from fastnet.cores import default_num_threads
from fastnet.geometry import Conv2dGeometry, Pool2dGeometry

_F32 = FLOATS[0]


def _start() -> None:
    """Choose instruction set (FASTNET_ISA) and threads once, when kernels are loaded."""
    isa = os.environ.get("FASTNET_ISA") or None
    if not _native.set_isa(isa):
        known = [name for name in ("avx512", "avx2", "neon", "portable") if _native.isa_supported(name)]
        raise ValueError(f"FASTNET_ISA={isa!r} is not available here; this CPU runs {', '.join(known)}")
    _native.set_threads(default_num_threads())


_start()


class NativeOps(NativeJoined, NativePointwise, Ops):
    """Ops on the kernels of csrc/."""

    name = "native"

    @property
    def threads(self) -> int:
        return _native.threads()

    # ---------------------------------------------------------------- arrays

    def asarray(self, x, dtype=None):
        x = np.asarray(x)
        if dtype is None:
            native = x.dtype.newbyteorder("=")
            dtype = native if native in FLOATS else _F32
        dtype = np.dtype(dtype)
        if x.dtype == dtype and x.dtype.isnative:
            return self._dense(x) if x.ndim else x
        if x.dtype.kind not in "fiub":
            raise TypeError(f"arrays must hold real numbers, got dtype {x.dtype}")
        if x.ndim == 0:
            return x.astype(dtype)
        y = self.empty(x.shape, dtype)
        y[...] = x
        return y

    def empty(self, shape, dtype):
        dtype = np.dtype(dtype)
        block = _native.Block(math.prod(shape) * dtype.itemsize)
        if len(shape) != 4:
            return np.ndarray(shape, dtype, block)
        N, C, H, W = shape
        item = dtype.itemsize
        return np.ndarray(shape, dtype, block, 0, (H * W * C * item, item, W * C * item, C * item))

    def zeros(self, shape, dtype):
        y = self.empty(shape, dtype)
        y[...] = 0
        return y

    def _c_empty(self, shape, dtype):
        """An uninitialised array in C order, whatever its rank."""
        return np.ndarray(shape, dtype, _native.Block(math.prod(shape) * dtype.itemsize))

    def _dense(self, x):
        """x as kernels read activations: itself, or a copy."""
        order = _native.layout(x)
        if order & 1:
            return x
        y = self.empty(x.shape, x.dtype)
        if order & 2:
            N, C, H, W = x.shape
            _native.to_channels_last(N, C, H * W, x, y)
        else:
            y[...] = x
        return y

    def contiguous(self, x, dtype=None):
        x = np.asarray(x)
        dtype = x.dtype.newbyteorder("=") if dtype is None else np.dtype(dtype)
        if x.dtype == dtype and x.dtype.isnative:
            return self._c_order(x)
        y = self._c_empty(x.shape, dtype)
        y[...] = x
        return y

    def _c_order(self, x):
        """x as kernels read weights: itself, or a copy."""
        order = _native.layout(x)
        if order & 2:
            return x
        y = self._c_empty(x.shape, x.dtype)
        if order & 1:
            N, C, H, W = x.shape
            _native.to_channels_first(N, C, H * W, x, y)
        else:
            y[...] = x
        return y

    # ---------------------------------------------------------------- whole networks

    def plan(self, graph, batch_size=1):
        return NativePlan(self, graph, batch_size)

    # ---------------------------------------------------------------- dense

    def matmul(self, a, b, transpose_a=False, transpose_b=False):
        dtype = one_dtype("matmul", a=a, b=b)
        if a.ndim != 2 or b.ndim != 2 or a.shape[not transpose_a] != b.shape[transpose_b]:
            shapes = (a.T if transpose_a else a).shape, (b.T if transpose_b else b).shape
            raise ValueError(f"matmul: shapes {shapes[0]} and {shapes[1]} do not fit")
        return self._gemm(self._c_order(a), transpose_a, self._c_order(b), transpose_b, None, dtype)

    def _gemm(self, a, transpose_a, b, transpose_b, bias, dtype):
        M, K = a.shape[::-1] if transpose_a else a.shape
        N = b.shape[0] if transpose_b else b.shape[1]
        y = self.empty((M, N), dtype)
        a_strides = (1, M) if transpose_a else (K, 1)
        b_strides = (1, K) if transpose_b else (N, 1)
        _native.gemm(M, N, K, a, *a_strides, b, *b_strides, bias, y)
        return y

    def linear(self, x, w, b, relu=False):
        dtype = one_dtype("linear", x=x, weight=w, bias=b)
        if x.ndim != 2 or w.ndim != 2 or x.shape[1] != w.shape[1]:
            raise ValueError(
                f"linear: x must be (N, in) and weight (out, in), got {tuple(x.shape)} and {tuple(w.shape)}"
            )
        if b is not None:
            check_shape("linear", "bias", b, w.shape[:1])
            b = self._c_order(b)
        x, w = self._c_order(x), self._c_order(w)
        y = self._gemm(x, False, w, True, b, dtype)
        if relu:
            _native.map_forward(KERNELS["relu"], y.size, 0.0, 0.0, y, y)
        return y, (x, w, y if relu else None)

    def linear_backward(self, dy, saved, needs=(True, True, True)):
        x, w, y = saved
        dtype = one_dtype("linear_backward", dy=dy, x=x)
        check_shape("linear_backward", "dy", dy, (x.shape[0], w.shape[0]))
        dy = self._c_order(dy) if y is None else self.relu_backward(dy, y)
        return (
            self._gemm(dy, False, w, False, None, dtype) if needs[0] else None,
            self._gemm(dy, True, x, False, None, dtype) if needs[1] else None,
            self._column_sum(dy, dy.shape[0], w.shape[0]) if needs[2] else None,
        )

    def _column_sum(self, dy, rows, columns):
        db = self.empty((columns,), dy.dtype)
        _native.column_sum(rows, columns, dy, db)
        return db

    # ---------------------------------------------------------------- convolution

    def _conv2d_arrays(self, x, w, b, geometry):
        """x, w, b as the kernels take them, and their dtype."""
        dtype = one_dtype("conv2d", x=x, weight=w, bias=b)
        check_shape("conv2d", "x", x, geometry.x_shape)
        check_shape("conv2d", "weight", w, geometry.w_shape)
        if b is not None:
            check_shape("conv2d", "bias", b, (geometry.K,))
            b = self._c_order(b)
        return self._dense(x), self._c_order(w), b, dtype

    def conv2d(self, x, w, b, geometry: Conv2dGeometry, relu=False):
        x, w, b, dtype = self._conv2d_arrays(x, w, b, geometry)
        y = self.empty(geometry.y_shape, dtype)
        _native.conv_forward(geometry.packed, x, w, None, b, None, relu, y)
        return y, (x, w, geometry, y if relu else None)

    def conv2d_scaled(self, x, w, geometry: Conv2dGeometry, scale, shift, add=None, relu=False):
        dtype = one_dtype("conv2d", x=x, weight=w, scale=scale, shift=shift, add=add)
        check_shape("conv2d", "x", x, geometry.x_shape)
        check_shape("conv2d", "weight", w, geometry.w_shape)
        check_shape("conv2d", "scale", scale, (geometry.K,))
        check_shape("conv2d", "shift", shift, (geometry.K,))
        if add is not None:
            check_shape("conv2d", "add", add, geometry.y_shape)
            add = self._dense(add)
        scale, shift, y = self._c_order(scale), self._c_order(shift), self.empty(geometry.y_shape, dtype)
        _native.conv_forward(geometry.packed, self._dense(x), self._c_order(w), scale, shift, add, relu, y)
        return y

    def conv2d_backward(self, dy, saved, needs=(True, True, True), add=None):
        x, w, g, y = saved
        dtype = one_dtype("conv2d_backward", dy=dy, x=x, add=add)
        check_shape("conv2d_backward", "dy", dy, g.y_shape)
        if add is not None:
            check_shape("conv2d_backward", "add", add, g.x_shape)
            add = self._dense(add)
        dy = self._dense(dy) if y is None else self.relu_backward(dy, y)
        dx = dw = db = None
        if needs[0]:
            dx = self.empty(g.x_shape, dtype)
            _native.conv_grad_input(g.packed, dy, w, add, dx)
        if needs[1]:
            dw = self._c_empty(g.w_shape, dtype)
            _native.conv_grad_weight(g.packed, x, dy, dw)
        if needs[2]:
            db = self._column_sum(dy, g.N * g.P * g.Q, g.K)
        return dx, dw, db

    def im2col(self, x, geometry: Conv2dGeometry):
        g = geometry
        check_shape("im2col", "x", x, g.x_shape)
        columns = self.empty((g.N, g.C * g.R * g.S, g.P * g.Q), one_dtype("im2col", x=x))
        _native.im2col(g.packed, self._dense(x), columns)
        return columns

    def col2im(self, columns, geometry: Conv2dGeometry):
        g = geometry
        dtype = one_dtype("col2im", columns=columns)
        check_shape("col2im", "columns", columns, (g.N, g.C * g.R * g.S, g.P * g.Q))
        x = self.empty(g.x_shape, dtype)
        _native.col2im(g.packed, self._c_order(columns), x)
        return x

    # ---------------------------------------------------------------- pooling

    def max_pool2d(self, x, geometry: Pool2dGeometry, relu=False):
        g = geometry
        dtype = one_dtype("max_pool2d", x=x)
        check_shape("max_pool2d", "x", x, g.x_shape)
        y, index = self._pooled(g, dtype)
        _native.max_pool(g.packed, self._dense(x), relu, y, index)
        return y, (index, g, dtype)

    def _pooled(self, g, dtype):
        """Room for maxima and where they come from."""
        return self.empty(g.y_shape, dtype), self.empty(g.y_shape, np.uint8 if g.R * g.S < 256 else np.int32)

    def max_pool2d_backward(self, dy, saved):
        index, g, dtype = saved
        check_gradient("max_pool2d_backward", dy, g.y_shape, dtype)
        dx = self.empty(g.x_shape, dy.dtype)
        _native.max_pool_backward(g.packed, self._dense(dy), index, dx)
        return dx

    def max_pool2d_planes(self, x, geometry: Pool2dGeometry, ties="first"):
        g = geometry
        check_ties("max_pool2d_planes", ties)
        dtype = one_dtype("max_pool2d_planes", x=x)
        check_shape("max_pool2d_planes", "x", x, g.x_shape)
        x, y = self._c_order(x), self._c_empty(g.y_shape, dtype)
        _native.max_pool_planes(g.packed, x, y)
        return y, (x, g, ties)

    def max_pool2d_planes_backward(self, dy, saved):
        x, g, ties = saved
        check_gradient("max_pool2d_planes_backward", dy, g.y_shape, x.dtype)
        dx = self._c_empty(g.x_shape, dy.dtype)
        _native.max_pool_planes_backward(g.packed, TIES.index(ties), self._c_order(x), self._c_order(dy), dx)
        return dx

    def avg_pool2d(self, x, geometry: Pool2dGeometry):
        g = geometry
        dtype = one_dtype("avg_pool2d", x=x)
        check_shape("avg_pool2d", "x", x, g.x_shape)
        y = self.empty(g.y_shape, dtype)
        _native.avg_pool(g.packed, self._dense(x), y)
        return y, (g, dtype)

    def avg_pool2d_backward(self, dy, saved):
        g, dtype = saved
        check_gradient("avg_pool2d_backward", dy, g.y_shape, dtype)
        dx = self.empty(g.x_shape, dy.dtype)
        _native.avg_pool_backward(g.packed, self._dense(dy), dx)
        return dx

    def global_avg_pool2d(self, x):
        if x.ndim != 4 or x.shape[2] * x.shape[3] == 0:
            raise ValueError(f"global_avg_pool2d: x must have shape (N, C, H, W) with H, W >= 1, got {tuple(x.shape)}")
        return self.avg_pool2d(x, Pool2dGeometry.make(x.shape, x.shape[2:], op="global_avg_pool2d"))

    def global_avg_pool2d_backward(self, dy, saved):
        return self.avg_pool2d_backward(dy, saved)
