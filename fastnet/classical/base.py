"""What classifiers and features share: checked rows and labels, and the base class of the classifiers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from fastnet.arrays import on_host
from fastnet.types import Array, ArrayLike

__all__ = ["Classifier", "compute_dtype", "in_chunks", "rows_of", "sum_of_rows"]

_CHUNK = 1 << 22  # elements that are checked or converted at a time


def compute_dtype(X: Array) -> np.dtype[Any]:
    """float32 for arrays whose numbers it can hold, else float64."""
    return np.dtype(np.float32 if np.result_type(X.dtype, np.float32) == np.float32 else np.float64)


def in_chunks(function: Callable[[Array], Array], X: Array, size: int = 0) -> Array:
    """``function`` of a few rows of X at a time, a row (or number) for each; bounds the memory of temporaries.

    `size` is how many numbers the function needs for a row, if more than the row has.
    """
    step = max(1, _CHUNK // max(1, size, X[0].size))
    return np.concatenate([function(X[start : start + step]) for start in range(0, len(X), step)])


def sum_of_rows(rows: Array) -> Array:
    """The sum of all rows, in float64, without a copy of them."""
    step = max(1, _CHUNK // rows.shape[1])
    starts = range(0, len(rows), step)
    return np.asarray(sum(rows[start : start + step].sum(axis=0, dtype=np.float64) for start in starts))


def rows_of(name: str, X: ArrayLike, columns: int | None = None) -> Array:
    """X (N, ...) as an array (N, D) of its own dtype, without a copy where possible; examples are flattened.

    Parameters
    ----------
    name : str
        For error messages: "KNearestNeighbors.fit: X".
    X : array, (N, D), or (N, C, H, W) and the like
    columns : int, optional
        The D that is expected.

    Raises
    ------
    TypeError, ValueError
        Not real numbers, no examples, a single example, another D, NaN or infinity.
    """
    array = on_host(X, name)
    if array.ndim < 2:
        raise ValueError(
            f"{name} must hold one example per row, (N, D), got shape {array.shape}; a single example needs a leading "
            "axis: X[None]"
        )
    if not array.size:
        raise ValueError(f"{name} must hold at least one example of at least one number, got shape {array.shape}")
    rows = array.reshape(len(array), -1)
    if columns is not None and rows.shape[1] != columns:
        raise ValueError(f"{name} has {rows.shape[1]} numbers in each example, but fit was given {columns}")
    if rows.dtype.kind == "f":
        bad = len(rows) - int(in_chunks(lambda some: np.asarray(np.isfinite(some).all(axis=1)), rows).sum())
        if bad:
            raise ValueError(f"{name} holds NaN or infinity in {bad} of {len(rows)} examples; remove or replace them")
    return rows


def labels_of(name: str, rows: Array, y: ArrayLike) -> Array:
    """y as an array (N,) of labels of any kind, one for each row; TypeError or ValueError if it is not."""
    labels = np.asarray(y)
    if labels.dtype.kind not in "biufUS":
        raise TypeError(f"{name} must hold numbers or text, one label for each example, got dtype {labels.dtype}")
    if labels.shape != (len(rows),):
        raise ValueError(f"{name} must have shape ({len(rows)},), a label for each example, got {labels.shape}")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise ValueError(f"{name} holds NaN or infinity, which are no labels")
    return labels


class Classifier(ABC):
    """The base class, in scikit-learn's manner: ``fit(X, y)`` returns the classifier, ``score(X, y)`` is its accuracy.

    X is (N, D); examples with more axes, such as images (N, C, H, W), are flattened.  Labels are integers or text.

    Attributes
    ----------
    classes_ : array
        The labels that `fit` saw, sorted; columns of scores and probabilities are in this order.
    n_features_in_ : int
        D.
    """

    classes_: Array | None = None
    n_features_in_: int | None = None
    _least_classes = 2

    @abstractmethod
    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn from X (N, D) and labels y (N,)."""

    @abstractmethod
    def predict(self, X: ArrayLike) -> Array:
        """The label of each example, (N,)."""

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """The fraction of examples whose prediction is y."""
        rows = self._rows("score", X)
        labels = labels_of(f"{type(self).__name__}.score: y", rows, y)
        return float((self.predict(rows) == labels).mean())

    def _begin(self, X: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        """The checked rows of `fit`, and for each the number of its class."""
        name = type(self).__name__
        rows = rows_of(f"{name}.fit: X", X)
        labels = labels_of(f"{name}.fit: y", rows, y)
        classes, numbers = np.unique(labels, return_inverse=True)
        if len(classes) < self._least_classes:
            raise ValueError(f"{name}.fit: y must have at least two classes, got only {classes[0]}")
        self.classes_, self.n_features_in_ = classes, rows.shape[1]
        return rows, numbers.astype(np.int64)

    def _rows(self, method: str, X: ArrayLike) -> Array:
        """The checked rows of a method that needs a fitted classifier."""
        name = type(self).__name__
        if self.classes_ is None:
            raise RuntimeError(f"{name}.{method}: call fit(X, y) first")
        return rows_of(f"{name}.{method}: X", X, self.n_features_in_)

    def _labels(self, scores: Array) -> Array:
        """The label with the largest score in each row; of equals, the first."""
        assert self.classes_ is not None
        return np.asarray(self.classes_[scores.argmax(axis=1)])
