"""The nearest-neighbour classifier, and the choice of k by cross-validation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from fastnet.arguments import integer, positive, several
from fastnet.classical.base import Classifier, labels_of, rows_of
from fastnet.classical.nearest import METRICS, Neighbors
from fastnet.drawing import new_figure, save
from fastnet.types import Array, ArrayLike

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ChoiceOfK", "KNearestNeighbors", "choose_k"]


def _check_metric(name: str, metric: Any) -> str:
    if not isinstance(metric, str) or metric not in METRICS:
        raise ValueError(f"{name}: metric must be one of {sorted(METRICS)}, got {metric!r}")
    return metric


def _votes(neighbors: Array, classes: int) -> Array:
    """How many of each row's neighbours, given as numbers of classes (M, k), have each class: (M, classes)."""
    flat = neighbors + classes * np.arange(len(neighbors))[:, None]
    return np.bincount(flat.ravel(), minlength=classes * len(neighbors)).reshape(len(neighbors), classes)


class KNearestNeighbors(Classifier):
    """The most common class of the k nearest training examples (Cover & Hart 1967).

    ``fit`` only keeps the data, O(1); each prediction compares with all of it, O(N).  Distances are L1,
    ``sum |a - b|``, or L2, ``sqrt(sum (a - b)**2)``, computed by blocks; the neighbours are those of float64.

    Equal distances are ordered by the position in the training data, and of classes with equally many votes the first
    in `classes_` wins.

    Parameters
    ----------
    k : int
        The number of neighbours that vote.
    metric : "l2" or "l1"
    megabytes : float
        The size of a block; prediction needs about five times as much memory beside the data.
    """

    _least_classes = 1

    def __init__(self, k: int = 5, metric: str = "l2", megabytes: float = 64.0) -> None:
        self.k, self.metric = integer(k, "KNearestNeighbors: k"), _check_metric("KNearestNeighbors", metric)
        self.megabytes = positive(megabytes, "KNearestNeighbors: megabytes")

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Keep X (N, D), without a copy where possible, and the labels y (N,).

        Raises
        ------
        ValueError, TypeError
            Fewer than k examples, NaN, shapes that do not match.
        """
        self._search: Neighbors | None
        rows, self._numbers = self._begin(X, y)
        if self.k > len(rows):
            raise ValueError(f"KNearestNeighbors.fit: k={self.k} neighbours are asked for, X has {len(rows)} examples")
        self._kept, self._search = rows, None
        return self

    def neighbors(self, X: ArrayLike, k: int | None = None) -> tuple[Array, Array]:
        """The k nearest training examples of each example of X.

        Returns
        -------
        distances : array (M, k), float64, ascending
        positions : array (M, k), int64
        """
        rows = self._rows("neighbors", X)
        k = self.k if k is None else integer(k, "KNearestNeighbors.neighbors: k")
        if k > len(self._numbers):
            raise ValueError(
                f"KNearestNeighbors.neighbors: k={k} neighbours are asked for, fit was given {len(self._numbers)}"
            )
        if self._search is None:
            self._search = Neighbors(self._kept, self.metric, self.megabytes)
        return self._search.search(rows, k)

    def predict_proba(self, X: ArrayLike) -> Array:
        """The fraction of votes for each class, (M, C)."""
        _, positions = self.neighbors(X)
        assert self.classes_ is not None
        return _votes(self._numbers[positions], len(self.classes_)) / self.k

    def predict(self, X: ArrayLike) -> Array:
        """The class with the most votes, (M,)."""
        return self._labels(self.predict_proba(X))


class ChoiceOfK(NamedTuple):
    """What :func:`choose_k` found.

    Attributes
    ----------
    k : int
        With the best mean accuracy; of equals, the smallest.
    accuracies : dict
        For each k, an array with the accuracy on each fold.
    """

    k: int
    accuracies: dict[int, Array]

    def __str__(self) -> str:
        lines = [f"{'k':>5}  mean accuracy  +- std over folds"]
        for k, values in self.accuracies.items():
            mark = "  <- best" if k == self.k else ""
            lines.append(f"{k:>5}  {values.mean():13.4f}  {values.std():.4f}{mark}")
        return "\n".join(lines)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw accuracy against k: a dot for each fold, a line through the means; and write it to `path`."""
        figure = new_figure(path, 6.4, 4.4)
        axes = figure.add_subplot(xlabel="k, the number of neighbours", ylabel="accuracy on the fold left out")
        for k, values in self.accuracies.items():
            axes.plot([k] * len(values), values, ".", color="tab:blue", alpha=0.6)
        means = [values.mean() for values in self.accuracies.values()]
        spreads = [values.std() for values in self.accuracies.values()]
        axes.errorbar(list(self.accuracies), means, spreads, color="tab:orange", label="mean and std over folds")
        axes.axvline(self.k, color="grey", linestyle=":", label=f"best: k = {self.k}")
        axes.set_title("Choice of k by cross-validation")
        axes.legend()
        return save(figure, path)


def choose_k(
    X: ArrayLike,
    y: ArrayLike,
    ks: Sequence[int] = (1, 3, 5, 8, 10, 12, 15, 20, 50, 100),
    folds: int = 5,
    metric: str = "l2",
    seed: int = 0,
) -> ChoiceOfK:
    """The k with the best accuracy in cross-validation.

    The examples are shuffled and split into `folds` parts; each is predicted from the others, with every k at the price
    of the largest.

    Raises
    ------
    ValueError, TypeError
        A k larger than the training part of a fold, more folds than examples, data that does not fit.
    """
    rows = rows_of("choose_k: X", X)
    labels = labels_of("choose_k: y", rows, y)
    folds = integer(folds, "choose_k: folds", 2)
    counts = sorted({integer(k, "choose_k: ks") for k in several(ks, "choose_k: ks")})
    if not counts:
        raise ValueError("choose_k: ks is empty; give the numbers of neighbours to try, such as (1, 3, 5)")
    if folds > len(rows):
        raise ValueError(f"choose_k: {folds} folds need as many examples, X has {len(rows)}")
    least = len(rows) - -(-len(rows) // folds)
    if counts[-1] > least:
        raise ValueError(f"choose_k: k={counts[-1]} is more than the {least} examples that are left beside a fold")
    classes, numbers = np.unique(labels, return_inverse=True)
    order = np.random.default_rng(integer(seed, "choose_k: seed", 0, 63)).permutation(len(rows))
    accuracies: dict[int, list[float]] = {k: [] for k in counts}
    for fold in np.array_split(order, folds):
        others = np.setdiff1d(order, fold)
        model = KNearestNeighbors(counts[-1], metric).fit(rows[others], numbers[others])
        _, positions = model.neighbors(rows[fold])
        nearest = numbers[others][positions]
        for k in counts:
            votes = _votes(nearest[:, :k], len(classes))
            accuracies[k].append(float((votes.argmax(axis=1) == numbers[fold]).mean()))
    arrays = {k: np.array(values) for k, values in accuracies.items()}
    return ChoiceOfK(max(counts, key=lambda k: (arrays[k].mean(), -k)), arrays)
