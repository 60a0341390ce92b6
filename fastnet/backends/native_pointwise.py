"""NativeOps' second half: normalisation, activations, random masks, losses, optimiser updates, plumbing."""

from __future__ import annotations

import math

import numpy as np

from fastnet.backends import _native
from fastnet.backends.checks import FLOATS, check_gradient, check_joinable, check_labels, check_shape, one_dtype
from fastnet.backends.pointwise import PointwiseOps

_F64 = np.dtype(np.float64)
KERNELS = {name: number for number, name in enumerate(_native.ELEMENTWISE)}


def _extents(shape) -> tuple[int, int, int]:
    """(N, C) or (N, C, H, W) as images, pixels, C."""
    return shape[0], math.prod(shape[2:]), shape[1]


class NativePointwise(PointwiseOps):
    """The elementwise and per-channel kernels."""

    # ---------------------------------------------------------------- batch norm

    def batch_norm(self, x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
        return self._batch_norm(x, gamma, beta, running_mean, running_var, training, momentum, eps, None, False)

    def batch_norm_relu(self, x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5, add=None):
        return self._batch_norm(x, gamma, beta, running_mean, running_var, training, momentum, eps, add, True)

    def _batch_norm(self, x, gamma, beta, running_mean, running_var, training, momentum, eps, add, relu):
        dtype = one_dtype(
            "batch_norm", x=x, gamma=gamma, beta=beta, running_mean=running_mean, running_var=running_var, add=add
        )
        count = self._check_batch_norm(x, gamma, beta, running_mean, running_var, training, add)
        x, moments = self._dense(x), None
        if training:
            moments = np.empty(x.shape[1]), np.empty(x.shape[1])
            _native.norm_moments(*_extents(x.shape), x, *moments)
        statistics = gamma, beta, running_mean, running_var, training, momentum, eps
        return self._normalize(x, moments, statistics, count, add, relu, dtype)

    def _normalize(self, x, moments, statistics, count, add, relu, dtype):
        """Of dense x, by its mean and variance if there are moments, which move the running ones, else by these."""
        gamma, beta, running_mean, running_var, _, momentum, eps = statistics
        if moments is None:
            mean, var = running_mean.astype(_F64), running_var.astype(_F64)
        else:
            mean, var = moments
            if running_mean is not None:
                running_mean += momentum * (mean.astype(dtype) - running_mean)
                running_var += momentum * ((var * (count / (count - 1))).astype(dtype) - running_var)
        gamma = None if gamma is None else self._c_order(gamma)
        beta = None if beta is None else self._c_order(beta)
        add = None if add is None else self._dense(add)
        norm = (*_extents(x.shape), mean, 1.0 / np.sqrt(var + eps), gamma, beta, relu)
        y = self.empty(x.shape, dtype)
        _native.norm_apply(norm, x, add, y)
        return y, (x, norm, moments is not None, None if add is None else y)

    def batch_norm_backward(self, dy, saved, needs=(True, True, True)):
        return self.batch_norm_relu_backward(dy, saved, needs)[:3]

    def batch_norm_relu_backward(self, dy, saved, needs=(True, True, True)):
        x = saved[0]
        dy, norm, sums, gradients, gated = self._norm_sums(dy, saved, *needs[1:])
        dx = None
        if needs[0]:
            dx = self.empty(x.shape, x.dtype)
            _native.norm_backward(norm, dy, x, *sums, dx)
        return dx, *gradients, gated

    def _norm_sums(self, dy, saved, *needs):
        """The first pass back.

        Returns
        -------
        dy, norm
            What the second pass takes: with an add, dy has been gated, and norm is without ReLU.
        sums
            dgamma and dbeta in float64; None twice where statistics were fixed.
        gradients
            dgamma and dbeta; None where ``needs`` is False.
        gated
            The gradient of an add, or None.
        """
        x, norm, training, y = saved
        dtype, C = one_dtype("batch_norm_backward", dy=dy, x=x), x.shape[1]
        check_shape("batch_norm_backward", "dy", dy, x.shape)
        dy, sums = self._dense(dy), (np.empty(C), np.empty(C))
        gated = None if y is None else self.empty(x.shape, dtype)
        if any(needs) or training or y is not None:
            _native.norm_sums(norm, dy, x, y, gated, *sums)
        gradients = [total.astype(dtype) if need else None for total, need in zip(sums, needs, strict=True)]
        if gated is not None:
            dy, norm = gated, (*norm[:-1], False)
        return dy, norm, sums if training else (None, None), gradients, gated

    # ---------------------------------------------------------------- activations

    def _map(self, op, x, a=0.0):
        """(x, y): y = op(x), with x in the kernels' order."""
        one_dtype(op, x=x)
        x = self._dense(x)
        y = self.empty(x.shape, x.dtype)
        _native.map_forward(KERNELS[op], x.size, a, 0.0, x, y)
        return x, y

    def _map_gradient(self, op, dy, saved, a=0.0):
        """dx of op from dy and `saved`: both (N, ...) of one shape."""
        one_dtype(f"{op}_backward", dy=dy, saved=saved)
        check_shape(f"{op}_backward", "dy", dy, saved.shape)
        dx = self.empty(saved.shape, saved.dtype)
        _native.map_backward(KERNELS[op], saved.size, a, 0.0, self._dense(dy), saved, dx)
        return dx

    def relu(self, x):
        _, y = self._map("relu", x)
        return y, y

    def relu_backward(self, dy, saved):
        return self._map_gradient("relu", dy, saved)

    def leaky_relu(self, x, slope=0.01):
        x, y = self._map("leaky_relu", x, slope)
        return y, (x, slope)

    def leaky_relu_backward(self, dy, saved):
        x, slope = saved
        return self._map_gradient("leaky_relu", dy, x, slope)

    def sigmoid(self, x):
        _, y = self._map("sigmoid", x)
        return y, y

    def sigmoid_backward(self, dy, saved):
        return self._map_gradient("sigmoid", dy, saved)

    def tanh(self, x):
        _, y = self._map("tanh", x)
        return y, y

    def tanh_backward(self, dy, saved):
        return self._map_gradient("tanh", dy, saved)

    # ---------------------------------------------------------------- random numbers

    def random_uniform(self, shape, dtype, seed, offset=0):
        self._check_stream("random_uniform", seed, offset)
        out = self.empty(tuple(shape), np.dtype(dtype))
        one_dtype("random_uniform", dtype=out)
        _native.uniform(out.size, seed, offset, out)
        return out

    def dropout(self, x, p, seed, offset=0):
        one_dtype("dropout", x=x)
        if not 0 <= p < 1:
            raise ValueError(f"dropout: p, the probability of zeroing, must lie in [0, 1), got {p}")
        self._check_stream("dropout", seed, offset)
        x = self._dense(x)
        y, keep = self.empty(x.shape, x.dtype), self.empty(x.shape, np.uint8)
        _native.dropout(x.size, p, seed, offset, x, y, keep)
        return y, (keep, p, x.dtype)

    def dropout_backward(self, dy, saved):
        keep, p, dtype = saved
        check_gradient("dropout_backward", dy, keep.shape, dtype)
        dx = self.empty(dy.shape, dy.dtype)
        _native.dropout_backward(dy.size, p, self._dense(dy), keep, dx)
        return dx

    # ---------------------------------------------------------------- losses

    def softmax_cross_entropy(self, scores, labels):
        one_dtype("softmax_cross_entropy", scores=scores)
        labels = np.asarray(labels)
        check_labels("softmax_cross_entropy", scores, labels)
        scores, dscores = self._c_order(scores), self.empty(scores.shape, scores.dtype)
        loss = _native.softmax_loss(*scores.shape, scores, np.require(labels, np.int64, "CA"), dscores)
        return loss, dscores

    def svm_loss(self, scores, labels, margin=1.0):
        one_dtype("svm_loss", scores=scores)
        labels = np.asarray(labels)
        check_labels("svm_loss", scores, labels)
        scores, dscores = self._c_order(scores), self.empty(scores.shape, scores.dtype)
        loss = _native.svm_loss(*scores.shape, scores, np.require(labels, np.int64, "CA"), margin, dscores)
        return loss, dscores

    # ---------------------------------------------------------------- optimiser updates

    def _update(self, op, kernel, w, g, state, *arguments):
        """Run an in-place update; a parameter that is not in C order is updated through a copy."""
        arrays, shape, dtype = (w, g, *state), w.shape, w.dtype
        alike = (a is None or (a.shape == shape and a.dtype is dtype and _native.layout(a) & 2) for a in arrays)
        if dtype in FLOATS and all(alike):  # as nearly always: no time for more
            kernel(w.size, *arrays, *arguments)
            return
        self._check_step(op, w, g, *state)
        changed = [w, *state]
        dense = [array if array is None else self._c_order(array) for array in changed]
        kernel(w.size, dense[0], self._c_order(g), *dense[1:], *arguments)
        for array, copy in zip(changed, dense, strict=True):
            if copy is not array:
                array[...] = copy

    def sgd_step(self, w, g, velocity, lr, momentum=0.0, dampening=0.0, nesterov=False, weight_decay=0.0):
        self._update("sgd_step", _native.sgd_step, w, g, (velocity,), lr, momentum, dampening, nesterov, weight_decay)

    def adagrad_step(self, w, g, squares, lr, eps=1e-7, weight_decay=0.0):
        self._update("adagrad_step", _native.adagrad_step, w, g, (squares,), lr, eps, weight_decay)

    def rmsprop_step(self, w, g, squares, lr, decay_rate=0.99, eps=1e-8, weight_decay=0.0):
        self._update("rmsprop_step", _native.rmsprop_step, w, g, (squares,), lr, decay_rate, eps, weight_decay)

    def adam_step(self, w, g, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0, decoupled=False):
        self._update("adam_step", _native.adam_step, w, g, (m, v), t, lr, beta1, beta2, eps, weight_decay, decoupled)

    # ---------------------------------------------------------------- plumbing

    def add(self, a, b):
        one_dtype("add", a=a, b=b)
        check_shape("add", "b", b, a.shape)
        y = self.empty(a.shape, a.dtype)
        _native.add(a.size, self._dense(a), self._dense(b), y)
        return y

    def accumulate(self, total, x):
        one_dtype("accumulate", total=total, x=x)
        check_shape("accumulate", "x", x, total.shape)
        if _native.layout(total) & _native.layout(x):
            _native.add(total.size, total, x, total)
        else:
            total += x

    def concat(self, arrays):
        dtype = one_dtype("concat", **{f"x{i}": x for i, x in enumerate(arrays)})
        first = arrays[0]
        check_joinable("concat", first)
        for x in arrays[1:]:
            check_shape("concat", "x", x, (first.shape[0], x.shape[1], *first.shape[2:]))
        channels = sum(x.shape[1] for x in arrays)
        y = self.empty((first.shape[0], channels, *first.shape[2:]), dtype)
        rows, start = first.shape[0] * math.prod(first.shape[2:]), 0
        for x in arrays:
            width = x.shape[1]
            _native.copy_rows(rows, width, self._dense(x), 0, width, y, start, channels)
            start += width
        return y

    def split(self, x, channels):
        one_dtype("split", x=x)
        check_joinable("split", x)
        if sum(channels) != x.shape[1]:
            raise ValueError(f"split: pieces {tuple(channels)} do not add up to the {x.shape[1]} channels of x")
        x, rows, start, pieces = self._dense(x), x.shape[0] * math.prod(x.shape[2:]), 0, []
        for width in channels:
            piece = self.empty((x.shape[0], width, *x.shape[2:]), x.dtype)
            _native.copy_rows(rows, width, x, start, x.shape[1], piece, 0, width)
            pieces.append(piece)
            start += width
        return pieces

    def subsample(self, x, stride, channels):
        dtype = one_dtype("subsample", x=x)
        N, C, H, W = x.shape
        if channels < C:
            raise ValueError(f"subsample: {channels} channels asked for, x already has {C}")
        y = self.empty((N, channels, -(-H // stride), -(-W // stride)), dtype)
        _native.subsample(N, C, H, W, stride, channels, self._dense(x), y)
        return y, (x.shape, stride, (channels - C) // 2)

    def flatten(self, x):
        one_dtype("flatten", x=x)
        y = self.empty((x.shape[0], math.prod(x.shape[1:])), x.dtype)
        if x.ndim == 4 and not _native.layout(x) & 2:
            N, C, H, W = x.shape
            _native.to_channels_first(N, C, H * W, self._dense(x), y)
            return y
        return self._c_order(x).reshape(y.shape)

    def unflatten(self, dy, shape):
        one_dtype("unflatten", dy=dy)
        check_shape("unflatten", "dy", dy, (shape[0], math.prod(shape[1:])))
        return self._dense(self._c_order(dy).reshape(shape))
