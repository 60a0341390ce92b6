"""Penalties and bounds on norms, on every backend, dtype and instruction set, against float64."""

from __future__ import annotations

import cases
import numpy as np
import pytest

SIZES = [(1,), (3,), (17,), (4, 5, 3, 3), (0,), (8193,), (40001,)]


@pytest.mark.parametrize("shape", SIZES, ids=str)
@pytest.mark.parametrize("l1, l2", [(0.25, 0.0), (0.0, 0.75), (0.3, 0.7)])
def test_gradients_of_penalties(ops, dtype, shape, l1, l2):
    w, g = cases.normal(shape, dtype), cases.normal(shape, dtype, 1)
    w.ravel()[:3] = [0.0, -0.0, 1e-30][: w.size]
    kept, expected = w.copy(), g.astype(np.float64) + l2 * w.astype(np.float64) + l1 * np.sign(w)
    assert ops.add_penalty(w, g, l1, l2) is None
    np.testing.assert_array_equal(w, kept)
    np.testing.assert_allclose(g, expected, rtol=0, atol=8 * np.finfo(dtype).eps)


def test_a_nan_stays_visible(ops, dtype):
    w, g = np.array([np.nan, -np.inf], dtype), np.zeros(2, dtype)
    ops.add_penalty(w, g, 0.5, 0.1)
    assert np.isnan(g[0]) and g[1] == -np.inf


@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_sums(ops, dtype, shape):
    w = cases.normal(shape, dtype)
    wide = w.astype(np.float64)
    found = ops.power_sums(w)
    assert all(type(number) is float for number in found)
    np.testing.assert_allclose(found, (abs(wide).sum(), (wide * wide).sum()), rtol=1e-12)


@pytest.mark.parametrize(
    "shape, axis",
    [((5, 3), 0), ((7, 4, 3, 3), 0), ((7, 4, 3, 3), 1), ((6, 2), 1), ((3, 70000), 0), ((1, 1), 0)],
    ids=str,
)
def test_bounds_on_norms(ops, dtype, shape, axis):
    w = cases.normal(shape, dtype)
    others = tuple(other for other in range(len(shape)) if other != axis)
    norms = np.sqrt((w.astype(np.float64) ** 2).sum(others, keepdims=True))
    limit, kept = float(np.median(norms)) * 1.01, w.copy()
    assert ops.limit_norms(w, shape[axis], int(np.prod(shape[axis + 1 :])), limit) is None
    expected = kept * np.where(norms > limit, limit / norms, 1)
    np.testing.assert_allclose(w, expected, rtol=4 * np.finfo(dtype).eps)
    within = np.broadcast_to(norms <= limit, shape)
    np.testing.assert_array_equal(w[within], kept[within])
    assert np.sqrt((w.astype(np.float64) ** 2).sum(others)).max() <= limit * (1 + 4 * np.finfo(dtype).eps)


def test_zeros_have_no_norm_to_limit(ops, dtype):
    w = np.zeros((3, 4), dtype)
    ops.limit_norms(w, 3, 4, 1.0)
    assert (w == 0).all()


@pytest.mark.parametrize("size", [1e-30, 1e25, 1e200, 1e300])
def test_the_norm_of_huge_weights_does_not_overflow(ops, size):
    w = np.array([[3.0, 4.0], [0.3, 0.4]]) * [[size], [1]]
    ops.limit_norms(w, 2, 2, 1.0)
    expected = [[0.6, 0.8], [0.3, 0.4]] if size > 1 else [[3 * size, 4 * size], [0.3, 0.4]]
    np.testing.assert_allclose(w, expected, rtol=1e-15)


def test_wrong_arguments_are_refused(ops):
    w = np.ones((3, 4), np.float32)
    with pytest.raises(ValueError, match="limit_norms: 5 rows of 4 elements do not divide"):
        ops.limit_norms(w, 5, 4, 1.0)
    with pytest.raises(ValueError, match="add_penalty: gradient must have shape"):
        ops.add_penalty(w, w[1:].copy(), 1.0, 1.0)


@pytest.mark.parametrize("count", [1, 2])
def test_any_number_of_threads(native, dtype, threads, count):
    w = cases.normal((64, 5000), dtype)
    one, other = w.copy(), w.copy()
    threads(1)
    native.limit_norms(one, 64, 5000, 60.0)
    sums = native.power_sums(w)
    threads(count)
    native.limit_norms(other, 64, 5000, 60.0)
    np.testing.assert_array_equal(one, other)
    assert native.power_sums(w) == sums
