"""A third, independent implementation: float64 loops over output pixels, sharing no code with fastnet.

The reference backend pads arrays and slices them; this oracle never pads: it walks over output positions and asks, for
each tap, which input pixel it meets and whether that exists.  Sums that must not lose digits use math.fsum.
Paddings are (top, bottom, left, right); kernels, strides and dilations are pairs.
"""

from __future__ import annotations

import math

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
    """(tap, pixel) for each kernel tap that meets a real pixel when the output position is `position`."""
    for tap in range(kernel):
        pixel = position * stride - before + tap * dilation
        if 0 <= pixel < size:
            yield tap, pixel


def _meetings(shape, kernel, stride, padding, dilation, outputs):
    """(p, q, r, s, h, w): output position, kernel tap and input pixel, wherever they meet."""
    (H, W), (R, S), (P, Q) = shape, kernel, outputs
    for p in range(P):
        rows = list(taps(H, R, stride[0], padding[0], dilation[0], p))
        for q in range(Q):
            columns = list(taps(W, S, stride[1], padding[2], dilation[1], q))
            for r, h in rows:
                for s, w in columns:
                    yield p, q, r, s, h, w


# ---------------------------------------------------------------- convolution


def _conv_outputs(x_shape, w_shape, stride, padding, dilation):
    spans = [(w_shape[2 + i] - 1) * dilation[i] + 1 for i in (0, 1)]
    P = out_size(x_shape[2], spans[0], stride[0], padding[0], padding[1])
    Q = out_size(x_shape[3], spans[1], stride[1], padding[2], padding[3])
    return P, Q


def conv2d(x, w, b=None, stride=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1), groups=1):
    x, w = np.asarray(x, np.float64), np.asarray(w, np.float64)
    N, K = x.shape[0], w.shape[0]
    outputs = _conv_outputs(x.shape, w.shape, stride, padding, dilation)
    xg = x.reshape(N, groups, x.shape[1] // groups, *x.shape[2:])
    wg = w.reshape(groups, K // groups, *w.shape[1:])
    y = np.zeros((N, groups, K // groups, *outputs))
    for p, q, r, s, h, v in _meetings(x.shape[2:], w.shape[2:], stride, padding, dilation, outputs):
        if groups < 3:
            for g in range(groups):
                y[:, g, :, p, q] += xg[:, g, :, h, v] @ wg[g, :, :, r, s].T
        else:
            y[..., p, q] += (xg[:, :, None, :, h, v] * wg[None, :, :, :, r, s]).sum(axis=-1)
    y = y.reshape(N, K, *outputs)
    if b is not None:
        y += np.asarray(b, np.float64).reshape(1, K, 1, 1)
    return y


def conv2d_backward(dy, x, w, stride=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1), groups=1):
    """(dx, dw, db)."""
    dy, x, w = (np.asarray(array, np.float64) for array in (dy, x, w))
    N, C, K = x.shape[0], x.shape[1], w.shape[0]
    outputs = dy.shape[2:]
    xg = x.reshape(N, groups, C // groups, *x.shape[2:])
    wg = w.reshape(groups, K // groups, *w.shape[1:])
    dyg = dy.reshape(N, groups, K // groups, *outputs)
    dx, dw = np.zeros_like(xg), np.zeros_like(wg)
    for p, q, r, s, h, v in _meetings(x.shape[2:], w.shape[2:], stride, padding, dilation, outputs):
        if groups < 3:
            for g in range(groups):
                dx[:, g, :, h, v] += dyg[:, g, :, p, q] @ wg[g, :, :, r, s]
                dw[g, :, :, r, s] += dyg[:, g, :, p, q].T @ xg[:, g, :, h, v]
        else:
            dx[..., h, v] += (dyg[:, :, :, None, p, q] * wg[None, :, :, :, r, s]).sum(axis=2)
            dw[..., r, s] += (dyg[:, :, :, None, p, q] * xg[:, :, None, :, h, v]).sum(axis=0)
    db = np.array([math.fsum(dy[:, k].ravel()) for k in range(K)])
    return dx.reshape(x.shape), dw.reshape(w.shape), db


def im2col(x, kernel, stride=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1)):
    N, C, H, W = x.shape
    R, S = kernel
    P, Q = _conv_outputs(x.shape, (1, C, R, S), stride, padding, dilation)
    columns = np.zeros((N, C * R * S, P * Q))
    for p, q, r, s, h, v in _meetings((H, W), kernel, stride, padding, dilation, (P, Q)):
        for c in range(C):
            columns[:, (c * R + r) * S + s, p * Q + q] = x[:, c, h, v]
    return columns


def col2im(columns, x_shape, kernel, stride=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1)):
    N, C, H, W = x_shape
    R, S = kernel
    P, Q = _conv_outputs(x_shape, (1, C, R, S), stride, padding, dilation)
    x = np.zeros(x_shape)
    for p, q, r, s, h, v in _meetings((H, W), kernel, stride, padding, dilation, (P, Q)):
        for c in range(C):
            x[:, c, h, v] += columns[:, (c * R + r) * S + s, p * Q + q]
    return x


# ---------------------------------------------------------------- pooling


def _windows(x_shape, kernel, stride, padding, ceil_mode):
    """(p, q, [pixels of window (p, q), rows first])."""
    H, W = x_shape[2:]
    P = pooled_size(H, kernel[0], stride[0], padding[0], padding[1], ceil_mode)
    Q = pooled_size(W, kernel[1], stride[1], padding[2], padding[3], ceil_mode)
    for p in range(P):
        rows = [h for _, h in taps(H, kernel[0], stride[0], padding[0], 1, p)]
        for q in range(Q):
            columns = [w for _, w in taps(W, kernel[1], stride[1], padding[2], 1, q)]
            yield p, q, [(h, w) for h in rows for w in columns]


def pool_shape(x_shape, kernel, stride, padding, ceil_mode):
    return (
        *x_shape[:2],
        pooled_size(x_shape[2], kernel[0], stride[0], padding[0], padding[1], ceil_mode),
        pooled_size(x_shape[3], kernel[1], stride[1], padding[2], padding[3], ceil_mode),
    )


def max_pool2d(x, kernel, stride, padding=(0, 0, 0, 0), ceil_mode=False):
    """(y, winners): winners[n, c, p, q] is the pixel (h, w) that won; NaN wins, then the first of equals."""
    y = np.empty(pool_shape(x.shape, kernel, stride, padding, ceil_mode))
    winners = np.empty((*y.shape, 2), int)
    for p, q, pixels in _windows(x.shape, kernel, stride, padding, ceil_mode):
        for n, c in np.ndindex(*x.shape[:2]):
            best = pixels[0]
            for pixel in pixels[1:]:
                held, value = x[n, c, best[0], best[1]], x[n, c, pixel[0], pixel[1]]
                if not math.isnan(held) and (math.isnan(value) or value > held):
                    best = pixel
            y[n, c, p, q], winners[n, c, p, q] = x[n, c, best[0], best[1]], best
    return y, winners


def max_pool2d_backward(dy, winners, x_shape):
    dx = np.zeros(x_shape)
    for n, c, p, q in np.ndindex(dy.shape):
        h, w = winners[n, c, p, q]
        dx[n, c, h, w] += float(dy[n, c, p, q])
    return dx


def tied_max_pool2d_backward(dy, x, kernel, stride, padding=(0, 0, 0, 0), ceil_mode=False, ties="first"):
    """A window's gradient in equal parts to its maxima, to the first of them, or whole to each; NaN is equal to NaN."""
    dx = np.zeros(x.shape)
    for p, q, pixels in _windows(x.shape, kernel, stride, padding, ceil_mode):
        for n, c in np.ndindex(*x.shape[:2]):
            values = [float(x[n, c, h, w]) for h, w in pixels]
            nans = [math.isnan(value) for value in values]
            most = [pixel for pixel, nan in zip(pixels, nans, strict=True) if nan]
            if not most:
                most = [pixel for pixel, value in zip(pixels, values, strict=True) if value == max(values)]
            gradient = float(dy[n, c, p, q])
            for h, w in most[:1] if ties == "first" else most:
                dx[n, c, h, w] += gradient / len(most) if ties == "split" else gradient
    return dx


def _avg_divisor(p, q, pixels, x_shape, kernel, stride, padding, count_include_pad):
    """Pixels that count: the real ones, or all of the window that lies in the input with its padding."""
    if not count_include_pad:
        return len(pixels)
    counts = []
    for i, position in enumerate((p, q)):
        before, after = padding[2 * i], padding[2 * i + 1]
        start = position * stride[i] - before
        counts.append(sum(-before <= start + t < x_shape[2 + i] + after for t in range(kernel[i])))
    return counts[0] * counts[1]


def avg_pool2d(x, kernel, stride, padding=(0, 0, 0, 0), ceil_mode=False, count_include_pad=True):
    x = np.asarray(x, np.float64)
    y = np.empty(pool_shape(x.shape, kernel, stride, padding, ceil_mode))
    for p, q, pixels in _windows(x.shape, kernel, stride, padding, ceil_mode):
        divisor = _avg_divisor(p, q, pixels, x.shape, kernel, stride, padding, count_include_pad)
        y[:, :, p, q] = sum(x[:, :, h, w] for h, w in pixels) / divisor
    return y


def avg_pool2d_backward(dy, x_shape, kernel, stride, padding=(0, 0, 0, 0), ceil_mode=False, count_include_pad=True):
    dy, dx = np.asarray(dy, np.float64), np.zeros(x_shape)
    for p, q, pixels in _windows(x_shape, kernel, stride, padding, ceil_mode):
        divisor = _avg_divisor(p, q, pixels, x_shape, kernel, stride, padding, count_include_pad)
        for h, w in pixels:
            dx[:, :, h, w] += dy[:, :, p, q] / divisor
    return dx


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


def uniform(seed, offset, count):
    """Number i of stream `seed`: the upper 24 bits of word i % 4 of counter i // 4, over 2**24."""
    numbers = []
    for i in range(offset, offset + count):
        block = i // 4
        word = philox4x32([block & 0xFFFFFFFF, block >> 32, 0, 0], [seed & 0xFFFFFFFF, seed >> 32])[i % 4]
        numbers.append((word >> 8) / 2**24)
    return np.array(numbers)
