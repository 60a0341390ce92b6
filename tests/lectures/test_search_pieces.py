"""Pieces of the experiments on hyperparameter search."""

from __future__ import annotations

import numpy as np
import pytest

from fastnet.lectures import random_vs_grid, search


@pytest.mark.peers
def test_the_rank_correlation_is_scipys():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    for ties in (2, 5, 1000):
        x, y = rng.integers(0, ties, 40), rng.integers(0, ties, 40)
        assert search.spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


def test_the_rank_correlation_by_hand():
    assert search.spearman([1, 2, 3], [10, 20, 30]) == pytest.approx(1)
    assert search.spearman([1, 2, 3], [5, 4, 1]) == pytest.approx(-1)
    assert search.spearman([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(1 - 6 * 2 / (4 * 15))


def test_the_lectures_tables():
    """Their numbers of rows, best rows, and the ranges that the lecture names."""
    assert (len(search.COARSE), len(search.FINE)) == (11, 22)
    assert max(search.COARSE) == (0.482, 4.296863e-04, 6.642555e-01)
    assert max(search.FINE) == (0.531, 9.471549e-04, 1.433895e-03) and min(search.FINE)[0] == 0.460
    for rows, low, high, least, most in ((search.COARSE, 1e-6, 1e-3, 1e-5, 1e5), (search.FINE, 1e-4, 1e-3, 1e-4, 1)):
        assert all(low <= lr <= high and least <= reg <= most for _, lr, reg in rows)


def test_a_grid_has_one_point_in_the_same_place_of_each_cell():
    points = random_vs_grid.grid(np.random.default_rng(0))
    cells = np.floor(points * 3)
    assert len({tuple(cell) for cell in cells}) == 9 and len(np.unique(points[:, 0])) == 3
    assert np.ptp(points * 3 - cells, axis=0) == pytest.approx(0, abs=1e-12)
