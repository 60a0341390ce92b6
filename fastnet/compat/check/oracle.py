"""The expected results: the course's functions in plain float64 NumPy, sharing no code with fastnet's kernels.

Convolution, pooling, losses and distances are the loops that an assignment describes, so they take as long as a
straightforward solution on the same machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

# ---------------------------------------------------------------- layers


def affine(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1) @ w + b


def affine_backward(dout: np.ndarray, x: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, ...]:
    return (dout @ w.T).reshape(x.shape), x.reshape(len(x), -1).T @ dout, dout.sum(axis=0)


def relu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.0)


def relu_backward(dout: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, dout, 0.0)


def normalized(x: np.ndarray, axis: int, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """(x - mean) / std along `axis` with the biased variance, and std."""
    std = np.sqrt(x.var(axis=axis, keepdims=True) + eps)
    return (x - x.mean(axis=axis, keepdims=True)) / std, std


def normalized_backward(dhat: np.ndarray, x: np.ndarray, axis: int, eps: float) -> np.ndarray:
    """The gradient of :func:`normalized` for the gradient of its result."""
    hat, std = normalized(x, axis, eps)
    means = [array.mean(axis=axis, keepdims=True) for array in (dhat, dhat * hat)]
    return (dhat - means[0] - hat * means[1]) / std


def batchnorm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, param: dict[str, Any]) -> tuple[np.ndarray, ...]:
    """(out, running_mean, running_var) for x (N, D), in the mode that `param` names."""
    eps, momentum = param.get("eps", 1e-5), param.get("momentum", 0.9)
    zero = np.zeros(x.shape[1])
    mean, var = param.get("running_mean", zero), param.get("running_var", zero)
    if param["mode"] == "test":
        return gamma * (x - mean) / np.sqrt(var + eps) + beta, mean, var
    mean = momentum * mean + (1 - momentum) * x.mean(axis=0)
    var = momentum * var + (1 - momentum) * x.var(axis=0)
    return gamma * normalized(x, 0, eps)[0] + beta, mean, var


def batchnorm_backward(dout: np.ndarray, x: np.ndarray, gamma: np.ndarray, eps: float = 1e-5) -> tuple[np.ndarray, ...]:
    hat, _ = normalized(x, 0, eps)
    return normalized_backward(dout * gamma, x, 0, eps), (dout * hat).sum(axis=0), dout.sum(axis=0)


def layernorm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    return gamma * normalized(x, 1, eps)[0] + beta


def layernorm_backward(dout: np.ndarray, x: np.ndarray, gamma: np.ndarray, eps: float = 1e-5) -> tuple[np.ndarray, ...]:
    hat, _ = normalized(x, 1, eps)
    return normalized_backward(dout * gamma, x, 1, eps), (dout * hat).sum(axis=0), dout.sum(axis=0)


def rows(x: np.ndarray) -> np.ndarray:
    """Images (N, C, H, W) as pixels (N*H*W, C)."""
    return x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1])


def images(pixels: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """The inverse of :func:`rows`, for images of `shape`."""
    N, C, H, W = shape
    return pixels.reshape(N, H, W, C).transpose(0, 3, 1, 2)


def spatial_batchnorm(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, param: dict[str, Any]
) -> tuple[np.ndarray, ...]:
    out, mean, var = batchnorm(rows(x), gamma, beta, param)
    return images(out, x.shape), mean, var


def spatial_batchnorm_backward(dout: np.ndarray, x: np.ndarray, gamma: np.ndarray) -> tuple[np.ndarray, ...]:
    dx, dgamma, dbeta = batchnorm_backward(rows(dout), rows(x), gamma)
    return images(dx, x.shape), dgamma, dbeta


def groups(x: np.ndarray, G: int) -> np.ndarray:
    """Images (N, C, H, W) as one row for each image and group of neighbouring channels."""
    return x.reshape(len(x) * G, -1)


def groupnorm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, G: int, eps: float = 1e-5) -> np.ndarray:
    return gamma * normalized(groups(x, G), 1, eps)[0].reshape(x.shape) + beta


def groupnorm_backward(
    dout: np.ndarray, x: np.ndarray, gamma: np.ndarray, G: int, eps: float = 1e-5
) -> tuple[np.ndarray, ...]:
    hat = normalized(groups(x, G), 1, eps)[0].reshape(x.shape)
    dx = normalized_backward(groups(dout * gamma, G), groups(x, G), 1, eps).reshape(x.shape)
    sums = [array.sum(axis=(0, 2, 3), keepdims=True) for array in (dout * hat, dout)]
    return dx, *sums


# ---------------------------------------------------------------- images


def _windows(out_shape, kernel, stride):
    """Yield (n, k, p, q) and the rows and columns of its window, for every output."""
    for n, k, p, q in np.ndindex(*out_shape):
        yield (n, k, p, q), slice(p * stride, p * stride + kernel[0]), slice(q * stride, q * stride + kernel[1])


def padded(x: np.ndarray, pad: int) -> np.ndarray:
    N, C, H, W = x.shape
    wide = np.zeros((N, C, H + 2 * pad, W + 2 * pad))
    wide[:, :, pad : pad + H, pad : pad + W] = x
    return wide


def out_shape(x: np.ndarray, w: np.ndarray, stride: int, pad: int) -> tuple[int, ...]:
    sizes = [1 + (x.shape[i] + 2 * pad - w.shape[i]) // stride for i in (2, 3)]
    return len(x), len(w), *sizes


def conv(x: np.ndarray, w: np.ndarray, b: np.ndarray, stride: int, pad: int) -> np.ndarray:
    wide, out = padded(x, pad), np.zeros(out_shape(x, w, stride, pad))
    for (n, k, p, q), h, v in _windows(out.shape, w.shape[2:], stride):
        out[n, k, p, q] = np.sum(wide[n, :, h, v] * w[k]) + b[k]
    return out


def conv_backward(dout: np.ndarray, x: np.ndarray, w: np.ndarray, stride: int, pad: int) -> tuple[np.ndarray, ...]:
    """(dx including the padding, dw, db)."""
    wide, dw, db = padded(x, pad), np.zeros(w.shape), np.zeros(len(w))
    dwide = np.zeros(wide.shape)
    for (n, k, p, q), h, v in _windows(dout.shape, w.shape[2:], stride):
        dwide[n, :, h, v] += dout[n, k, p, q] * w[k]
        dw[k] += dout[n, k, p, q] * wide[n, :, h, v]
        db[k] += dout[n, k, p, q]
    return dwide, dw, db


def cut(dwide: np.ndarray, pad: int) -> np.ndarray:
    """Remove the padding."""
    return dwide[:, :, pad : dwide.shape[2] - pad, pad : dwide.shape[3] - pad]


def pooled_shape(x: np.ndarray, kernel: Sequence[int], stride: int) -> tuple[int, ...]:
    return *x.shape[:2], 1 + (x.shape[2] - kernel[0]) // stride, 1 + (x.shape[3] - kernel[1]) // stride


def pool(x: np.ndarray, kernel: Sequence[int], stride: int, choose: Callable = np.max) -> np.ndarray:
    out = np.zeros(pooled_shape(x, kernel, stride))
    for at, h, v in _windows(out.shape, kernel, stride):
        out[at] = choose(x[at[0], at[1], h, v])
    return out


def max_pool_backward(dout: np.ndarray, x: np.ndarray, kernel: Sequence[int], stride: int) -> np.ndarray:
    dx = np.zeros(x.shape)
    for (n, c, p, q), h, v in _windows(dout.shape, kernel, stride):
        window = x[n, c, h, v]
        dx[n, c, h, v] += dout[n, c, p, q] * (window == window.max())
    return dx


# ---------------------------------------------------------------- losses


def svm_loss(x: np.ndarray, y: np.ndarray, margin: float = 1.0) -> tuple[float, np.ndarray]:
    """The mean over examples of the sum over wrong classes of max(0, x_j - x_y + margin), and its gradient."""
    loss, dx = 0.0, np.zeros(x.shape)
    for i, j in np.ndindex(x.shape):
        excess = x[i, j] - x[i, y[i]] + margin
        if j != y[i] and excess > 0:
            loss += excess
            dx[i, j] += 1
            dx[i, y[i]] -= 1
    return loss / len(x), dx / len(x)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def softmax_loss(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """The mean of -log softmax(x)_y over examples, and its gradient."""
    loss, dx = 0.0, np.zeros(x.shape)
    for i in range(len(x)):
        shifted = x[i] - x[i].max()
        loss += np.log(np.sum(np.exp(shifted))) - shifted[y[i]]
        dx[i] = np.exp(shifted) / np.sum(np.exp(shifted))
        dx[i, y[i]] -= 1
    return loss / len(x), dx / len(x)


def linear_loss(
    loss: Callable, W: np.ndarray, X: np.ndarray, y: np.ndarray, reg: float, l2: float = 1.0
) -> tuple[float, np.ndarray]:
    """The loss of scores X W plus l2 * reg * sum(W * W), and W's gradient, in loops over examples and classes."""
    scores = np.zeros((len(X), W.shape[1]))
    for i, j in np.ndindex(scores.shape):
        scores[i, j] = np.sum(X[i] * W[:, j])
    value, dscores = loss(scores, y)
    dW = np.zeros(W.shape)
    for i, j in np.ndindex(scores.shape):
        dW[:, j] += dscores[i, j] * X[i]
    return value + l2 * reg * np.sum(W * W), dW + 2 * l2 * reg * W


# ---------------------------------------------------------------- update rules, which return (next_w, *state)


def sgd(w: np.ndarray, dw: np.ndarray, lr: float) -> tuple[np.ndarray, ...]:
    return (w - lr * dw,)


def sgd_momentum(w: np.ndarray, dw: np.ndarray, lr: float, momentum: float, v: np.ndarray) -> tuple[np.ndarray, ...]:
    v = momentum * v - lr * dw
    return w + v, v


def rmsprop(
    w: np.ndarray, dw: np.ndarray, lr: float, decay: float, eps: float, cache: np.ndarray
) -> tuple[np.ndarray, ...]:
    cache = decay * cache + (1 - decay) * dw**2
    return w - lr * dw / (np.sqrt(cache) + eps), cache


def adam(
    w: np.ndarray,
    dw: np.ndarray,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    m: np.ndarray,
    v: np.ndarray,
    t: int,
) -> tuple:
    t, m, v = t + 1, beta1 * m + (1 - beta1) * dw, beta2 * v + (1 - beta2) * dw**2
    return w - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps), m, v, t


# ---------------------------------------------------------------- nearest neighbours


def distances(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Euclidean distances, (test examples, training examples)."""
    out = np.zeros((len(test), len(train)))
    for i, j in np.ndindex(out.shape):
        out[i, j] = np.sqrt(np.sum((test[i] - train[j]) ** 2))
    return out


def vote(dists: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    """The most common label of the k nearest; the smallest in case of a tie."""
    labels = np.zeros(len(dists), int)
    for i, row in enumerate(dists):
        near = y[np.argsort(row, kind="stable")[:k]].tolist()
        labels[i] = min(near, key=lambda label: (-near.count(label), label))
    return labels
