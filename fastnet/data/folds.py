"""Folds for cross-validation, stratified by class."""

from __future__ import annotations

import numpy as np

from fastnet.arguments import integer
from fastnet.data.dataset import as_labels
from fastnet.types import ArrayLike

__all__ = ["fold_numbers"]


def fold_numbers(y: ArrayLike, folds: int = 5, seed: int = 0) -> np.ndarray:
    """The fold of each sample, for k-fold cross-validation: fold i validates, the others train.

    Folds differ by at most one sample in size, and each class's samples are spread over them as evenly.

    Parameters
    ----------
    y : array (N,)
        Class numbers or names.
    folds : int
        k, from 2 to N.
    seed : int
        The same seed makes the same folds.

    Returns
    -------
    int64 array (N,) of numbers in 0..folds-1

    Raises
    ------
    ValueError
        More folds than samples, fewer than 2, or labels of another shape.

    Examples
    --------
    >>> fold = fastnet.data.fold_numbers(y, 5)
    >>> for i in range(5):
    ...     train(X[fold != i], y[fold != i], validation=(X[fold == i], y[fold == i]))
    """
    y, folds = as_labels("fold_numbers", y), integer(folds, "fold_numbers: folds", 2)
    seed = integer(seed, "fold_numbers: seed", 0, 64)
    if y.ndim != 1:
        raise ValueError(f"fold_numbers: y must be (N,), one class for each sample, got shape {y.shape}")
    if folds > len(y):
        raise ValueError(f"fold_numbers: folds={folds} is more than there are samples ({len(y)}); each fold needs one")
    shuffled = np.random.default_rng(seed).permutation(len(y))
    by_class = shuffled[np.argsort(y[shuffled], kind="stable")]
    numbers = np.empty(len(y), np.int64)
    numbers[by_class] = np.arange(len(y)) % folds
    return numbers
