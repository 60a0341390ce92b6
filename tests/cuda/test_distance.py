"""Distances of rows on the device, and the smallest of them."""

from __future__ import annotations

import numpy as np
import pytest

from fastnet.backends import Ops


@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 2, 5), (65, 67, 17), (64, 130, 33), (0, 3, 4), (2, 70, 0)], ids=str)
def test_distances_of_integers_are_exact(sizes, device, dtype):
    M, N, D = sizes
    rng = np.random.default_rng(0)
    a, b = rng.integers(-50, 50, (M, D)).astype(dtype), rng.integers(-50, 50, (N, D)).astype(dtype)
    found = device.to_numpy(device.l1_distances(device.asarray(a), device.asarray(b)))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, abs(a[:, None] - b).sum(axis=2))


def test_distances_are_one_chain_of_sums(device, dtype):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 40)).astype(dtype), rng.normal(size=(4, 40)).astype(dtype)
    expected = np.zeros((5, 4), dtype)
    for t in range(40):
        expected += abs(a[:, t, None] - b[:, t])
    np.testing.assert_array_equal(device.to_numpy(device.l1_distances(device.asarray(a), device.asarray(b))), expected)


def test_nan_and_infinity_stay_in_their_row_and_column(device, dtype):
    a, b = np.ones((3, 4), dtype), np.zeros((66, 4), dtype)
    a[1, 2], b[65, 0] = np.nan, np.inf
    found = device.to_numpy(device.l1_distances(device.asarray(a), device.asarray(b)))
    assert np.isnan(found[1]).all() and (found[::2, 65] == np.inf).all() and (found[::2, :65] == 4).all()


@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 7, 7), (2, 1000, 5), (4, 300, 1), (0, 5, 2), (2, 5, 0)], ids=str)
def test_the_smallest_of_equals_are_the_first(sizes, device, dtype):
    M, N, k = sizes
    x = np.random.default_rng(0).integers(0, 6, (M, N)).astype(dtype)
    x[:, ::9] = np.inf
    x[:, 1::50] = -np.inf
    found = device.to_numpy(device.smallest(device.xp.asarray(x), k))
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, np.argsort(x, axis=1, kind="stable")[:, :k])
    if k and M:
        np.testing.assert_array_equal(found, Ops().smallest(x, k))
