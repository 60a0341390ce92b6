"""Arrays of 16 MB and more, written with non-temporal stores: the same bits as the same elements in smaller arrays."""

from __future__ import annotations

from functools import lru_cache

import cases
import numpy as np
import pytest
from isas import ISAS, kernels

from fastnet.geometry import Conv2dGeometry, Pool2dGeometry

LARGE = {np.dtype(np.float32): (17, 64, 64, 64), np.dtype(np.float64): (17, 32, 64, 64)}  # whole cache lines per pixel
ODD = (17, 60, 66, 65)  # pixels share cache lines


@pytest.fixture(params=ISAS)
def isa(request):
    return request.param


@lru_cache(maxsize=8)
def images(shape, dtype, seed=0):
    """Normal numbers in channels-last memory, which kernels read without a copy; made once for all tests."""
    N, C, H, W = shape
    values = np.random.default_rng(seed).standard_normal((N, H, W, C), dtype)
    values.flags.writeable = False
    return np.moveaxis(values, 3, 1)


def halves(array):
    return array[:9], array[9:]


def check_halves(whole, first, second):
    """Compare bits in memory order, which is fast; a NaN is an error."""
    for got, expected in zip(halves(whole), (first, second), strict=True):
        assert np.array_equal(got, expected)


@pytest.mark.parametrize("odd", [False, True], ids=["lines", "odd"])
def test_batch_norm(isa, dtype, odd):
    shape = ODD if odd else LARGE[dtype]
    C = shape[1]
    assert np.prod(shape) * dtype.itemsize >= 16 << 20
    x, dy, add = (images(shape, dtype, seed) for seed in range(3))
    gamma, beta, mean = (cases.normal((C,), dtype, seed) for seed in range(3, 6))
    var = abs(cases.normal((C,), dtype, 6)) + dtype.type(0.1)
    with kernels(isa, guard=False) as ops:

        def run(x, dy, add):
            y, saved = ops.batch_norm_activation(x, gamma, beta, mean, var, add, False, activation=("relu", {}))
            dx, *_, dadd = ops.batch_norm_activation_backward(dy, saved)
            plain, saved = ops.batch_norm(x, gamma, beta, mean, var, False)
            return y, plain, dx, dadd, ops.batch_norm_backward(dy, saved)[0]

        parts = zip(*(run(*part) for part in zip(halves(x), halves(dy), halves(add), strict=True)), strict=True)
        for whole, part in zip(run(x, dy, add), parts, strict=True):
            check_halves(whole, *part)


@lru_cache(maxsize=2)
def normalized(shape, dtype):
    """(xhat, dx) in float64, dx = (dy - mean(dy) - xhat*mean(dy*xhat)) / std."""
    x, dy = (images(shape, dtype, seed).astype(np.float64) for seed in (0, 1))
    axes = (0, 2, 3)
    std = np.sqrt(x.var(axis=axes, keepdims=True) + 1e-5)
    xhat = (x - x.mean(axis=axes, keepdims=True)) / std
    dx = (dy - dy.mean(axis=axes, keepdims=True) - xhat * (dy * xhat).mean(axis=axes, keepdims=True)) / std
    return xhat, dx


def test_batch_norm_in_training(isa, dtype):
    """The input gradient reads dy and x, both on whole cache lines."""
    x, dy = (images(LARGE[dtype], dtype, seed) for seed in (0, 1))
    with kernels(isa, guard=False) as ops:
        y, saved = ops.batch_norm(x, None, None, None, None, True)
        dx = ops.batch_norm_backward(dy, saved)[0]
    close = 32 * np.finfo(dtype).eps
    for got, expected in zip((y, dx), normalized(LARGE[dtype], dtype), strict=True):
        assert (abs(got - expected) <= close * (1 + abs(expected))).all()


@pytest.mark.parametrize("odd", [False, True], ids=["lines", "odd"])
def test_max_pool_by_two(isa, dtype, odd):
    x = images(ODD if odd else LARGE[dtype], dtype)
    with kernels(isa, guard=False) as ops:

        def run(x):
            y, saved = ops.max_pool2d(x, Pool2dGeometry.make(x.shape, 2))
            return y, ops.max_pool2d_backward(y, saved)

        for whole, part in zip(run(x), zip(*map(run, halves(x)), strict=True), strict=True):
            check_halves(whole, *part)


@pytest.mark.parametrize("odd", [False, True], ids=["lines", "odd"])
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_convolution(isa, dtype, odd, stride):
    x = images(ODD if odd else LARGE[dtype], dtype)
    C = x.shape[1]
    w, b = cases.normal((C, 1, 3, 3), dtype, 1), cases.normal((C,), dtype, 2)
    with kernels(isa, guard=False) as ops:

        def run(x):
            y, saved = ops.conv2d(x, w, b, Conv2dGeometry.make(x.shape, w.shape, stride, 1, groups=C))
            return y, ops.conv2d_backward(y, saved, (True, False, False))[0]

        for whole, part in zip(run(x), zip(*map(run, halves(x)), strict=True), strict=True):
            check_halves(whole, *part)
