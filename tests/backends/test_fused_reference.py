"""The reference's fused ops against the oracle; test_fused.py compares the kernels with the reference's composition."""

from __future__ import annotations

import cases
import numpy as np
import oracle
import pytest

from fastnet import backends
from fastnet.geometry import Conv2dGeometry, Pool2dGeometry

same = np.testing.assert_array_equal
OPS = backends.Ops()
RELU = ("relu", {})

CONVOLUTIONS = [  # x, filters, kernel, stride, padding, groups
    ((3, 5, 9, 8), 7, 3, 2, 1, 1),
    ((2, 16, 7, 9), 20, 3, 1, 1, 1),
    ((2, 40, 6, 5), 33, 1, 1, 0, 1),
    ((2, 18, 6, 7), 18, 3, 1, 1, 18),
    ((2, 8, 6, 7), 12, 3, 2, 1, 4),
]


def exact_oracle(case, seed=0):
    """A convolution of integers in float64, where every sum is exact, and the oracle's answers: y, and (dx, dw, db)."""
    shape, K, size, stride, padding, groups = case
    g = Conv2dGeometry.make(shape, (K, shape[1] // groups, size, size), stride, padding, groups=groups)
    x, w, b, dy = (cases.integers(s, np.float64, seed + i) for i, s in enumerate((shape, g.w_shape, (K,), g.y_shape)))
    arguments = g.stride, g.padding, (1, 1), groups
    return (
        (g, x, w, b, dy),
        oracle.conv2d(x, w, b, *arguments),
        lambda dy: oracle.conv2d_backward(dy, x, w, *arguments),
    )


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_relu_scale_and_sums_after_a_convolution(case):
    (g, x, w, b, dy), plain, gradients = exact_oracle(case)
    dadd, scale = cases.integers(g.x_shape, np.float64, 5), cases.integers((g.K,), np.float64, 6)
    y, saved = OPS.conv2d(x, w, b, g, RELU)
    same(y, np.maximum(plain, 0))
    dx, dw, db = gradients(dy * (plain > 0))
    for got, expected in zip(OPS.conv2d_backward(dy, saved, add=dadd), (dx + dadd, dw, db), strict=True):
        same(got, expected)
    scaled = scale[:, None, None] * (plain - b[:, None, None]) + b[:, None, None]
    for relu in False, True:
        for add in None, dy:
            expected = scaled if add is None else scaled + add
            got = OPS.conv2d_scaled(x, w, scale, b, None, add, g, RELU if relu else None)
            same(got, np.maximum(expected, 0) if relu else expected)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("added", [False, True])
def test_batch_norm_with_relu(training, added):
    """On its own, and after a convolution."""
    (g, x, w, b, dy), between, gradients = exact_oracle(CONVOLUTIONS[1])
    gamma, beta, mean, variance = (cases.normal((g.K,), np.float64, i) for i in range(4))
    add, dadd = cases.normal(g.y_shape, np.float64, 4) if added else None, cases.normal(g.x_shape, np.float64, 5)
    moments = oracle.moments(between)[:2] if training else (mean, abs(variance))
    normalized = oracle.batch_norm(between, gamma, beta, *moments)
    summed = normalized + add if added else normalized
    gated = dy * (summed > 0)
    dx, dgamma, dbeta = oracle.batch_norm_backward(gated, between, gamma, *moments, training)
    convolved = gradients(dx)
    statistics = gamma, beta, mean, abs(variance), add
    y, saved = OPS.batch_norm_activation(between, *statistics, training, activation=RELU)
    both, both_saved = OPS.conv2d_batch_norm(x, w, b, *statistics, g, training, activation=RELU)
    found = OPS.batch_norm_activation_backward(dy, saved, (True,) * 3 + (added,))
    after = OPS.conv2d_batch_norm_backward(dy, both_saved, (True,) * 5 + (added,), add=dadd)
    expected = [dx, dgamma, dbeta, gated if added else None]
    joined = [convolved[0] + dadd, *convolved[1:], *expected[1:]]
    for got, wanted in zip((y, both, *found, *after), (*[np.maximum(summed, 0)] * 2, *expected, *joined), strict=True):
        assert (got is None) == (wanted is None)
        if wanted is not None:
            np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("relu", [False, True])
def test_max_pooling_with_relu(relu):
    """On its own, and after a convolution; integers, so that there are ties and zeros."""
    (g, x, w, b, _), between, gradients = exact_oracle(CONVOLUTIONS[1])
    pool = Pool2dGeometry.make(g.y_shape, 3, 2, 1)
    highest, winners = oracle.max_pool2d(between, (3, 3), (2, 2), (1, 1, 1, 1))
    activation = RELU if relu else None
    dy, dadd = cases.integers(pool.y_shape, np.float64, 5), cases.integers(g.x_shape, np.float64, 6)
    gated = oracle.max_pool2d_backward(dy * (highest > 0) if relu else dy, winners, g.y_shape)
    dx, dw, db = gradients(gated)
    y, saved = OPS.max_pool2d(between, pool, activation)
    both, both_saved = OPS.conv2d_max_pool(x, w, b, g, pool, activation)
    expected = np.maximum(highest, 0) if relu else highest
    found = (y, OPS.max_pool2d_backward(dy, saved), both, *OPS.conv2d_max_pool_backward(dy, both_saved, add=dadd))
    for got, wanted in zip(found, (expected, gated, expected, dx + dadd, dw, db), strict=True):
        same(got, wanted)


def test_linear_with_relu():
    x, w, b, dy = (cases.integers(s, np.float64, i) for i, s in enumerate([(9, 17), (21, 17), (21,), (9, 21)]))
    plain = oracle.matmul(x, w.T) + b
    y, saved = OPS.linear(x, w, b, RELU)
    same(y, np.maximum(plain, 0))
    gated = dy * (plain > 0)
    expected = oracle.matmul(gated, w), oracle.matmul(gated.T, x), gated.sum(axis=0)
    for got, wanted in zip(OPS.linear_backward(dy, saved), expected, strict=True):
        same(got, wanted)
