"""The k nearest of many rows, exactly and in bounded memory: blocks of distances, candidates, and a proof for each row.

A block of distances is one matrix product, ``|t|**2 - 2 q.t`` (|q|**2 is the same for all), or one call of the kernel
for city-block distances, in float32 where the data fits; on a GPU it stays there.  Each query keeps a few candidates
more than k.  Their distances are computed again in float64, from the differences, and an error bound of the
first pass shows whether any other row could be nearer than the k-th; queries for which it cannot tell are searched
again in float64.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastnet.arrays import on_host
from fastnet.backends import current
from fastnet.classical.base import compute_dtype, in_chunks, sum_of_rows
from fastnet.types import Array

__all__ = ["METRICS", "Neighbors"]

_SPARE = 4  # candidates beyond k
_FLOAT64 = np.dtype(np.float64)


class _Metric(ABC):
    """How distances are computed, and what is known of the first pass's errors.

    In error bounds, u is the unit roundoff of the dtype: a sum of n products has an error of at most n u times the sum
    of their magnitudes (Higham 2002, "Accuracy and stability of numerical algorithms").
    """

    @abstractmethod
    def __init__(self, train: Array, whole: bool) -> None: ...

    def enter(self, rows: Array, dtype: Any) -> Array:
        """Rows as the first pass takes them."""
        return np.ascontiguousarray(rows, dtype)

    @abstractmethod
    def block(self, queries: Array, rows: Array, first: int) -> Any:
        """What orders the rows for each query, (Q, N), from entered rows; `first` is the position of rows[0]."""

    @abstractmethod
    def exact(self, queries: Array, rows: Array) -> Array:
        """The distance of query i to row i, on the scale of the first pass, in float64."""

    @abstractmethod
    def least(self, queries: Array, farthest: Array, u: float) -> Array:
        """A lower bound of the distance to any row but the candidates, of which the last has the value `farthest`."""

    @abstractmethod
    def is_exact(self, queries: Array, u: float) -> bool:
        """Whether all sums of integers stay below the first integer that the dtype cannot hold."""

    @staticmethod
    def finish(distances: Array) -> Array:
        """Distances from the values of `exact`."""
        return distances


class _L2(_Metric):
    """Euclidean distances; the first pass has their squares, without the query's own.

    Rows are centred first, since long vectors that lie close together would cost digits.  Integers are centred
    by integers, and stay exact.
    """

    def __init__(self, train: Array, whole: bool) -> None:
        center = sum_of_rows(train) / len(train)
        self.center = np.rint(center) if whole else center
        self.norms = in_chunks(lambda rows: _squares(rows - self.center), train)
        self.longest = math.sqrt(float(self.norms.max()))

    def enter(self, rows: Array, dtype: Any) -> Array:
        return np.ascontiguousarray(rows.astype(dtype) - self.center.astype(dtype))

    def block(self, queries: Array, rows: Array, first: int) -> Any:
        norms = self.norms[first : first + len(rows)].astype(rows.dtype)
        return current().linear(queries * rows.dtype.type(-2), rows, norms)[0]

    def exact(self, queries: Array, rows: Array) -> Array:
        return _squares(rows - queries)

    def least(self, queries: Array, farthest: Array, u: float) -> Array:
        norms = _squares(queries)
        error = (queries.shape[1] + 8) * u * (np.sqrt(norms) + self.longest) ** 2
        return np.asarray(farthest + norms - error)

    def is_exact(self, queries: Array, u: float) -> bool:
        return 2 * (math.sqrt(float(_squares(queries).max())) + self.longest) ** 2 < 1 / u

    @staticmethod
    def finish(distances: Array) -> Array:
        return np.sqrt(distances)


class _L1(_Metric):
    """City-block distances."""

    def __init__(self, train: Array, whole: bool) -> None:
        self.longest = float(in_chunks(lambda rows: _sizes(rows), train).max())

    def block(self, queries: Array, rows: Array, first: int) -> Any:
        return current().l1_distances(queries, rows)

    def exact(self, queries: Array, rows: Array) -> Array:
        return np.asarray(np.abs(rows - queries).sum(axis=1))

    def least(self, queries: Array, farthest: Array, u: float) -> Array:
        return np.asarray(farthest * (1 - (queries.shape[1] + 8) * u))

    def is_exact(self, queries: Array, u: float) -> bool:
        return float(_sizes(queries).max()) + self.longest < 1 / u


METRICS: dict[str, type[_Metric]] = {"l1": _L1, "l2": _L2}


def _squares(rows: Array) -> Array:
    rows = np.asarray(rows, np.float64)
    return np.asarray(np.einsum("ij,ij->i", rows, rows))


def _sizes(rows: Array) -> Array:
    return np.asarray(np.abs(rows.astype(np.float64)).sum(axis=1))


def is_whole(rows: Array) -> bool:
    """Whether all numbers are integers."""
    return rows.dtype.kind in "iub" or bool(
        in_chunks(lambda some: np.asarray((some == np.rint(some)).all(axis=1)), rows).all()
    )


class Neighbors:
    """Searches the rows of `train`.

    Parameters
    ----------
    train : array, (N, D)
        Finite; kept as it is, and cast block by block.
    metric : "l1" or "l2"
    megabytes : float
        Of a block; a search needs about five times as much beside `train`.
    """

    def __init__(self, train: Array, metric: str, megabytes: float) -> None:
        self.train, self.whole = train, is_whole(train)
        self.metric = METRICS[metric](train, self.whole)
        number = int(megabytes * 2**20) // 8
        self._keeps = train.size <= number  # whether entered rows are few enough to be kept
        self._kept: dict[Any, Array] = {}
        self.step = max(1, min(number // train.shape[1], math.isqrt(number)))

    def search(self, queries: Array, k: int) -> tuple[Array, Array]:
        """The distances (M, k), float64 and ascending, and positions (M, k), int64, of the k nearest rows.

        Of rows at the same distance, the first in `train` comes first.
        """
        dtype = np.result_type(compute_dtype(self.train), compute_dtype(queries))
        parts = [self._pass(queries[i : i + self.step], k, dtype) for i in range(0, len(queries), self.step)]
        distances, positions, certain = (np.concatenate(part) for part in zip(*parts, strict=True))
        (again,) = np.nonzero(~certain)
        for i in range(0, len(again), self.step):
            some = again[i : i + self.step]
            distances[some], positions[some], _ = self._pass(queries[some], k, _FLOAT64)
        return self.metric.finish(distances), positions

    def _pass(self, given: Array, k: int, dtype: Any) -> tuple[Array, Array, Array]:
        """Distances and positions of the k nearest of a few queries, and for each query whether they are certain."""
        entered, queries = self.metric.enter(given, dtype), given.astype(np.float64)
        positions, farthest = self._candidates(entered, min(k + _SPARE, len(self.train)))
        exact = np.stack([self.metric.exact(queries, self.train[column]) for column in positions.T], axis=1)
        order = np.lexsort((positions, exact), axis=1)[:, :k]
        distances = np.take_along_axis(exact, order, axis=1)
        certain, u = np.ones(len(queries), bool), float(np.finfo(dtype).eps) / 2
        exactly = self.whole and is_whole(given) and self.metric.is_exact(entered, u)
        if not (exactly or dtype == _FLOAT64 or positions.shape[1] == len(self.train)):
            certain = distances[:, -1] < self.metric.least(entered, farthest, u)
        return distances, np.take_along_axis(positions, order, axis=1), certain

    def _candidates(self, queries: Array, count: int) -> tuple[Array, Array]:
        """Positions (Q, count) of the rows that the first pass finds nearest, and the last's value in that pass."""
        ops, best = current(), np.empty((len(queries), 0), queries.dtype)
        positions = np.empty((len(queries), 0), np.int64)
        for first, rows in self._blocks(queries.dtype):
            values = self.metric.block(queries, rows, first)
            index = ops.smallest(values, min(count, len(rows)))
            best = np.concatenate([best, on_host(ops.xp.take_along_axis(values, index, axis=1))], axis=1)
            positions = np.concatenate([positions, on_host(index) + first], axis=1)
            order = np.argsort(best, axis=1, kind="stable")[:, :count]  # equals stay in the order of their positions
            best, positions = np.take_along_axis(best, order, axis=1), np.take_along_axis(positions, order, axis=1)
        return positions, best[:, -1]

    def _blocks(self, dtype: Any) -> Iterator[tuple[int, Array]]:
        """The position of the first row, and the rows as the first pass takes them, block by block."""
        if self._keeps and dtype not in self._kept:
            self._kept[dtype] = self.metric.enter(self.train, dtype)
        for first in range(0, len(self.train), self.step):
            rows = slice(first, first + self.step)
            yield first, self._kept[dtype][rows] if self._keeps else self.metric.enter(self.train[rows], dtype)
