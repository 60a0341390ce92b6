"""Softmax and its logarithm on the device: rows of every width that threads are grouped by."""

from __future__ import annotations

import numpy as np
import pytest

from fastnet.backends import Ops

SHAPES = [
    *((3, C) for C in (1, 2, 3, 4, 5, 8, 9, 16, 17, 31, 32, 33, 64, 100)),
    *((0, 4), (1, 1), (257, 10), (2, 3, 5, 4), (2, 35, 3, 1), (3, 6, 7)),
]


def run(ops, op, x, dy):
    y, saved = getattr(ops, op)(ops.asarray(x))
    return ops.to_numpy(y), ops.to_numpy(getattr(ops, f"{op}_backward")(ops.asarray(dy), saved))


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients(op, shape, device, dtype):
    rng = np.random.default_rng(0)
    x, dy = ((4 * rng.normal(size=shape)).astype(dtype) for _ in range(2))
    eps = np.finfo(dtype).eps
    for got, want in zip(run(device, op, x, dy), run(Ops(), op, x, dy), strict=True):
        assert got.dtype == dtype and got.shape == shape
        np.testing.assert_allclose(got, want, rtol=8 * eps, atol=200 * eps)


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
def test_fewer_threads_than_rows(op, device, dtype, few_blocks):
    rng = np.random.default_rng(0)
    x, dy = (rng.normal(size=(75, 23)).astype(dtype) for _ in range(2))
    for got, want in zip(run(device, op, x, dy), run(Ops(), op, x, dy), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
def test_a_row_does_not_depend_on_others(op, device, dtype):
    """Not on their number, and not on NaN or infinity in them."""
    rng = np.random.default_rng(0)
    x, dy = (rng.normal(size=(40, 21)).astype(dtype) for _ in range(2))
    y, dx = run(device, op, x, dy)
    x[::2] = np.where(rng.random((20, 21)) < 0.1, np.inf, x[::2])
    x[2, 3], x[4] = np.nan, -np.inf
    for rows in (slice(1, None, 2), slice(7, 8)):
        alone = run(device, op, x[rows], dy[rows])
        np.testing.assert_array_equal(alone[0], y[rows])
        np.testing.assert_array_equal(alone[1], dx[rows])
    together = run(device, op, x, dy)[0]
    np.testing.assert_array_equal(together[1::2], y[1::2])
    assert np.isnan(together[2]).all() and np.isnan(together[4]).all()


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
def test_large_scores_do_not_overflow(op, device, dtype):
    huge = np.finfo(dtype).max / 4
    x = np.array([[huge, -huge, 0], [1000, 1000, -1000], [-np.inf, 0, 0]], dtype)
    with np.errstate(divide="ignore"):
        expected = getattr(Ops(), op)(x)[0]
    np.testing.assert_allclose(device.to_numpy(getattr(device, op)(device.asarray(x))[0]), expected, rtol=1e-6)
