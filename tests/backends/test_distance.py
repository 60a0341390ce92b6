"""City-block distances and the selection of the smallest: hostile shapes, memory orders, instruction sets, threads."""

from __future__ import annotations

import numpy as np
import pytest
from guarded import guarded

SHAPES = [
    (1, 1, 1),
    (3, 5, 2),
    (4, 16, 511),
    (5, 17, 512),
    (9, 33, 513),
    (130, 40, 1030),
    (0, 3, 4),
    (3, 0, 4),
    (2, 3, 0),
]


def loops(a, b):
    """In float64, one pair after the other."""
    pairs = [[float(sum(abs(x - y))) for y in b.astype(float)] for x in a.astype(float)]
    return np.array(pairs).reshape(len(a), len(b))


@pytest.mark.parametrize("at_end", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_integers_have_exact_distances(ops, dtype, shape, at_end):
    M, N, D = shape
    rng = np.random.default_rng(sum(shape))
    a, b = (guarded(rng.integers(-9, 9, (rows, D)).astype(dtype), at_end) for rows in (M, N))
    y = ops.l1_distances(a, b)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, loops(a, b))


def test_distances_of_arrays_in_any_memory_order(ops, dtype):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(7, 40)).astype(dtype), rng.normal(size=(40, 9)).astype(dtype).T
    np.testing.assert_allclose(ops.l1_distances(a[::-1], b), loops(a[::-1], b), rtol=1e-5)


@pytest.mark.parametrize(("a", "b"), [((2, 3), (2, 4)), ((3,), (2, 3)), ((1, 2, 3), (2, 3))])
def test_rows_that_do_not_match_are_refused(ops, dtype, a, b):
    with pytest.raises(ValueError, match=r"arrays must be \(M, D\) and \(N, D\), got"):
        ops.l1_distances(np.zeros(a, dtype), np.zeros(b, dtype))


@pytest.mark.parametrize("case", [(1, 1, 1), (3, 64, 1), (5, 65, 65), (7, 1000, 10), (2, 130, 129)], ids=str)
@pytest.mark.parametrize("values", [3, 10**6])
def test_the_smallest_are_those_of_a_stable_sort(ops, dtype, case, values):
    rows, columns, k = case
    x = np.random.default_rng(k).integers(0, values, (rows, columns)).astype(dtype)
    x[0, -1] = np.inf
    expected = np.argsort(x, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(ops.smallest(guarded(x, True), k), expected)
    np.testing.assert_array_equal(ops.smallest(np.asfortranarray(x), k), expected)


@pytest.mark.parametrize("order", [1, -1])
def test_the_smallest_of_sorted_rows(ops, dtype, order):
    x = np.ascontiguousarray(np.arange(500, dtype=dtype)[None, ::order])
    np.testing.assert_array_equal(ops.smallest(x, 70), np.arange(500)[None, ::order][:, :70])


@pytest.mark.parametrize("count", [1, 3])
def test_the_smallest_at_any_number_of_threads(best_native, threads, count):
    threads(count)
    x = np.random.default_rng(0).integers(0, 50, (4000, 300)).astype(np.float32)
    np.testing.assert_array_equal(best_native.smallest(x, 20), np.argsort(x, axis=1, kind="stable")[:, :20])
