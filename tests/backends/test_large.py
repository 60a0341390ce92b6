"""Arrays of 16 MB and more, which kernels write around the caches: the bits of the same numbers in smaller arrays."""

from __future__ import annotations

import cases
import numpy as np
import pytest
from isas import ISAS, kernels

from fastnet.geometry import Conv2dGeometry, Pool2dGeometry

LARGE = {np.dtype(np.float32): (17, 64, 64, 64), np.dtype(np.float64): (17, 32, 64, 64)}  # whole cache lines per pixel
ODD = (17, 60, 66, 65)  # which pixels share


@pytest.fixture(params=ISAS)
def isa(request):
    return request.param


def halves(array):
    return np.ascontiguousarray(array[:9]), np.ascontiguousarray(array[9:])


@pytest.mark.parametrize("odd", [False, True], ids=["lines", "odd"])
def test_batch_norm(isa, dtype, odd):
    shape = ODD if odd else LARGE[dtype]
    C = shape[1]
    assert np.prod(shape) * dtype.itemsize >= 16 << 20
    x, dy, add = (cases.normal(shape, dtype, seed) for seed in range(3))
    gamma, beta, mean = (cases.normal((C,), dtype, seed) for seed in range(3, 6))
    var = abs(cases.normal((C,), dtype, 6)) + dtype.type(0.1)
    with kernels(isa, guard=False) as ops:

        def run(x, dy, add):
            y, saved = ops.batch_norm_relu(x, gamma, beta, mean, var, False, add=add)
            dx, *_, dadd = ops.batch_norm_relu_backward(dy, saved)
            plain, saved = ops.batch_norm(x, gamma, beta, mean, var, False)
            return y, plain, dx, dadd, ops.batch_norm_backward(dy, saved)[0]

        parts = zip(*(run(*part) for part in zip(halves(x), halves(dy), halves(add), strict=True)), strict=True)
        for whole, part in zip(run(x, dy, add), parts, strict=True):
            np.testing.assert_array_equal(whole, np.concatenate(part))


def test_batch_norm_in_training(isa, dtype):
    """dx = slope*(dy - mean(dy) - xhat*mean(dy*xhat)), from dy and x both, on whole cache lines."""
    shape = LARGE[dtype]
    x, dy = cases.normal(shape, dtype), cases.normal(shape, dtype, 1)
    with kernels(isa, guard=False) as ops:
        y, saved = ops.batch_norm(x, None, None, None, None, True)
        dx = ops.batch_norm_backward(dy, saved)[0]
    axes, wide, g = (0, 2, 3), x.astype(np.float64), dy.astype(np.float64)
    std = np.sqrt(wide.var(axis=axes, keepdims=True) + 1e-5)
    xhat = (wide - wide.mean(axis=axes, keepdims=True)) / std
    expected = (g - g.mean(axis=axes, keepdims=True) - xhat * (g * xhat).mean(axis=axes, keepdims=True)) / std
    close = 32 * np.finfo(dtype).eps
    np.testing.assert_allclose(y, xhat, rtol=close, atol=close)
    np.testing.assert_allclose(dx, expected, rtol=close, atol=close)


@pytest.mark.parametrize("odd", [False, True], ids=["lines", "odd"])
def test_max_pool_by_two(isa, dtype, odd):
    x = cases.normal(ODD if odd else LARGE[dtype], dtype)
    with kernels(isa, guard=False) as ops:

        def run(x):
            y, saved = ops.max_pool2d(x, Pool2dGeometry.make(x.shape, 2))
            return y, ops.max_pool2d_backward(y, saved)

        for whole, part in zip(run(x), zip(*map(run, halves(x)), strict=True), strict=True):
            np.testing.assert_array_equal(whole, np.concatenate(part))


@pytest.mark.parametrize("odd", [False, True], ids=["lines", "odd"])
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_convolution(isa, dtype, odd, stride):
    x = cases.normal(ODD if odd else LARGE[dtype], dtype)
    C = x.shape[1]
    w, b = cases.normal((C, 1, 3, 3), dtype, 1), cases.normal((C,), dtype, 2)
    with kernels(isa, guard=False) as ops:

        def run(x):
            y, saved = ops.conv2d(x, w, b, Conv2dGeometry.make(x.shape, w.shape, stride, 1, groups=C))
            return y, ops.conv2d_backward(y, saved, (True, False, False))[0]

        for whole, part in zip(run(x), zip(*map(run, halves(x)), strict=True), strict=True):
            np.testing.assert_array_equal(whole, np.concatenate(part))
