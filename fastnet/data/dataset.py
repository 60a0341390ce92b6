"""Dataset: training, validation and test images with their labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fastnet.arguments import integer
from fastnet.arrays import on_host
from fastnet.data.axes import warn_of_channels_last
from fastnet.data.classes import match_names
from fastnet.data.holdout import choose, warn_of_absent
from fastnet.data.rows import as_rows, joined, select
from fastnet.types import Array, ArrayLike

__all__ = ["Dataset", "as_labels", "assemble", "check_labels", "class_numbers"]


def as_labels(where: str, y: ArrayLike) -> np.ndarray:
    """`y` as an array; text too, for which the errors have advice."""
    text = isinstance(y, (list, tuple)) and any(isinstance(name, str) for name in y)
    return np.asarray(y) if text or isinstance(y, np.ndarray) else on_host(y, f"{where}: y")


def check_labels(where: str, X: Array, y: ArrayLike) -> np.ndarray:
    """`y` as an int64 array (N,) of class numbers >= 0, one for each of the N images of X.

    Raises
    ------
    ValueError, TypeError
        Another shape or length, negative numbers, or numbers that are not integers.
    """
    y = as_labels(where, y)
    if y.ndim != 1:
        hint = "; use y.argmax(axis=1) for one-hot rows" if y.ndim == 2 and y.shape[1] > 1 else "; use y.ravel()"
        raise ValueError(f"{where}: labels must be class numbers of shape (N,), got shape {y.shape}{hint}")
    if y.dtype.kind not in "iu":
        raise TypeError(f"{where}: labels must be integers (class numbers), got {y.dtype}{_hint(y)}")
    if len(y) != len(X):
        raise ValueError(f"{where}: {len(X)} images but {len(y)} labels")
    if len(y) and y.min() < 0:
        raise ValueError(f"{where}: labels must be >= 0, got {y.min()}")
    return y.astype(np.int64)


def _hint(y: Array) -> str:
    """How to make class numbers of labels of another dtype, if they are that."""
    if y.dtype.kind in "OSU":
        return "; names, y = np.unique(y, return_inverse=True) numbers names"
    if y.dtype.kind == "f" and not (y == np.floor(y)).all():
        return f" such as {y[y != np.floor(y)][0]:g}, which are not class numbers"
    return "; cast with .astype(int)"


def class_numbers(where: str, X: Array, y: ArrayLike) -> np.ndarray:
    """`y` as `check_labels` returns it, from class numbers (N,) or (N, 1), bool too, or from one-hot rows (N, K)."""
    given = as_labels(where, y)
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    elif given.ndim == 2 and given.shape[1] > 1 and given.dtype.kind in "buif":
        ones = given == 1
        wrong = int(((ones.sum(axis=1) != 1) | ~(ones | (given == 0)).all(axis=1)).sum())
        if wrong:
            raise ValueError(
                f"{where}: labels of shape {given.shape} must be one-hot, a single 1 and zeros in each row; {wrong} of "
                f"{len(given)} rows are not, and a Dataset has one class for each image"
            )
        given = ones.argmax(axis=1)
    return check_labels(where, X, given.astype(np.int64) if given.dtype.kind == "b" else given)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and labels.

    Attributes
    ----------
    X_train, X_test : array (N, C, H, W), uint8 in 0..255 or float32, or Rows
    y_train, y_test : int64 array (N,)
        Class numbers in 0..len(classes)-1.  Also accepted: (N, 1), bool, and one-hot rows (N, len(classes)).
    classes : tuple of str
        The classes' names.
    name : str
    X_val, y_val : arrays or None
        Validation images: those of the source, or what `split` held out of the training data.

    Raises
    ------
    ValueError, TypeError
        Arrays whose shapes or labels do not match.
    """

    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    classes: tuple[str, ...]
    name: str = "dataset"
    X_val: np.ndarray | None = None
    y_val: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("X_train", "X_test", "X_val"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, as_rows(getattr(self, name), f"{self.name}: {name}"))
        shape = self.X_train.shape[1:]
        warn_of_channels_last(self.name, self.X_train.shape)
        for part in ("train", "test", "val"):
            X, y = getattr(self, f"X_{part}"), getattr(self, f"y_{part}")
            if part == "val" and X is None and y is None:
                continue
            if X.ndim != 4 or X.shape[1:] != shape:
                raise ValueError(
                    f"{self.name}: {part} images must have shape (N, C, H, W), all the same C, H, W; got {X.shape}"
                )
            y = class_numbers(f"{self.name}, {part}", X, y)
            if len(y) and y.max() >= len(self.classes):
                raise ValueError(
                    f"{self.name}: {part} labels reach {y.max()}, but there are {len(self.classes)} classes"
                )
            object.__setattr__(self, f"y_{part}", y)
        object.__setattr__(self, "classes", tuple(self.classes))

    def __repr__(self) -> str:
        sizes = {"train": self.X_train, "val": self.X_val, "test": self.X_test}
        counts = ", ".join(f"{len(X)} {part}" for part, X in sizes.items() if X is not None)
        images = f"images {self.image_shape} {self.X_train.dtype}"
        return f"Dataset({self.name!r}: {counts}; {images}; {len(self.classes)} classes)"

    @property
    def image_shape(self) -> tuple[int, Any, Any]:
        """(C, H, W); H and W are None for images of different sizes."""
        C, H, W = self.X_train.shape[1:]
        return C, H, W

    def with_classes(self, names: Sequence[str]) -> Dataset:
        """The same images, with classes numbered as in `names`, such as a model's ``class_names``.

        Parameters
        ----------
        names : sequence of str
            All of `classes`, in any order, and perhaps others.

        Raises
        ------
        ValueError
            Classes that are not in `names`; the message lists them.
        """
        numbers = match_names(self.classes, names)
        labels = {f"y_{part}": getattr(self, f"y_{part}") for part in ("train", "test", "val")}
        renumbered = {name: numbers[y] for name, y in labels.items() if y is not None}
        return dataclasses.replace(self, classes=tuple(names), **renumbered)

    def split(self, validation: float | int = 0.1, seed: int = 0) -> Dataset:
        """A new Dataset with a part of the training data held out as X_val, y_val, stratified by class.

        Parameters
        ----------
        validation : float in (0, 1) or int
            The fraction, or the number, of training images.
        seed : int
            The same seed draws the same images.
        """
        if self.X_val is not None:
            raise ValueError(f"{self.name}: already has a validation part of {len(self.X_val)} images")
        held = _draw(self.name, self.classes, self.y_train, "validation", validation, seed)
        X, y = self.X_train, self.y_train
        rest, part = select(X, ~held), select(X, held)
        return dataclasses.replace(self, X_train=rest, y_train=y[~held], X_val=part, y_val=y[held])


Parts = Mapping[str, tuple[Array, Array]]
"""(X, y) of "train", "val" and "test", or of some of them."""


def assemble(
    name: str, classes: Sequence[str], parts: Parts, test: float | int | Literal["all"] = 0.2, seed: int = 0
) -> Dataset:
    """The Dataset of a source's parts; without a test part, draw one from the training part.

    Parameters
    ----------
    name : str
    classes : sequence of str
    parts : dict of (X, y)
        "train", "val", "test", or some of them; at least one.
    test : float in (0, 1), int, or "all"
        If there is no test part: the fraction or number of training images that are drawn as one; 0 draws none;
        "all" makes everything the test part, to evaluate a model on it.
    seed : int
        For that draw.
    """
    if isinstance(test, str) and test != "all":
        raise ValueError(f"{name}: test must be a fraction, a number of images or 'all', got {test!r}")
    parts = dict(parts)
    X, y = next(iter(parts.values()))
    nothing = select(X, slice(0)), y[:0]
    for part, (X, y) in parts.items() if test != "all" else ():
        warn_of_absent(name, part, classes, np.arange(len(classes)), class_numbers(f"{name}, {part}", X, y))
    if "test" not in parts and isinstance(test, str):
        images, labels = (joined(arrays) for arrays in zip(*parts.values(), strict=True))
        parts = {"test": (images, labels)}
    elif not isinstance(test, str) and test != 0 and "test" not in parts and "train" in parts:
        X, y = parts["train"]
        y = class_numbers(f"{name}, train", X, y)
        held = _draw(name, classes, y, "test", test, seed)
        parts |= {"train": (select(X, ~held), y[~held]), "test": (select(X, held), y[held])}
    train, check = parts.get("train", nothing), parts.get("test", nothing)
    return Dataset(*train, *check, tuple(classes), name, *parts.get("val", (None, None)))


def _draw(name: str, classes: Sequence[str], y: Array, argument: str, part: float | int, seed: int) -> np.ndarray:
    """The mask of a part to hold out; warns of classes that it leaves without an image."""
    seed = integer(seed, f"{name}: seed", 0, 64)
    try:
        held = choose(y, part, seed, argument)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    warn_of_absent(name, "train", classes, y, y[~held])
    warn_of_absent(name, argument, classes, y, y[held])
    return held
