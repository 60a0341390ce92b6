"""The contract's second half: normalisation, activations, random masks, losses, optimiser updates, plumbing."""

from __future__ import annotations

import numpy as np

from fastnet.backends import philox
from fastnet.backends.checks import check_gradient, check_joinable, check_labels, check_shape, one_dtype


class PointwiseOps:
    """Ops that meet each element, or each channel, on its own."""

    xp = np

    # ---------------------------------------------------------------- batch norm

    def batch_norm(self, x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
        """Normalise each channel (axis 1 of (N, C) or (N, C, H, W)); gamma and beta may be None (1 and 0).

        Training uses the batch's mean and biased variance, and moves the running statistics in place:
        ``running = (1 - momentum) * running + momentum * batch``, with the unbiased variance (PyTorch's rule).
        Otherwise the running statistics normalise.  Running statistics may be None when training.
        """
        one_dtype("batch_norm", x=x, gamma=gamma, beta=beta, running_mean=running_mean, running_var=running_var)
        count = self._check_batch_norm(x, gamma, beta, running_mean, running_var, training)
        axes, shape = self._channel_axes(x)
        if training:
            mean = x.mean(axis=axes, dtype=np.float64)
            var = ((x - mean.reshape(shape)) ** 2).mean(axis=axes, dtype=np.float64)
            if running_mean is not None:
                running_mean += momentum * (mean.astype(x.dtype) - running_mean)
                running_var += momentum * ((var * (count / (count - 1))).astype(x.dtype) - running_var)
        else:
            mean, var = running_mean.astype(np.float64), running_var.astype(np.float64)
        inverse_std = 1.0 / np.sqrt(var + eps)
        xhat = ((x - mean.reshape(shape)) * inverse_std.reshape(shape)).astype(x.dtype)
        y = xhat if gamma is None else xhat * gamma.reshape(shape)
        y = y if beta is None else y + beta.reshape(shape)
        return y, (xhat, gamma, inverse_std, training)

    def batch_norm_backward(self, dy, saved, needs=(True, True, True)):
        """(dx, dgamma, dbeta); None where ``needs`` is False."""
        xhat, gamma, inverse_std, training = saved
        one_dtype("batch_norm_backward", dy=dy, x=xhat)
        check_shape("batch_norm_backward", "dy", dy, xhat.shape)
        axes, shape = self._channel_axes(xhat)
        dbeta = dy.sum(axis=axes, dtype=np.float64)
        dgamma = (dy * xhat).sum(axis=axes, dtype=np.float64)
        dx = None
        if needs[0]:
            count = dy.size / dy.shape[1]
            scale = inverse_std if gamma is None else inverse_std * gamma
            dx = dy
            if training:
                dx = dy - (dbeta / count).reshape(shape) - xhat * (dgamma / count).reshape(shape)
            dx = (dx * scale.reshape(shape)).astype(dy.dtype)
        return dx, dgamma.astype(dy.dtype) if needs[1] else None, dbeta.astype(dy.dtype) if needs[2] else None

    def batch_norm_relu(self, x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5, add=None):
        """``relu(batch_norm(x) + add)``: what ends a block of a residual network; `add` may be None."""
        y, saved = self.batch_norm(x, gamma, beta, running_mean, running_var, training, momentum, eps)
        if add is not None:
            one_dtype("batch_norm", x=x, add=add)
            check_shape("batch_norm_relu", "add", add, x.shape)
            y = y + add
        y, positive = self.relu(y)
        return y, (saved, positive, add is not None)

    def batch_norm_relu_backward(self, dy, saved, needs=(True, True, True)):
        """(dx, dgamma, dbeta, dadd); None where ``needs`` is False, and where there was no `add`."""
        saved, positive, added = saved
        check_shape("batch_norm_backward", "dy", dy, positive.shape)
        dy = self.relu_backward(dy, positive)
        return *self.batch_norm_backward(dy, saved, needs), dy if added else None

    @staticmethod
    def _channel_axes(x):
        return ((0,), (1, -1)) if x.ndim == 2 else ((0, 2, 3), (1, -1, 1, 1))

    @staticmethod
    def _check_batch_norm(x, gamma, beta, running_mean, running_var, training, add=None) -> int:
        """Check shapes; return how many values a channel's statistics are made from."""
        if x.ndim not in (2, 4):
            raise ValueError(f"batch_norm: x must have shape (N, C) or (N, C, H, W), got {tuple(x.shape)}")
        for name, array in dict(gamma=gamma, beta=beta, running_mean=running_mean, running_var=running_var).items():
            if array is not None:
                check_shape("batch_norm", name, array, x.shape[1:2])
        if add is not None:
            check_shape("batch_norm_relu", "add", add, x.shape)
        if (running_mean is None) != (running_var is None):
            raise ValueError("batch_norm: give both running_mean and running_var, or neither")
        if not training and running_mean is None:
            raise ValueError("batch_norm: running_mean and running_var are needed when training=False")
        count = x.size // x.shape[1] if x.shape[1] else 0
        if training and count < 2:
            raise ValueError(
                f"batch_norm: training needs more than one value per channel, got x.shape={tuple(x.shape)}"
            )
        return count

    # ---------------------------------------------------------------- activations

    def relu(self, x):
        """max(x, 0); NaN stays NaN; the gradient at 0 is 0."""
        one_dtype("relu", x=x)
        y = self.xp.maximum(x, 0)
        return y, y

    def relu_backward(self, dy, saved):
        one_dtype("relu_backward", dy=dy, y=saved)
        check_shape("relu_backward", "dy", dy, saved.shape)
        return self.xp.where(saved > 0, dy, self.xp.zeros_like(dy))

    def leaky_relu(self, x, slope=0.01):
        """x where x > 0, else slope * x."""
        one_dtype("leaky_relu", x=x)
        return self.xp.where(x > 0, x, x * x.dtype.type(slope)), (x, slope)

    def leaky_relu_backward(self, dy, saved):
        x, slope = saved
        one_dtype("leaky_relu_backward", dy=dy, x=x)
        check_shape("leaky_relu_backward", "dy", dy, x.shape)
        return self.xp.where(x > 0, dy, dy * dy.dtype.type(slope))

    def sigmoid(self, x):
        """1 / (1 + exp(-x)), without overflow."""
        one_dtype("sigmoid", x=x)
        e = self.xp.exp(-self.xp.abs(x))
        y = self.xp.where(x >= 0, 1 / (1 + e), e / (1 + e))
        return y, y

    def sigmoid_backward(self, dy, saved):
        one_dtype("sigmoid_backward", dy=dy, y=saved)
        check_shape("sigmoid_backward", "dy", dy, saved.shape)
        return dy * saved * (1 - saved)

    def tanh(self, x):
        one_dtype("tanh", x=x)
        y = self.xp.tanh(x)
        return y, y

    def tanh_backward(self, dy, saved):
        one_dtype("tanh_backward", dy=dy, y=saved)
        check_shape("tanh_backward", "dy", dy, saved.shape)
        return dy * (1 - saved * saved)

    # ---------------------------------------------------------------- random numbers

    def random_uniform(self, shape, dtype, seed, offset=0):
        """Numbers in [0, 1) from the Philox stream `seed` (0 <= seed < 2**64), in memory order: N, H, W, C."""
        self._check_stream("random_uniform", seed, offset)
        one_dtype("random_uniform", out=self.xp.empty(0, dtype))
        shape = tuple(shape)
        count = int(np.prod(shape, dtype=np.int64))
        if len(shape) == 4:
            shape = shape[0], shape[2], shape[3], shape[1]
        u = self.xp.asarray(philox.uniform(seed, offset, count, dtype)).reshape(shape)
        return u.transpose(0, 3, 1, 2) if len(shape) == 4 else u

    def dropout(self, x, p, seed, offset=0):
        """Inverted dropout: zero with probability `p`, and the rest divided by 1 - p (Srivastava et al. 2014).

        Element i (memory order N, H, W, C) stays when number ``offset + i`` of Philox stream `seed` is >= p.
        """
        one_dtype("dropout", x=x)
        if not 0 <= p < 1:
            raise ValueError(f"dropout: p, the probability of zeroing, must lie in [0, 1), got {p}")
        keep = self.random_uniform(x.shape, x.dtype, seed, offset) >= x.dtype.type(p)
        scale = x.dtype.type(1 / (1 - p))
        return self.xp.where(keep, x * scale, self.xp.zeros_like(x)), (keep, scale)

    def dropout_backward(self, dy, saved):
        keep, scale = saved
        check_gradient("dropout_backward", dy, keep.shape, scale.dtype)
        return self.xp.where(keep, dy * scale, self.xp.zeros_like(dy))

    @staticmethod
    def _check_stream(op, seed, offset):
        if not 0 <= seed < 2**64 or not 0 <= offset < 2**62:
            raise ValueError(f"{op}: seed must lie in [0, 2**64) and offset in [0, 2**62), got {seed} and {offset}")

    # ---------------------------------------------------------------- losses

    def softmax_cross_entropy(self, scores, labels):
        """(loss, dscores): the mean over N of -log softmax(scores)[label]; labels (N,) integers.

        The gradient is (softmax - onehot) / N.  The loss is a Python float, summed in float64.
        """
        dtype = one_dtype("softmax_cross_entropy", scores=scores)
        labels = self.xp.asarray(labels)
        check_labels("softmax_cross_entropy", scores, labels)
        rows = self.xp.arange(len(labels))
        shifted = (scores - scores.max(axis=1, keepdims=True)).astype(np.float64)
        exp = self.xp.exp(shifted)
        total = exp.sum(axis=1, keepdims=True)
        loss = (self.xp.log(total[:, 0]) - shifted[rows, labels]).mean()
        dscores = exp / total
        dscores[rows, labels] -= 1
        return float(loss), (dscores / len(labels)).astype(dtype)

    def svm_loss(self, scores, labels, margin=1.0):
        """(loss, dscores): the mean over N of sum_{j != y} max(0, s_j - s_y + margin) (Weston & Watkins 1999)."""
        dtype = one_dtype("svm_loss", scores=scores)
        labels = self.xp.asarray(labels)
        check_labels("svm_loss", scores, labels)
        rows = self.xp.arange(len(labels))
        wide = scores.astype(np.float64)
        margins = self.xp.maximum(0, wide - wide[rows, labels][:, None] + margin)
        margins[rows, labels] = 0
        dscores = (margins > 0).astype(np.float64)
        dscores[rows, labels] = -dscores.sum(axis=1)
        return float(margins.sum() / len(labels)), (dscores / len(labels)).astype(dtype)

    # ---------------------------------------------------------------- optimiser updates (in place)

    def sgd_step(self, w, g, velocity, lr, momentum=0.0, dampening=0.0, nesterov=False, weight_decay=0.0):
        """g += weight_decay*w; v = momentum*v + (1-dampening)*g; w -= lr * (g + momentum*v if nesterov else v).

        `velocity` None means no momentum: w -= lr*g.  `w` and `velocity` change; `g` does not.
        """
        self._check_step("sgd_step", w, g, velocity)
        g = g + weight_decay * w if weight_decay else g
        if velocity is not None:
            velocity *= momentum
            velocity += (1 - dampening) * g
            g = g + momentum * velocity if nesterov else velocity
        w -= lr * g

    def adagrad_step(self, w, g, squares, lr, eps=1e-7, weight_decay=0.0):
        """h += g*g; w -= lr * g / (sqrt(h) + eps) (Duchi et al. 2011)."""
        self._check_step("adagrad_step", w, g, squares)
        g = g + weight_decay * w if weight_decay else g
        squares += g * g
        w -= lr * g / (self.xp.sqrt(squares) + eps)

    def rmsprop_step(self, w, g, squares, lr, decay_rate=0.99, eps=1e-8, weight_decay=0.0):
        """h = decay_rate*h + (1-decay_rate)*g*g; w -= lr * g / (sqrt(h) + eps) (Tieleman & Hinton 2012)."""
        self._check_step("rmsprop_step", w, g, squares)
        g = g + weight_decay * w if weight_decay else g
        squares *= decay_rate
        squares += (1 - decay_rate) * g * g
        w -= lr * g / (self.xp.sqrt(squares) + eps)

    def adam_step(self, w, g, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0, decoupled=False):
        """Adam, step number t from 1 (Kingma & Ba 2015); `decoupled` decay is AdamW (Loshchilov & Hutter 2019)."""
        self._check_step("adam_step", w, g, m, v)
        if decoupled:
            w -= lr * weight_decay * w
        elif weight_decay:
            g = g + weight_decay * w
        m *= beta1
        m += (1 - beta1) * g
        v *= beta2
        v += (1 - beta2) * g * g
        w -= lr * (m / (1 - beta1**t)) / (self.xp.sqrt(v / (1 - beta2**t)) + eps)

    @staticmethod
    def _check_step(op, w, g, *state):
        one_dtype(op, w=w, g=g, **{f"state{i}": array for i, array in enumerate(state)})
        for array in (g, *state):
            if array is not None:
                check_shape(op, "gradient and state", array, w.shape)

    # ---------------------------------------------------------------- plumbing

    def add(self, a, b):
        """a + b, of one shape."""
        one_dtype("add", a=a, b=b)
        check_shape("add", "b", b, a.shape)
        return a + b

    def accumulate(self, total, x):
        """total += x, in place; the two must not overlap, unless they are one array."""
        one_dtype("accumulate", total=total, x=x)
        check_shape("accumulate", "x", x, total.shape)
        total += x

    def concat(self, arrays):
        """Join along channels (axis 1)."""
        one_dtype("concat", **{f"x{i}": x for i, x in enumerate(arrays)})
        first = arrays[0]
        check_joinable("concat", first)
        for x in arrays[1:]:
            check_shape("concat", "x", x, (first.shape[0], x.shape[1], *first.shape[2:]))
        return self.xp.concatenate(arrays, axis=1)

    def split(self, x, channels):
        """Cut along axis 1 into pieces of the given channel counts: concat's backward."""
        check_joinable("split", x)
        if sum(channels) != x.shape[1]:
            raise ValueError(f"split: pieces {tuple(channels)} do not add up to the {x.shape[1]} channels of x")
        cuts = np.cumsum(channels)[:-1]
        return [self.asarray(piece, x.dtype) for piece in self.xp.split(x, cuts, axis=1)]

    def flatten(self, x):
        """(N, C, H, W) to (N, C*H*W) in that order."""
        return x.reshape(x.shape[0], int(np.prod(x.shape[1:], dtype=np.int64)))

    def unflatten(self, dy, shape):
        """flatten's backward."""
        check_shape("unflatten", "dy", dy, (shape[0], int(np.prod(shape[1:], dtype=np.int64))))
        return self.asarray(dy.reshape(shape), dy.dtype)

    def subsample(self, x, stride, channels):
        """x[:, :, ::stride, ::stride] with zero channels around it up to `channels` (He et al. 2015, option A)."""
        one_dtype("subsample", x=x)
        N, C, H, W = x.shape
        if channels < C:
            raise ValueError(f"subsample: {channels} channels asked for, x already has {C}")
        before = (channels - C) // 2
        y = self.zeros((N, channels, -(-H // stride), -(-W // stride)), x.dtype)
        y[:, before : before + C] = x[:, :, ::stride, ::stride]
        return y, (x.shape, stride, before)

    def subsample_backward(self, dy, saved):
        shape, stride, before = saved
        dx = self.zeros(shape, dy.dtype)
        dx[:, :, ::stride, ::stride] = dy[:, before : before + shape[1]]
        return dx
