"""Ops: the contract that every backend fulfils, written naively and readably against ``self.xp`` (NumPy).

Forward ops return ``(y, saved)``; the backward op takes ``saved``, which is opaque to everybody else.  Arrays have
shape (N, C, H, W) or (N, D); all arrays of a call have one dtype, float32 or float64.
"""

from __future__ import annotations

import numpy as np

from fastnet.backends.checks import FLOATS, check_gradient, check_shape, check_ties, one_dtype
from fastnet.backends.joined import JoinedOps
from fastnet.backends.pointwise import PointwiseOps
from fastnet.geometry import Conv2dGeometry, Pool2dGeometry


class Ops(JoinedOps, PointwiseOps):
    """The contract and its slow twin."""

    name = "reference"
    xp = np
    threads = 1  # that its ops use

    # ---------------------------------------------------------------- arrays

    def asarray(self, x, dtype=None):
        """Any array as this backend's array in `dtype` (default: its own float dtype, else float32)."""
        x = self.xp.asarray(x)
        if dtype is None:
            dtype = x.dtype.newbyteorder("=") if x.dtype.newbyteorder("=") in FLOATS else np.float32
        return self.xp.asarray(x, dtype=dtype)

    def contiguous(self, x, dtype=None):
        """Any array in C order and `dtype` (default: its own): itself where it is so, else a copy."""
        x = self.xp.asarray(x)
        return self.xp.ascontiguousarray(x, dtype=x.dtype.newbyteorder("=") if dtype is None else dtype)

    def to_numpy(self, x) -> np.ndarray:
        return np.asarray(x)

    def empty(self, shape, dtype):
        """An uninitialised array; 4-d arrays lie in the backend's memory order."""
        return self.xp.empty(shape, dtype)

    def zeros(self, shape, dtype):
        return self.xp.zeros(shape, dtype)

    # ---------------------------------------------------------------- whole networks

    def plan(self, graph, batch_size=1):
        """A function of x, (N, ...), that computes what :func:`fastnet.backends.graph.record` wrote down, with its
        arrays as they are now.  Made to be fast for `batch_size` images a call; takes any number."""
        steps = [
            (node, {name: value.copy() if hasattr(value, "dtype") else value for name, value in node.arguments.items()})
            for node in graph.nodes[1:]
        ]

        def run(x):
            values = {id(graph.source): x}
            for node, arguments in steps:
                inputs = [values[id(other)] for other in node.inputs]
                if "geometry" in arguments:
                    arguments = {**arguments, "geometry": arguments["geometry"].of_batch(len(x))}
                y = getattr(self, node.op)(*([inputs] if node.op == "concat" else inputs), **arguments)
                values[id(node)] = y[0] if isinstance(y, tuple) else y
            return values[id(graph.output)]

        return run

    # ---------------------------------------------------------------- dense

    def matmul(self, a, b, transpose_a=False, transpose_b=False):
        """(M, D) @ (D, L); either operand may be given transposed."""
        one_dtype("matmul", a=a, b=b)
        a, b = a.T if transpose_a else a, b.T if transpose_b else b
        if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
            raise ValueError(f"matmul: shapes {tuple(a.shape)} and {tuple(b.shape)} do not fit")
        return a @ b

    def linear(self, x, w, b, relu=False):
        """y = x @ w.T + b with x (N, in), w (out, in), b (out,) or None; its positive part with ``relu``."""
        one_dtype("linear", x=x, weight=w, bias=b)
        if x.ndim != 2 or w.ndim != 2 or x.shape[1] != w.shape[1]:
            raise ValueError(
                f"linear: x must be (N, in) and weight (out, in), got {tuple(x.shape)} and {tuple(w.shape)}"
            )
        if b is not None:
            check_shape("linear", "bias", b, w.shape[:1])
        y, positive = x @ w.T, None
        if b is not None:
            y = y + b
        if relu:
            y, positive = self.relu(y)
        return y, (x, w, positive)

    def linear_backward(self, dy, saved, needs=(True, True, True)):
        """(dx, dw, db); None where ``needs`` is False."""
        x, w, positive = saved
        one_dtype("linear_backward", dy=dy, x=x)
        check_shape("linear_backward", "dy", dy, (x.shape[0], w.shape[0]))
        if positive is not None:
            dy = self.relu_backward(dy, positive)
        return (
            dy @ w if needs[0] else None,
            dy.T @ x if needs[1] else None,
            dy.sum(axis=0) if needs[2] else None,
        )

    # ---------------------------------------------------------------- convolution

    def conv2d(self, x, w, b, geometry: Conv2dGeometry, relu=False):
        """y[n,k,p,q] = b[k] + sum over c,r,s of xpad[n, c, p*stride+r*dilation, q*stride+s*dilation] * w[k,c,r,s].

        With ``relu`` its positive part.  saved is (x, w, geometry, y with relu or None), for callers that have kept
        them themselves.
        """
        one_dtype("conv2d", x=x, weight=w, bias=b)
        check_shape("conv2d", "x", x, geometry.x_shape)
        check_shape("conv2d", "weight", w, geometry.w_shape)
        if b is not None:
            check_shape("conv2d", "bias", b, (geometry.K,))
        g = geometry
        xpad = self._pad(x, g.padding)
        y = self.xp.zeros(g.y_shape, x.dtype)
        for group, r, s in np.ndindex(g.groups, g.R, g.S):
            channels, filters = self._group(g, group)
            y[:, filters] += self.xp.einsum("ncpq,kc->nkpq", self._tap(xpad, g, r, s)[:, channels], w[filters, :, r, s])
        if b is not None:
            y += b[:, None, None]
        positive = None
        if relu:
            y, positive = self.relu(y)
        return y, (x, w, g, positive)

    def conv2d_scaled(self, x, w, geometry: Conv2dGeometry, scale, shift, add=None, relu=False):
        """relu(conv2d(x, w) * scale + shift + add), a number of scale and shift for each filter; no gradient."""
        one_dtype("conv2d", x=x, weight=w, scale=scale, shift=shift, add=add)
        y, _ = self.conv2d(x, w, None, geometry)
        check_shape("conv2d", "scale", scale, (geometry.K,))
        check_shape("conv2d", "shift", shift, (geometry.K,))
        y = y * scale[:, None, None] + shift[:, None, None]
        if add is not None:
            check_shape("conv2d", "add", add, geometry.y_shape)
            y = y + add
        return self.relu(y)[0] if relu else y

    def conv2d_backward(self, dy, saved, needs=(True, True, True), add=None):
        """(dx + add, dw, db); None where ``needs`` is False."""
        x, w, g, positive = saved
        one_dtype("conv2d_backward", dy=dy, x=x, add=add)
        check_shape("conv2d_backward", "dy", dy, g.y_shape)
        if add is not None:
            check_shape("conv2d_backward", "add", add, g.x_shape)
        if positive is not None:
            dy = self.relu_backward(dy, positive)
        xpad = self._pad(x, g.padding)
        dxpad, dw = self.xp.zeros_like(xpad), self.xp.zeros_like(w)
        for group, r, s in np.ndindex(g.groups, g.R, g.S):
            channels, filters = self._group(g, group)
            if needs[0]:
                self._tap(dxpad, g, r, s)[:, channels] += self.xp.einsum(
                    "nkpq,kc->ncpq", dy[:, filters], w[filters, :, r, s]
                )
            if needs[1]:
                dw[filters, :, r, s] = self.xp.einsum(
                    "nkpq,ncpq->kc", dy[:, filters], self._tap(xpad, g, r, s)[:, channels]
                )
        dx = self._unpad(dxpad, g.padding)
        return (
            (dx if add is None else dx + add) if needs[0] else None,
            dw if needs[1] else None,
            dy.sum(axis=(0, 2, 3)) if needs[2] else None,
        )

    def im2col(self, x, geometry: Conv2dGeometry):
        """Patches as columns, (N, C*R*S, P*Q), row (c*R + r)*S + s: then y = w.reshape(K, -1) @ columns."""
        check_shape("im2col", "x", x, geometry.x_shape)
        one_dtype("im2col", x=x)
        g = geometry
        xpad = self._pad(x, g.padding)
        columns = self.xp.empty((g.N, g.C, g.R, g.S, g.P, g.Q), x.dtype)
        for r, s in np.ndindex(g.R, g.S):
            columns[:, :, r, s] = self._tap(xpad, g, r, s)
        return columns.reshape(g.N, g.C * g.R * g.S, g.P * g.Q)

    def col2im(self, columns, geometry: Conv2dGeometry):
        """The adjoint of im2col: columns added up at the pixels where they came from, (N, C, H, W)."""
        g = geometry
        one_dtype("col2im", columns=columns)
        check_shape("col2im", "columns", columns, (g.N, g.C * g.R * g.S, g.P * g.Q))
        columns = columns.reshape(g.N, g.C, g.R, g.S, g.P, g.Q)
        top, bottom, left, right = g.padding
        xpad = self.xp.zeros((g.N, g.C, g.H + top + bottom, g.W + left + right), columns.dtype)
        for r, s in np.ndindex(g.R, g.S):
            self._tap(xpad, g, r, s)[...] += columns[:, :, r, s]
        return self._unpad(xpad, g.padding)

    def _pad(self, x, sides, value=0.0):
        top, bottom, left, right = sides
        return self.xp.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value)

    @staticmethod
    def _unpad(xpad, sides):
        top, bottom, left, right = sides
        return xpad[:, :, top : xpad.shape[2] - bottom, left : xpad.shape[3] - right]

    @staticmethod
    def _tap(xpad, g, r, s):
        """The view (N, C, P, Q) of the pixels that kernel position (r, s) meets."""
        dilation = getattr(g, "dilation", (1, 1))
        top, left = r * dilation[0], s * dilation[1]
        return xpad[
            :,
            :,
            top : top + (g.P - 1) * g.stride[0] + 1 : g.stride[0],
            left : left + (g.Q - 1) * g.stride[1] + 1 : g.stride[1],
        ]

    @staticmethod
    def _group(g, group):
        per_c, per_k = g.C // g.groups, g.K // g.groups
        return slice(group * per_c, (group + 1) * per_c), slice(group * per_k, (group + 1) * per_k)

    # ---------------------------------------------------------------- pooling

    def _pool_pad(self, x, g, value):
        """Pad by the geometry's sides and by what ceil_mode's last windows reach beyond them."""
        top, _, left, _ = g.padding
        bottom = max((g.P - 1) * g.stride[0] + g.R - top - g.H, 0)
        right = max((g.Q - 1) * g.stride[1] + g.S - left - g.W, 0)
        return self._pad(x, (top, bottom, left, right), value), (top, bottom, left, right)

    def max_pool2d(self, x, geometry: Pool2dGeometry, relu=False):
        """The largest value of each window; NaN wins, and the first of equals (rows first) gets the gradient.

        With ``relu`` its positive part, and no gradient where there is none.
        """
        one_dtype("max_pool2d", x=x)
        check_shape("max_pool2d", "x", x, geometry.x_shape)
        g, xp = geometry, self.xp
        xpad, _ = self._pool_pad(x, g, -np.inf)
        inside, _ = self._pool_pad(xp.ones((1, 1, g.H, g.W), bool), g, False)
        y = xp.full(g.y_shape, -np.inf, x.dtype)
        index = xp.full(g.y_shape, -1, np.int64)
        for r, s in np.ndindex(g.R, g.S):
            value = self._tap(xpad, g, r, s)
            better = ((index < 0) | ~(value <= y) & (y == y)) & self._tap(inside, g, r, s)
            y = xp.where(better, value, y)
            index = xp.where(better, r * g.S + s, index)
        if relu:
            y, index = self.relu(y)[0], xp.where(y > 0, index, -1)
        return y, (index, g, x.dtype)

    def max_pool2d_backward(self, dy, saved):
        index, g, dtype = saved
        check_gradient("max_pool2d_backward", dy, g.y_shape, dtype)
        dxpad, sides = self._pool_pad(self.xp.zeros(g.x_shape, dtype), g, 0.0)
        for r, s in np.ndindex(g.R, g.S):
            self._tap(dxpad, g, r, s)[...] += self.xp.where(index == r * g.S + s, dy, 0)
        return self._unpad(dxpad, sides)

    def max_pool2d_planes(self, x, geometry: Pool2dGeometry, ties="first"):
        """max_pool2d that reads and writes C order, with a rule for equal maxima of a window (NaN is equal to NaN).

        ties: "split", each gets an equal part of the gradient; "first", the first, rows first, all of it; "all", each
        all of it.  saved is (x, geometry, ties); backward finds the maxima again.
        """
        check_ties("max_pool2d_planes", ties)
        one_dtype("max_pool2d_planes", x=x)
        y, _ = Ops.max_pool2d(self, x, geometry)
        return y, (x, geometry, ties)

    def max_pool2d_planes_backward(self, dy, saved):
        x, g, ties = saved
        check_gradient("max_pool2d_planes_backward", dy, g.y_shape, x.dtype)
        y, _ = Ops.max_pool2d(self, x, g)
        xpad, sides = self._pool_pad(x, g, -np.inf)
        inside, _ = self._pool_pad(self.xp.ones((1, 1, g.H, g.W), bool), g, False)
        taps, wins = list(np.ndindex(g.R, g.S)), []
        for r, s in taps:
            value = self._tap(xpad, g, r, s)
            wins.append(((value == y) | (value != value)) & self._tap(inside, g, r, s))
        if ties == "split":
            dy = dy / sum(win.astype(x.dtype) for win in wins)
        if ties == "first":
            wins = [win & ~self.xp.any(self.xp.stack(wins[:i]), axis=0) if i else win for i, win in enumerate(wins)]
        dxpad = self.xp.zeros_like(xpad)
        for (r, s), win in zip(taps, wins, strict=True):
            self._tap(dxpad, g, r, s)[...] += self.xp.where(win, dy, 0)
        return self._unpad(dxpad, sides)

    def _divisor(self, g, dtype):
        top, bottom, left, right = g.padding
        counted = self.xp.ones((1, 1, g.H, g.W), dtype)
        if g.count_include_pad:
            counted = self._pad(counted, g.padding, 1.0)
            bottom = max((g.P - 1) * g.stride[0] + g.R - counted.shape[2], 0)
            right = max((g.Q - 1) * g.stride[1] + g.S - counted.shape[3], 0)
            counted = self._pad(counted, (0, bottom, 0, right))
        else:
            counted, _ = self._pool_pad(counted, g, 0.0)
        return sum(self._tap(counted, g, r, s) for r, s in np.ndindex(g.R, g.S))

    def avg_pool2d(self, x, geometry: Pool2dGeometry):
        """The mean of each window."""
        one_dtype("avg_pool2d", x=x)
        check_shape("avg_pool2d", "x", x, geometry.x_shape)
        g = geometry
        xpad, _ = self._pool_pad(x, g, 0.0)
        total = sum(self._tap(xpad, g, r, s) for r, s in np.ndindex(g.R, g.S))
        return total / self._divisor(g, x.dtype), (g, x.dtype)

    def avg_pool2d_backward(self, dy, saved):
        g, dtype = saved
        check_gradient("avg_pool2d_backward", dy, g.y_shape, dtype)
        dxpad, sides = self._pool_pad(self.xp.zeros(g.x_shape, dtype), g, 0.0)
        share = dy / self._divisor(g, dtype)
        for r, s in np.ndindex(g.R, g.S):
            self._tap(dxpad, g, r, s)[...] += share
        return self._unpad(dxpad, sides)

    def global_avg_pool2d(self, x):
        """The mean over all pixels, (N, C, 1, 1)."""
        one_dtype("global_avg_pool2d", x=x)
        if x.ndim != 4 or x.shape[2] * x.shape[3] == 0:
            raise ValueError(f"global_avg_pool2d: x must have shape (N, C, H, W) with H, W >= 1, got {tuple(x.shape)}")
        return x.mean(axis=(2, 3), keepdims=True), (x.shape, x.dtype)

    def global_avg_pool2d_backward(self, dy, saved):
        shape, dtype = saved
        N, C, H, W = shape
        check_gradient("global_avg_pool2d_backward", dy, (N, C, 1, 1), dtype)
        return self.xp.broadcast_to(dy / (H * W), shape).astype(dtype)
