"""Holding out a random part of labelled images, stratified by class."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Sequence

import numpy as np

from fastnet.arrays import on_host
from fastnet.data.rows import as_rows, select
from fastnet.types import Array, ArrayLike
from fastnet.wording import name_some

__all__ = ["hold_out", "choose", "warn_of_absent"]

_WORD = {"train": "training", "val": "validation"}


def hold_out(X: ArrayLike, y: ArrayLike, part: float | int, seed: int = 0) -> tuple[Array, Array, Array, Array]:
    """Draw a random part of (X, y), stratified by class: (X_rest, y_rest, X_part, y_part), all copies; of Rows, Rows.

    The only image of a class is never held out, unless there are too few images for each class to keep one.

    Parameters
    ----------
    X : array (N, ...), or Rows
    y : int array (N,)
    part : float in (0, 1), a fraction, or int in 1..N-1, a number of samples
    seed : int
        The same seed draws the same samples.

    Raises
    ------
    ValueError
        X and y that do not fit, another `part`, or a fraction of which nothing, or everything, would be held out.
    """
    X, y = as_rows(X, "hold_out: X"), on_host(y, "hold_out: y")
    if y.ndim != 1 or X.shape[:1] != y.shape:
        raise ValueError(f"hold_out: X must be (N, ...) and y (N,), got {X.shape} and {y.shape}")
    held = choose(y, part, seed)
    return select(X, ~held), y[~held], select(X, held), y[held]


def choose(y: Array, part: float | int, seed: int, argument: str = "part") -> np.ndarray:
    """The bool mask (N,) of what `hold_out` holds out; errors call `part` by the name of the caller's argument."""
    N, count = len(y), _count(len(y), part, argument)
    shuffled = np.random.default_rng(seed).permutation(N)
    by_class = shuffled[np.argsort(y[shuffled], kind="stable")]
    held = np.zeros(N, bool)
    held[by_class[((np.arange(count) + 0.5) * N / count).astype(np.int64)]] = True
    _, index, sizes = np.unique(y, return_inverse=True, return_counts=True)
    left = sizes - np.bincount(index[held], minlength=len(sizes))
    for number in np.flatnonzero(left == 0):
        donor = left.argmax()
        if left[donor] < 2:
            break
        held[np.flatnonzero(index == number)[0]] = False
        held[by_class[(index[by_class] == donor) & ~held[by_class]][0]] = True
        left[number], left[donor] = 1, left[donor] - 1
    return held


def _count(N: int, part: object, argument: str) -> int:
    """How many of N samples `part` is."""
    if isinstance(part, numbers.Integral) and not isinstance(part, bool):
        if 1 <= int(part) < N:
            return int(part)
    elif isinstance(part, numbers.Real) and 0 < float(part) < 1:
        count = round(float(part) * N)
        if 1 <= count < N:
            return count
        advice = f"use {argument}={np.ceil(100 / N) / 100:g}" if count == 0 and N > 1 else "more images are needed"
        raise ValueError(f"{argument}={float(part):g} of {N} images is {count} after rounding; {advice}")
    raise ValueError(f"{argument} must be a fraction in (0, 1) or a number in 1..{N - 1}, got {part!r}")


def warn_of_absent(where: str, part: str, classes: Sequence[str], expected: Array, y: Array) -> None:
    """Warn of the classes with labels in `expected` and none in `y`, the labels of "train", "validation" and so on."""
    absent = np.setdiff1d(expected, y)
    if len(absent):
        names = name_some([classes[number] if number < len(classes) else number for number in absent])
        count = f"{len(absent)} of {len(classes)}"
        warnings.warn(
            f"{where}: the {_WORD.get(part, part)} part has no image of {count} classes: {names}", stacklevel=4
        )
