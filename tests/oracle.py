"""A third, independent implementation in float64 that shares no code with fastnet.

The reference backend pads arrays and slices them; this oracle never pads: for each output position and tap, it computes
which input pixel they read and whether that exists, and gathers those. Sums that must be exact use math.fsum.  Paddings
are (top, bottom, left, right); kernels, strides and dilations are pairs.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

# ---------------------------------------------------------------- shapes


def out_size(size, span, stride, before, after):
    """Count the positions at which a kernel of `span` pixels fits, by trying them."""
    count = 0
    while count * stride + span <= size + before + after:
        count += 1
    return count


def pooled_size(size, kernel, stride, before, after, ceil_mode):
    """Like out_size; ceil mode adds one overhanging window if it starts inside the input or its leading padding."""
    count = out_size(size, kernel, stride, before, after)
    if ceil_mode:
        covered = (count - 1) * stride + kernel
        if covered < size + before + after and count * stride < size + before:
            count += 1
    return count


def taps(size, kernel, stride, before, dilation, position):
    """(tap, pixel) for each kernel tap that reads a real pixel when the output position is `position`."""
    for tap in range(kernel):
        pixel = position * stride - before + tap * dilation
        if 0 <= pixel < size:
            yield tap, pixel


def _meetings(shape, kernel, stride, padding, dilation, outputs):
    """(r, s, outputs, pixels) of each kernel tap: index arrays of output positions where it reads a pixel."""

    def axis(i, before):
        for tap in range(kernel[i]):
            met = [(p, dict(taps(shape[i], kernel[i], stride[i], before, dilation[i], p))) for p in range(outputs[i])]
            pairs = [(p, pixels[tap]) for p, pixels in met if tap in pixels]
            yield tap, [p for p, _ in pairs], [pixel for _, pixel in pairs]

    columns = list(axis(1, padding[2]))
    for r, ps, hs in axis(0, padding[0]):
        for s, qs, ws in columns:
            if ps and qs:
                yield r, s, np.ix_(ps, qs), np.ix_(hs, ws)


# ---------------------------------------------------------------- convolution


def _conv_outputs(x_shape, w_shape, stride, padding, dilation):
    spans = [(w_shape[2 + i] - 1) * dilation[i] + 1 for i in (0, 1)]
    P = out_size(x_shape[2], spans[0], stride[0], padding[0], padding[1])
    Q = out_size(x_shape[3], spans[1], stride[1], padding[2], padding[3])
    return P, Q


def _groups(x, w, groups):
    """x and w in float64, with a separate axis for the groups: (N, G, C/G, H, W) and (G, K/G, C/G, R, S)."""
    x, w = np.asarray(x, np.float64), np.asarray(w, np.float64)
    return (
        x.reshape(x.shape[0], groups, x.shape[1] // groups, *x.shape[2:]),
        w.reshape(groups, w.shape[0] // groups, *w.shape[1:]),
    )


def conv2d(x, w, b=None, stride=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1), groups=1):
    outputs = _conv_outputs(x.shape, w.shape, stride, padding, dilation)
    xg, wg = _groups(x, w, groups)
    y = np.zeros((*xg.shape[:2], wg.shape[1], *outputs))
    for r, s, at, seen in _meetings(x.shape[2:], w.shape[2:], stride, padding, dilation, outputs):
        y[:, :, :, *at] += _contract("ngcpq,gkc->ngkpq", xg[:, :, :, *seen], wg[..., r, s])
    y = y.reshape(x.shape[0], w.shape[0], *outputs)
    if b is not None:
        y += np.asarray(b, np.float64).reshape(1, -1, 1, 1)
    return y


def conv2d_backward(dy, x, w, stride=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1), groups=1):
    """(dx, dw, db)."""
    xg, wg = _groups(x, w, groups)
    dy = np.asarray(dy, np.float64)
    dyg = dy.reshape(xg.shape[0], groups, wg.shape[1], *dy.shape[2:])
    dx, dw = np.zeros_like(xg), np.zeros_like(wg)
    for r, s, at, seen in _meetings(x.shape[2:], w.shape[2:], stride, padding, dilation, dy.shape[2:]):
        part = dyg[:, :, :, *at]  # a tap reads each pixel at most once
        dx[:, :, :, *seen] += _contract("ngkpq,gkc->ngcpq", part, wg[..., r, s])
        dw[..., r, s] = _contract("ngkpq,ngcpq->gkc", part, xg[:, :, :, *seen])
    db = np.array([math.fsum(dy[:, k].ravel()) for k in range(dy.shape[1])])
    return dx.reshape(x.shape), dw.reshape(w.shape), db


def _contract(subscripts, a, b):
    return np.einsum(subscripts, a, b, optimize=True)


def im2col(x, kernel, stride=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1)):
    N, C = x.shape[:2]
    R, S = kernel
    outputs = _conv_outputs(x.shape, (1, C, R, S), stride, padding, dilation)
    columns = np.zeros((N, C, R, S, *outputs))
    for r, s, at, seen in _meetings(x.shape[2:], kernel, stride, padding, dilation, outputs):
        columns[:, :, r, s][:, :, *at] = x[:, :, *seen]
    return columns.reshape(N, C * R * S, math.prod(outputs))


def col2im(columns, x_shape, kernel, stride=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1)):
    N, C = x_shape[:2]
    R, S = kernel
    outputs = _conv_outputs(x_shape, (1, C, R, S), stride, padding, dilation)
    columns, x = columns.reshape(N, C, R, S, *outputs), np.zeros(x_shape)
    for r, s, at, seen in _meetings(x_shape[2:], kernel, stride, padding, dilation, outputs):
        x[:, :, *seen] += columns[:, :, r, s][:, :, *at]
    return x


# ---------------------------------------------------------------- pooling


def _windows(x_shape, kernel, stride, padding, ceil_mode, dilation=(1, 1)):
    """(h, w, real), each (P, Q, pixels of a window, rows first); not `real`: the window reaches out of the input."""
    axes = []
    for i, outputs in enumerate(pool_shape(x_shape, kernel, stride, padding, ceil_mode, dilation)[2:]):
        pixels, real = np.zeros((outputs, kernel[i]), int), np.zeros((outputs, kernel[i]), bool)
        for p in range(outputs):
            for tap, pixel in taps(x_shape[2 + i], kernel[i], stride[i], padding[2 * i], dilation[i], p):
                pixels[p, tap], real[p, tap] = pixel, True
        axes.append((pixels, real))
    (h, rows), (w, columns) = axes
    both = np.broadcast_arrays(h[:, None, :, None], w[None, :, None, :], rows[:, None, :, None] & columns[:, None, :])
    return [array.reshape(len(h), len(w), -1) for array in both]


def pool_shape(x_shape, kernel, stride, padding, ceil_mode, dilation=(1, 1)):
    spans = [(taps - 1) * apart + 1 for taps, apart in zip(kernel, dilation, strict=True)]
    return (
        *x_shape[:2],
        pooled_size(x_shape[2], spans[0], stride[0], padding[0], padding[1], ceil_mode),
        pooled_size(x_shape[3], spans[1], stride[1], padding[2], padding[3], ceil_mode),
    )


def _largest(x, h, w, real):
    """Which pixels of each window are its maximum, (N, C, P, Q, pixels): those that are NaN, if any is."""
    values = x[:, :, h, w]
    nans = np.isnan(values) & real
    most = np.where(real, values, -np.inf).max(axis=-1, keepdims=True)
    return np.where(nans.any(axis=-1, keepdims=True), nans, real & (values == most))


def _scatter(shares, h, w, x_shape):
    """An array of x_shape, the sum of `shares` (N, C, P, Q, pixels) at the pixels (h, w)."""
    x = np.zeros(x_shape)
    n, c = np.ogrid[: x_shape[0], : x_shape[1]]
    np.add.at(x, (n[..., None, None, None], c[..., None, None, None], h, w), shares)
    return x


def max_pool2d(x, kernel, stride, padding=(0, 0, 0, 0), ceil_mode=False, dilation=(1, 1)):
    """(y, winners): winners[n, c, p, q] is the pixel (h, w) that won; NaN wins, then the first of equals."""
    h, w, real = _windows(x.shape, kernel, stride, padding, ceil_mode, dilation)
    first = _largest(x, h, w, real).argmax(axis=-1)[..., None]
    y = np.take_along_axis(x[:, :, h, w], first, -1)[..., 0].astype(np.float64)
    winners = [np.take_along_axis(np.broadcast_to(at, (*y.shape, h.shape[-1])), first, -1) for at in (h, w)]
    return y, np.concatenate(winners, axis=-1)


def max_pool2d_backward(dy, winners, x_shape):
    return _scatter(np.asarray(dy, np.float64)[..., None], winners[..., :1], winners[..., 1:], x_shape)


def tied_max_pool2d_backward(
    dy, x, kernel, stride, padding=(0, 0, 0, 0), ceil_mode=False, ties="first", dilation=(1, 1)
):
    """A window's gradient in equal parts to its maxima, to the first of them, or whole to each; NaN is equal to NaN."""
    h, w, real = _windows(x.shape, kernel, stride, padding, ceil_mode, dilation)
    chosen, shares = _largest(x, h, w, real), np.asarray(dy, np.float64)[..., None]
    if ties == "first":
        chosen &= np.cumsum(chosen, axis=-1) == 1
    elif ties == "split":
        shares = shares / chosen.sum(axis=-1, keepdims=True)
    return _scatter(chosen * shares, h, w, x.shape)


def _divisors(x_shape, kernel, stride, padding, real, count_include_pad):
    """(P, Q) counts of pixels: the real ones, or all of a window that lie in the input with its padding."""
    if not count_include_pad:
        return real.sum(axis=-1)
    counts = []
    for i in (0, 1):
        starts = np.arange(real.shape[i])[:, None] * stride[i] - padding[2 * i]
        at = starts + np.arange(kernel[i])
        counts.append(((at >= -padding[2 * i]) & (at < x_shape[2 + i] + padding[2 * i + 1])).sum(axis=1))
    return np.outer(*counts)


def avg_pool2d(x, kernel, stride, padding=(0, 0, 0, 0), ceil_mode=False, count_include_pad=True, divisor=None):
    h, w, real = _windows(x.shape, kernel, stride, padding, ceil_mode)
    sums = (np.asarray(x, np.float64)[:, :, h, w] * real).sum(axis=-1)
    return sums / (divisor or _divisors(x.shape, kernel, stride, padding, real, count_include_pad))


def avg_pool2d_backward(
    dy, x_shape, kernel, stride, padding=(0, 0, 0, 0), ceil_mode=False, count_include_pad=True, divisor=None
):
    h, w, real = _windows(x_shape, kernel, stride, padding, ceil_mode)
    counts = divisor or _divisors(x_shape, kernel, stride, padding, real, count_include_pad)
    shares = np.asarray(dy, np.float64) / counts
    return _scatter(shares[..., None] * real, h, w, x_shape)


def global_avg_pool2d(x):
    y = np.empty((*x.shape[:2], 1, 1))
    for n, c in np.ndindex(*x.shape[:2]):
        y[n, c] = math.fsum(x[n, c].ravel()) / (x.shape[2] * x.shape[3])
    return y


# ---------------------------------------------------------------- dense


def matmul(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    y = np.zeros((a.shape[0], b.shape[1]))
    for d in range(a.shape[1]):
        y += np.outer(a[:, d], b[d])
    return y


# ---------------------------------------------------------------- batch norm


def _channels(x):
    """(C, values) with the values of channel c in one row."""
    return np.moveaxis(np.asarray(x, np.float64), 1, 0).reshape(x.shape[1], -1)


def _like(rows, x):
    shape = (x.shape[1], x.shape[0], *x.shape[2:])
    return np.moveaxis(rows.reshape(shape), 0, 1)


def moments(x):
    """(mean, biased variance, unbiased variance) of each channel, by exact sums."""
    rows = _channels(x)
    mean = np.array([math.fsum(row) / len(row) for row in rows])
    squares = np.array([math.fsum((value - m) ** 2 for value in row) for row, m in zip(rows, mean, strict=True)])
    return mean, squares / rows.shape[1], squares / (rows.shape[1] - 1)


def batch_norm(x, gamma, beta, mean, var, eps=1e-5):
    rows = _channels(x)
    y = np.empty_like(rows)
    for c, row in enumerate(rows):
        y[c] = (row - mean[c]) / math.sqrt(var[c] + eps)
        y[c] = y[c] * (1.0 if gamma is None else float(gamma[c])) + (0.0 if beta is None else float(beta[c]))
    return _like(y, x)


def batch_norm_backward(dy, x, gamma, mean, var, training, eps=1e-5):
    """(dx, dgamma, dbeta) by the chain rule through centred values, variance and mean, a step at a time."""
    rows, grads = _channels(x), _channels(dy)
    dx, dgamma, dbeta = np.empty_like(rows), np.empty(len(rows)), np.empty(len(rows))
    for c, (row, grad) in enumerate(zip(rows, grads, strict=True)):
        count, std = len(row), math.sqrt(var[c] + eps)
        centred = row - mean[c]
        dgamma[c] = math.fsum(grad * centred) / std
        dbeta[c] = math.fsum(grad)
        dxhat = grad * (1.0 if gamma is None else float(gamma[c]))
        dx[c] = dxhat / std
        if training:
            dvar = -0.5 * math.fsum(dxhat * centred) / std**3
            dmean = -math.fsum(dxhat) / std
            dx[c] += dvar * 2 * centred / count + dmean / count
    return _like(dx, x), dgamma, dbeta


# ---------------------------------------------------------------- activations, in extended precision where there is one


def sigmoid(x):
    wide = np.asarray(x, np.longdouble)
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-wide))


def tanh(x):
    return np.tanh(np.asarray(x, np.longdouble))


# ---------------------------------------------------------------- losses


def softmax_cross_entropy(scores, labels):
    """(loss, dscores)."""
    N, C = scores.shape
    total, gradient = [], np.empty((N, C))
    for n in range(N):
        row = [float(value) for value in scores[n]]
        top = max(row)
        exps = [math.exp(value - top) for value in row]
        norm = math.fsum(exps)
        total.append(math.log(norm) - (row[labels[n]] - top))
        gradient[n] = [(exps[j] / norm - (j == labels[n])) / N for j in range(C)]
    return math.fsum(total) / N, gradient


def svm_loss(scores, labels, margin=1.0):
    N, C = scores.shape
    total, gradient = [], np.zeros((N, C))
    for n in range(N):
        for j in range(C):
            excess = float(scores[n, j]) - float(scores[n, labels[n]]) + margin
            if j != labels[n] and excess > 0:
                total.append(excess)
                gradient[n, j] += 1 / N
                gradient[n, labels[n]] -= 1 / N
    return math.fsum(total) / N, gradient


# ---------------------------------------------------------------- Philox4x32-10, in Python's integers


def philox4x32(counter, key, rounds=10):
    """Salmon et al. 2011: four 32-bit words of `counter` under two of `key`."""
    c, k = list(counter), list(key)
    for _ in range(rounds):
        left, right = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [
            (right >> 32) ^ c[1] ^ k[0],
            right & 0xFFFFFFFF,
            (left >> 32) ^ c[3] ^ k[1],
            left & 0xFFFFFFFF,
        ]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


@lru_cache(maxsize=256)
def uniform(seed, offset, count):
    """Number i of stream `seed`: the upper 24 bits of word i % 4 of counter i // 4, over 2**24."""
    first, last = offset // 4, (offset + count - 1) // 4
    blocks = [
        philox4x32([block & 0xFFFFFFFF, block >> 32, 0, 0], [seed & 0xFFFFFFFF, seed >> 32])
        for block in range(first, last + 1)
    ]
    numbers = np.array([(word >> 8) / 2**24 for words in blocks for word in words])[offset - 4 * first :][:count]
    numbers.flags.writeable = False
    return numbers
