"""Sums over parameters, and bounds of rows' norms."""

import numpy as np
import pytest

from fastnet.backends import Ops
from fastnet.ops import REGISTRY

SIZES = (1, 0, 255, 4096, 4097, 9000)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_of_integers_are_exact(device, dtype):
    rng = np.random.default_rng(0)
    arrays = [rng.integers(-50, 50, size).astype(dtype) for size in SIZES]
    given = [device.contiguous(x) for x in arrays]
    assert device.power_sums_each(given) == [Ops().power_sums(x) for x in arrays]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_do_not_depend_on_the_other_arrays(device, dtype):
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal(size).astype(dtype) for size in SIZES]
    given = [device.contiguous(x) for x in arrays]
    together = device.power_sums_each(given)
    assert together == [device.power_sums(x) for x in given]
    np.testing.assert_allclose(together, Ops().power_sums_each(arrays), rtol=1e-13)
    assert device.power_sums_each([]) == []


def test_sums_are_of_doubles_and_show_what_is_not_finite(device):
    huge = device.contiguous(np.full(5000, 1e30, np.float32))
    assert device.power_sums(huge) == pytest.approx((5000 * 1e30, 5000 * 1e60))
    bad = [device.contiguous(np.array([1.0, value])) for value in (np.nan, np.inf, 1e200)]
    assert [str(square) for _, square in device.power_sums_each(bad)] == ["nan", "inf", "inf"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "shape, rows, after", [((6, 700), 6, 700), ((5, 3, 7, 2), 3, 14), ((4, 9), 9, 1), ((1, 1), 1, 1), ((300,), 300, 1)]
)
def test_rows_are_limited(device, shape, rows, after, dtype):
    rng = np.random.default_rng(2)
    w = (rng.standard_normal(shape) * rng.uniform(0, 2, (*shape[:1], *[1] * (len(shape) - 1)))).astype(dtype)
    limit = float(np.sqrt(w.size / rows)) * 0.9
    arrays = [w, w[::-1].copy()]
    given = [(device.contiguous(x),) for x in arrays]
    attributes = {"rows": rows, "after": after, "limit": limit}
    device.update_each(REGISTRY["limit_norms"], given, attributes)
    for (x,), expected in zip(given, arrays, strict=True):
        before = expected.copy()
        Ops().limit_norms(expected, **attributes)
        np.testing.assert_allclose(device.to_numpy(x), expected, rtol=1e-6 if dtype == "float32" else 1e-13)
        short = (device.to_numpy(x) == before).reshape(-1, rows, after).all(axis=(0, 2))
        norms = np.sqrt((before.astype(float).reshape(-1, rows, after) ** 2).sum(axis=(0, 2)))
        np.testing.assert_array_equal(short, norms <= limit)


def test_rows_whose_squares_overflow_are_limited_and_empty_ones_left(device):
    w = device.contiguous(np.array([[3e200, 4e200], [0.0, 0.0], [np.nan, 1.0]]))
    device.limit_norms(w, rows=3, after=2, limit=1e200)
    np.testing.assert_allclose(device.to_numpy(w), [[6e199, 8e199], [0, 0], [np.nan, 1]], rtol=1e-14)
    empty = device.zeros((3, 0), "float32")
    device.limit_norms(empty, rows=3, after=1, limit=1.0)
