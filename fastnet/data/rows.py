"""Rows: images on disk, or some of them, that are read when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastnet.arrays import on_host
from fastnet.bars import counted
from fastnet.data.images import Images
from fastnet.types import Array

__all__ = ["Rows", "as_rows", "chunks", "differ", "extremes", "joined", "not_finite", "require_memory", "select"]

_ROWS, _BYTES = 1024, 1 << 22  # of a chunk, at most
_IMAGES = 32  # of different sizes that are read at a time


class Rows:
    """Some rows of an array that stays where it is: on disk, so that it may be larger than memory.

    Indexing reads: ``rows[3]`` is an array (...), and ``rows[10:20]``, ``rows[[5, 2]]`` and ``rows[mask]`` are arrays
    (n, ...).  ``rows.select(...)`` reads nothing.  A Dataset, a Loader, `Standardize.fit` and a model's `predict` and
    `evaluate` read a batch at a time; NumPy's functions read all rows.

    Parameters
    ----------
    base : array (N, ...), or list of uint8 arrays (C, H, W)
        Such as a np.memmap; only its shape, its dtype, and what indexing with integers gives are used.  Images in a
        list may differ in size: the shape of their rows is (N, C, None, None), and a list takes the place of an array
        (n, C, H, W).
    index : int array (n,), optional
        Which rows, in this order; all by default.

    Examples
    --------
    >>> rows = fn.data.Rows(np.load("images.npy", mmap_mode="r"))
    >>> X_rest, y_rest, X_val, y_val = fn.data.hold_out(rows, y, 0.1)  # copies no image
    """

    def __init__(self, base: Any, index: Array | None = None) -> None:
        self.base = base = Images(base) if isinstance(base, (list, tuple)) else base
        self.index = np.arange(len(base)) if index is None else np.asarray(index, np.int64)
        self.shape: tuple[int, ...] = (len(self.index), *base.shape[1:])
        self.dtype: np.dtype[Any] = base.dtype
        self.ndim: int = base.ndim

    def __len__(self) -> int:
        return len(self.index)

    def __repr__(self) -> str:
        return f"Rows({self.shape}, {self.dtype}, of {len(self.base)})"

    @property
    def size(self) -> int:
        """The number of elements; a ValueError for images of different sizes."""
        if differ(self):
            raise ValueError(f"{self!r} are images of different sizes, which are no array; OneSize(size).windows(X) is")
        return len(self) * int(np.prod(self.shape[1:]))

    @property
    def nbytes(self) -> int:
        """The memory that all rows would take."""
        return self.size * self.dtype.itemsize

    def __getitem__(self, key: Any) -> Any:
        """An array of the rows that `key` names: an integer, a slice, integers or a mask; further axes may follow."""
        rows, rest = (key[0], key[1:]) if isinstance(key, tuple) else (key, ())
        found: Any = self.base[self.index[rows]]
        if isinstance(found, list):
            return [image[rest] for image in found] if rest else found
        found = np.asarray(found)
        array: Array = found[(slice(None),) * np.ndim(self.index[rows]) + rest] if rest else found
        return array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("Rows: an array of all rows is always a copy")
        require_memory(self.nbytes, f"{self!r} as one array", "use them batch by batch: rows[start:end]")
        array: np.ndarray = self[:]
        return array.astype(dtype or self.dtype, copy=False)

    def select(self, which: Any) -> Rows:
        """Some of these rows, by a slice, a mask (n,) or integers; nothing is read."""
        return Rows(self.base, self.index[which])


def differ(X: Any) -> bool:
    """Whether X is Rows of images of different sizes."""
    return None in X.shape


def as_rows(given: Any, name: str) -> Array:
    """`given` if it is Rows, Rows of a list of images of different sizes, else :func:`fastnet.arrays.on_host`."""
    if isinstance(given, (list, tuple)):
        shapes = {tuple(getattr(each, "shape", ())) for each in given}
        if len(shapes) > 1 and {len(shape) for shape in shapes} == {3}:
            given = Rows(given)
    array: Array = given if isinstance(given, Rows) else on_host(given, name)  # type: ignore[assignment]
    return array


def select(X: Array, which: Any) -> Array:
    """``X[which]``, for a slice, a mask or integers; of Rows, Rows."""
    rows: Any = X
    found: Array = rows.select(which) if isinstance(X, Rows) else X[which]
    return found


def joined(parts: Sequence[Any]) -> Array:
    """All rows of several arrays, or of Rows of one base, one after the other."""
    if isinstance(parts[0], Rows):
        whole: Any = Rows(parts[0].base, np.concatenate([part.index for part in parts]))
    else:
        whole = np.concatenate(parts) if len(parts) > 1 else parts[0]
    array: Array = whole
    return array


def chunks(X: Array) -> Iterator[Array]:
    """The rows of X as arrays, a few megabytes at a time; of Rows with a bar, since they may take long to read.

    Images of different sizes come one by one, (1, C, H, W).
    """
    if differ(X):
        lists: Any = (X[start : start + _IMAGES] for start in range(0, len(X), _IMAGES))
        return counted((image[None] for images in lists for image in images), len(X), "reading images", "image")
    row = max(1, int(np.prod(X.shape[1:])) * X.dtype.itemsize)
    step = max(1, min(_ROWS, _BYTES // row))
    parts = (X[start : start + step] for start in range(0, len(X), step))
    return counted(parts, -(-len(X) // step), "reading images", "part") if isinstance(X, Rows) else parts


def extremes(X: Array, axes: tuple[int, ...] | None = None) -> tuple[Array, Array]:
    """The smallest and the largest elements over `axes`, of which 0 is one; over all by default."""
    pairs = [(chunk.min(axis=axes), chunk.max(axis=axes)) for chunk in chunks(X)]
    least, most = zip(*pairs, strict=True)
    return np.min(least, axis=0), np.max(most, axis=0)


def not_finite(X: Array) -> int:
    """How many rows hold NaN or infinite values."""
    return sum(int((~np.isfinite(chunk)).reshape(len(chunk), -1).any(axis=1).sum()) for chunk in chunks(X))


def require_memory(needed: int, what: str, advice: str) -> None:
    """Raise a ValueError if `needed` bytes are more than half of this machine's, before the system kills the process.

    `what` begins the message, and `advice` ends it.
    """
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        memory = 2**40
    if needed > memory // 2:
        raise ValueError(
            f"{what} take {needed / 2**30:.1f} GiB, more than half of this machine's {memory / 2**30:.1f} GiB; {advice}"
        )
