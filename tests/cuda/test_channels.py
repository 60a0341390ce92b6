"""PReLU and maxout on the device: one slope and many, odd numbers of channels, NaN, ties."""

from __future__ import annotations

import numpy as np
import pytest
from cuda.dtypes import mostly_float32

from fastnet.backends import Ops

SHAPES = [(1, 1), (300, 3), (2, 257), (3, 7, 5, 3), (0, 3, 2, 2), (2, 5, 11), (1, 64, 4, 9), (600, 1)]


def run(ops, name, x, dy, *weights, **attributes):
    given = [ops.contiguous(ops.asarray(w)) for w in weights]
    y, saved = getattr(ops, name)(ops.asarray(x), *given, **attributes)
    gradients = getattr(ops, f"{name}_backward")(ops.asarray(dy), saved)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    return [ops.to_numpy(y), *map(ops.to_numpy, gradients)]


@pytest.mark.parametrize("each", [False, True])
@mostly_float32("shape", SHAPES)
def test_prelu_of_integers_is_exact(shape, each, device, dtype):
    rng = np.random.default_rng(0)
    x, dy = (rng.integers(-5, 6, shape).astype(dtype) for _ in range(2))
    w = rng.integers(-3, 4, shape[1] if each else 1).astype(dtype)
    for got, want in zip(run(device, "prelu", x, dy, w), run(Ops(), "prelu", x, dy, w), strict=True):
        assert got.dtype == dtype and got.shape == want.shape
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("needs", [(True, False), (False, True)])
def test_prelu_computes_the_gradients_that_are_needed(needs, device, dtype):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(4, 3, 5, 2)).astype(dtype), rng.normal(size=3).astype(dtype)
    _, saved = device.prelu(device.asarray(x), device.asarray(w))
    found = device.prelu_backward(device.asarray(x), saved, needs)
    expected = Ops().prelu_backward(x, Ops().prelu(x, w)[1], needs)
    for got, want in zip(found, expected, strict=True):
        assert (got is None) == (want is None)
        if got is not None:
            np.testing.assert_allclose(device.to_numpy(got), want, rtol=1e-5)


def test_prelu_of_nan(device, dtype):
    x = np.array([[np.nan, 1], [-1, np.nan]], dtype)
    y, dx, dw = run(device, "prelu", x, np.ones_like(x), np.array([0.5, 2], dtype))
    np.testing.assert_array_equal(y, [[np.nan, 1], [-0.5, np.nan]])
    np.testing.assert_array_equal(dx, [[0.5, 1], [0.5, 2]])
    assert np.isnan(dw).all()


def test_slopes_of_many_rows_are_summed_in_double(device):
    """2^24 + 1 + ... + 1, which float32 would not count."""
    x = np.full((3001, 2), -1, np.float32)
    dy = np.ones_like(x)
    dy[0] = 2.0**24
    dw = run(device, "prelu", x, dy, np.ones(2, np.float32))[2]
    np.testing.assert_array_equal(dw, np.full(2, -(2.0**24 + 3000), np.float32))


@pytest.mark.parametrize("pieces", [1, 2, 3, 5])
@pytest.mark.parametrize("shape", [(1, 1), (300, 3), (3, 2, 5, 3), (0, 3, 2, 2), (2, 5, 11)], ids=str)
def test_maxout(shape, pieces, device, dtype):
    rng = np.random.default_rng(0)
    x = rng.integers(-2, 3, (shape[0], shape[1] * pieces, *shape[2:])).astype(dtype)  # with ties
    dy = rng.normal(size=shape).astype(dtype)
    found, expected = (run(ops, "maxout", x, dy, pieces=pieces) for ops in (device, Ops()))
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, want)


def test_maxout_of_nan(device, dtype):
    x = np.array([[3, np.nan, 1, np.nan, np.nan, 5], [np.inf, 0, 1, -np.inf, -np.inf, -np.inf]], dtype)
    found, expected = (run(ops, "maxout", x, np.ones((2, 2), dtype), pieces=3) for ops in (device, Ops()))
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, want)


def test_fewer_threads_than_elements(device, dtype, few_blocks):
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(401, 9)).astype(dtype), rng.normal(size=(401, 3)).astype(dtype)
    found, expected = (run(ops, "maxout", x, dy, pieces=3) for ops in (device, Ops()))
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, want)
