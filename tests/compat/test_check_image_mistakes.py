"""The autograder says in words what is wrong in the loops of convolution and pooling."""

from __future__ import annotations

import re

import numpy as np
import pytest
from compat.solutions import result_of, solutions

pytestmark = pytest.mark.usefixtures("frozen")

WORK = solutions()


def check(name, function, words):
    result = result_of({**WORK, name: function}, name)
    assert not result.passed and re.search(words, result.words), result.words


def at_of(n, c, i, j, s, R, S):
    return n, c, slice(i * s, i * s + R), slice(j * s, j * s + S)


# ---------------------------------------------------------------- max pooling, backward


def pool_backward(body):
    def max_pool_backward_naive(dout, cache):
        x, p = cache
        R, S, s = p["pool_height"], p["pool_width"], p["stride"]
        dx = np.zeros_like(x)
        for n, c, i, j in np.ndindex(*dout.shape):
            at = at_of(n, c, i, j, s, R, S)
            body(dx, at, x[at], dout[n, c, i, j], (n, c, i, j))
        return dx

    return max_pool_backward_naive


def largest(window):
    return np.unravel_index(window.argmax(), window.shape)


def set_pixel(dx, at, window, d, out):
    r, q = largest(window)
    dx[at][r, q] = d


def set_mask(dx, at, window, d, out):
    dx[at][window == window.max()] = d


def set_window(dx, at, window, d, out):
    dx[at] = (window == window.max()) * d


def in_window(dx, at, window, d, out):
    r, q = largest(window)
    dx[out[0], out[1], r, q] += d


def without_stride(dx, at, window, d, out):
    r, q = largest(window)
    dx[out[0], out[1], out[2] + r, out[3] + q] += d


def without_dout(dx, at, window, d, out):
    dx[at] += window == window.max()


def to_smallest(dx, at, window, d, out):
    dx[at] += (window == window.min()) * d


def to_mean(dx, at, window, d, out):
    dx[at] += d / window.size


def to_all(dx, at, window, d, out):
    dx[at] += d


@pytest.mark.parametrize(
    "body, words",
    [
        (set_pixel, r"wrong dx: overlapping windows must accumulate: \+= instead of ="),
        (set_mask, r"wrong dx: overlapping windows must accumulate: \+= instead of ="),
        (set_window, r"wrong dx: overlapping windows must accumulate: \+= instead of ="),
        (in_window, "wrong dx: the position in the window is taken for one in the image"),
        (without_stride, r"wrong dx: window p begins at pixel p, not at p \* stride"),
        (without_dout, "wrong dx: it is the mask alone: dout is missing"),
        (to_smallest, "wrong dx: it goes to the smallest pixel"),
        (to_mean, "wrong dx: it is the gradient of mean pooling"),
        (to_all, "wrong dx: every pixel of a window gets the gradient"),
    ],
)
def test_max_pool_backward(body, words):
    check("max_pool_backward_naive", pool_backward(body), words)


# ---------------------------------------------------------------- max pooling, forward


def pool_forward(choose, step=None, less=0):
    def max_pool_forward_naive(x, p):
        R, S, s = p["pool_height"], p["pool_width"], p["stride"]
        out = np.zeros((*x.shape[:2], 1 + (x.shape[2] - R) // s, 1 + (x.shape[3] - S) // s))
        h, v = step(R, S) if step else (s, s)
        for i in range(out.shape[2] - less):
            for j in range(out.shape[3] - less):
                out[:, :, i, j] = choose(x[:, :, i * h : i * h + R, j * v : j * v + S])
        return out, (x, p)

    return max_pool_forward_naive


@pytest.mark.parametrize(
    "function, words",
    [
        (
            pool_forward(lambda w: w.max(axis=(2, 3)), lambda R, S: (1, 1)),
            r"window p begins at pixel p, not at p \* stride",
        ),
        (pool_forward(lambda w: w.max(axis=(2, 3), initial=-np.inf), lambda R, S: (R, S)), "step by the pool's size"),
        (pool_forward(lambda w: w.max()), r"images and channels are pooled together"),
        (pool_forward(lambda w: abs(w).max(axis=(2, 3))), "it is the largest absolute value"),
        (pool_forward(lambda w: w.max(axis=(2, 3), initial=0)), "the maximum begins with 0"),
        (pool_forward(lambda w: w.sum(axis=(2, 3))), "it is the sum of each window"),
        (pool_forward(lambda w: w.max(axis=(2, 3)), less=1), "the last row and column of windows are missing"),
    ],
)
def test_max_pool_forward(function, words):
    check("max_pool_forward_naive", function, f"wrong out: .*{words}")


# ---------------------------------------------------------------- convolution, forward


def conv_forward(body, pad_with=lambda x, sides: np.pad(x, sides), less=0):
    def conv_forward_naive(x, w, b, param):
        s, p = param["stride"], param["pad"]
        R, S = w.shape[2:]
        wide = pad_with(x, ((0, 0), (0, 0), (p, p), (p, p)))
        shape = 1 + (x.shape[2] + 2 * p - R) // s, 1 + (x.shape[3] + 2 * p - S) // s
        out = np.zeros((len(x), len(w), *shape))
        for n, k, i, j in np.ndindex(len(x), len(w), shape[0] - less, shape[1] - less):
            out[n, k, i, j] = body(wide, w, b, n, k, i, j, s)
        return out, (x, w, b, param)

    return conv_forward_naive


def right(wide, w, b, n, k, i, j, s):
    return np.sum(wide[n, :, i * s : i * s + w.shape[2], j * s : j * s + w.shape[3]] * w[k]) + b[k]


def exchanged(wide, w, b, n, k, i, j, s):
    window = wide[n, :, j * s : j * s + w.shape[2], i * s : i * s + w.shape[3]]
    return np.sum(window * w[k][:, : window.shape[1], : window.shape[2]]) + b[k]


def combined(combine):
    def body(wide, w, b, n, k, i, j, s):
        return combine(wide[n, :, i * s : i * s + w.shape[2], j * s : j * s + w.shape[3]] * w[k]) + b[k]

    return body


@pytest.mark.parametrize(
    "function, words",
    [
        (
            conv_forward(lambda wide, w, b, n, k, i, j, s: right(wide, w, b, n, k, i, j, 1)),
            "window p begins at pixel p",
        ),
        (conv_forward(exchanged), "rows and columns of the output are exchanged"),
        (conv_forward(combined(np.max)), "it is the largest product"),
        (conv_forward(combined(np.mean)), "it is the mean of the products"),
        (conv_forward(lambda wide, w, b, *at: right(wide, w, np.full_like(b, b[0]), *at)), "the same bias, the first"),
        (conv_forward(lambda wide, w, b, *at: right(wide, w, np.full_like(b, b.sum()), *at)), "the sum of all biases"),
        (conv_forward(lambda wide, w, b, *at: right(wide, np.repeat(w[:1], len(w), 0), b, *at)), "of the first filter"),
        (conv_forward(lambda wide, w, b, n, *at: right(wide, w, b, 0, *at)), "of the first image"),
        (conv_forward(right, lambda x, sides: np.pad(x, sides, "edge")), "the padding repeats the border"),
        (conv_forward(right, lambda x, sides: np.pad(x, sides, constant_values=1)), "the padding is ones"),
        (conv_forward(right, less=1), "the last row and column of windows are missing"),
    ],
)
def test_conv_forward(function, words):
    check("conv_forward_naive", function, f"wrong out: .*{words}")


# ---------------------------------------------------------------- convolution, backward


def conv_backward(dx_body, dw_body):
    def conv_backward_naive(dout, cache):
        x, w, b, param = cache
        s, p = param["stride"], param["pad"]
        R, S = w.shape[2:]
        wide = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
        dwide, dw = np.zeros_like(wide), np.zeros_like(w)
        for n, k, i, j in np.ndindex(dout.shape):
            at = at_of(n, slice(None), i, j, s, R, S)
            dx_body(dwide, at, wide[at], w, dout, (n, k, i, j))
            dw_body(dw, at, wide[at], w, dout, (n, k, i, j), x)
        return dwide[:, :, p : p + x.shape[2], p : p + x.shape[3]], dw, dout.sum(axis=(0, 2, 3))

    return conv_backward_naive


def dx_right(dwide, at, window, w, dout, out):
    dwide[at] += dout[out] * w[out[1]]


def dx_after_sum(dwide, at, window, w, dout, out):
    dwide[at] = np.tensordot(dout[out[0], :, out[2], out[3]], w, 1)


def dx_set(dwide, at, window, w, dout, out):
    dwide[at] = dout[out] * w[out[1]]


def dx_without_dout(dwide, at, window, w, dout, out):
    dwide[at] += w[out[1]]


def dx_without_stride(dwide, at, window, w, dout, out):
    dwide[at_of(out[0], slice(None), out[2], out[3], 1, *w.shape[2:])] += dout[out] * w[out[1]]


def dx_of_x(dwide, at, window, w, dout, out):
    dwide[at] += dout[out] * window


def dx_zeroed_again(dwide, at, window, w, dout, out):
    if out[1:] == (0, 0, 0):
        dwide[:] = 0
    dx_right(dwide, at, window, w, dout, out)


def dw_right(dw, at, window, w, dout, out, x):
    dw[out[1]] += dout[out] * window


def dw_without_dout(dw, at, window, w, dout, out, x):
    dw[out[1]] += window


def dw_of_w(dw, at, window, w, dout, out, x):
    dw[out[1]] += dout[out] * w[out[1]]


def dw_of_sum(dw, at, window, w, dout, out, x):
    dw[out[1]] += dout[out[:2]].sum() * window


def dw_unpadded(dw, at, window, w, dout, out, x):
    part = x[at]
    dw[out[1]][:, : part.shape[1], : part.shape[2]] += dout[out] * part


@pytest.mark.parametrize(
    "function, words",
    [
        (
            conv_backward(dx_after_sum, dw_right),
            r"wrong dx: overlapping windows must accumulate: \+= .*the sum over filters",
        ),
        (conv_backward(dx_set, dw_right), r"wrong dx: overlapping windows must accumulate: \+="),
        (conv_backward(dx_without_dout, dw_right), "wrong dx: dout is missing"),
        (conv_backward(dx_without_stride, dw_right), "wrong dx: window p begins at pixel p"),
        (conv_backward(dx_of_x, dw_right), "wrong dx: it is made of x"),
        (conv_backward(dx_zeroed_again, dw_right), "wrong dx: only the last image has a gradient"),
        (conv_backward(dx_right, dw_without_dout), "wrong dw: dout is missing"),
        (conv_backward(dx_right, dw_of_w), "wrong dw: it is made of w"),
        (conv_backward(dx_right, dw_of_sum), "wrong dw: each window is multiplied by the sum of dout"),
        (conv_backward(dx_right, dw_unpadded), "wrong dw: x must be padded"),
    ],
)
def test_conv_backward(function, words):
    check("conv_backward_naive", function, words)
