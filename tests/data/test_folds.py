"""Folds of cross-validation."""

from __future__ import annotations

import numpy as np
import pytest

from fastnet.data import fold_numbers


@pytest.mark.parametrize(("N", "classes", "folds"), [(100, 10, 5), (103, 7, 5), (10, 3, 10), (50, 50, 2)])
def test_folds_are_as_equal_as_they_can_be(N, classes, folds):
    y = np.random.default_rng(0).integers(0, classes, N)
    fold = fold_numbers(y, folds, seed=1)
    sizes = np.bincount(fold, minlength=folds)
    assert sizes.sum() == N and sizes.max() - sizes.min() <= 1
    for k in range(classes):
        counts = np.bincount(fold[y == k], minlength=folds)
        assert counts.max() - counts.min() <= 1


def test_a_seed_makes_the_same_folds_and_another_makes_others():
    y = np.arange(60) % 3
    assert (fold_numbers(y, 5, 3) == fold_numbers(y, 5, 3)).all()
    assert (fold_numbers(y, 5, 3) != fold_numbers(y, 5, 4)).any()
    names = np.array(["cat", "dog", "owl"])[y]
    assert (fold_numbers(names, 5, 3) == fold_numbers(y, 5, 3)).all()


@pytest.mark.parametrize(
    ("y", "folds", "message"),
    [
        (np.zeros(4, int), 5, r"folds=5 is more than there are samples \(4\)"),
        (np.zeros(4, int), 1, "folds must be an integer between 2"),
        (np.zeros((4, 2), int), 2, r"y must be \(N,\).* got shape \(4, 2\)"),
    ],
)
def test_what_is_refused(y, folds, message):
    with pytest.raises(ValueError, match=message):
        fold_numbers(y, folds)
