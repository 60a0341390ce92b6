"""Convolutions and poolings of integers, with results from the oracle's loops, for the tests of course adapters."""

from __future__ import annotations

import numpy as np
import oracle

CONVS = [(1, 0, 3), (2, 1, 3), (3, 2, 2), (1, 0, 1), (2, 0, 4)]  # stride, pad, kernel


def integers(shape, seed, low=-3, high=4):
    return np.random.default_rng(seed).integers(low, high, shape).astype(np.float64)


def pairs(stride, pad):
    return (stride, stride), (pad,) * 4


def last(x):
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


def first(x):
    return np.ascontiguousarray(np.moveaxis(x, -1, 1))


def filters_last(w):
    return np.ascontiguousarray(w.transpose(2, 3, 1, 0))


def conv_case(stride, pad, kernel, shape=(2, 3, 7, 9), filters=4):
    """x, w, b, y, dy and (dx, dw, db) of a convolution, channels first, all integers."""
    x, w, b = integers(shape, 0), integers((filters, shape[1], kernel, kernel), 1), integers((filters,), 2)
    y = oracle.conv2d(x, w, b, *pairs(stride, pad))
    dy = integers(y.shape, 3)
    return x, w, b, y, dy, oracle.conv2d_backward(dy, x, w, *pairs(stride, pad))


def max_pool_backward(dy, x, kernel, stride, ties):
    """In loops over windows, the whole gradient for each maximum, or only for the first."""
    dx = np.zeros(x.shape)
    for n, c, p, q in np.ndindex(dy.shape):
        window = [(p * stride + r, q * stride + s) for r in range(kernel) for s in range(kernel)]
        largest = max(x[n, c, h, w] for h, w in window)
        winners = [(h, w) for h, w in window if x[n, c, h, w] == largest]
        for h, w in winners if ties == "all" else winners[:1]:
            dx[n, c, h, w] += dy[n, c, p, q]
    return dx


def pool_case(kernel, stride, seed=0):
    """x with many ties, y and dy of a pooling."""
    x = integers((2, 3, 8, 9), seed, 0, 3)
    y, _ = oracle.max_pool2d(x, (kernel, kernel), (stride, stride))
    return x, y, integers(y.shape, seed + 1, 1, 9)
