"""Dataset: training and test images with their labels; holding out a validation part."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from fastnet.types import Array, ArrayLike

__all__ = ["Dataset", "check_labels", "hold_out"]


def check_labels(where: str, X: Array, y: ArrayLike) -> np.ndarray:
    """`y` as an int64 array (N,) of class numbers >= 0, one for each of the N images of X.

    Raises
    ------
    ValueError, TypeError
        Another shape or length, negative numbers, or numbers that are not integers.
    """
    y = np.asarray(y)
    if y.ndim != 1:
        hint = "; use y.argmax(axis=1) for one-hot rows" if y.ndim == 2 and y.shape[1] > 1 else "; use y.ravel()"
        raise ValueError(f"{where}: labels must be class numbers of shape (N,), got shape {y.shape}{hint}")
    if y.dtype.kind not in "iu":
        raise TypeError(f"{where}: labels must be integers (class numbers), got {y.dtype}; cast with .astype(int)")
    if len(y) != len(X):
        raise ValueError(f"{where}: {len(X)} images but {len(y)} labels")
    if len(y) and y.min() < 0:
        raise ValueError(f"{where}: labels must be >= 0, got {y.min()}")
    return y.astype(np.int64)


def hold_out(X: Array, y: Array, part: float | int, seed: int = 0) -> tuple[Array, Array, Array, Array]:
    """Draw a random part of (X, y), stratified by class: (X_rest, y_rest, X_part, y_part), all copies.

    Parameters
    ----------
    X : array (N, ...)
    y : int array (N,)
    part : float in (0, 1), a fraction, or int in 1..N-1, a number of samples
    seed : int
    """
    N = len(y)
    count = round(part * N) if isinstance(part, float) and 0 < part < 1 else part
    if not (isinstance(count, (int, np.integer)) and 1 <= count < N):
        raise ValueError(f"the part held out must be a fraction in (0, 1) or a number in 1..{N - 1}, got {part!r}")
    shuffled = np.random.default_rng(seed).permutation(N)
    by_class = shuffled[np.argsort(y[shuffled], kind="stable")]
    held = np.zeros(N, bool)
    held[by_class[((np.arange(count) + 0.5) * N / count).astype(np.int64)]] = True
    return X[~held], y[~held], X[held], y[held]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and labels.

    Attributes
    ----------
    X_train, X_test : array (N, C, H, W), uint8 in 0..255 or float32
    y_train, y_test : int64 array (N,)
        Class numbers in 0..len(classes)-1.
    classes : tuple of str
        The classes' names.
    name : str
    X_val, y_val : arrays or None
        What `split` held out of the training data.

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
        shape = self.X_train.shape[1:]
        for part in ("train", "test", "val"):
            X, y = getattr(self, f"X_{part}"), getattr(self, f"y_{part}")
            if part == "val" and X is None and y is None:
                continue
            if X.ndim != 4 or X.shape[1:] != shape:
                raise ValueError(
                    f"{self.name}: {part} images must have shape (N, C, H, W), all the same C, H, W; got {X.shape}"
                )
            y = check_labels(f"{self.name}, {part}", X, y)
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
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        C, H, W = self.X_train.shape[1:]
        return C, H, W

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
        X_train, y_train, X_val, y_val = hold_out(self.X_train, self.y_train, validation, seed)
        return dataclasses.replace(self, X_train=X_train, y_train=y_train, X_val=X_val, y_val=y_val)
