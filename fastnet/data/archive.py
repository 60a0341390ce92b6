"""Data sets in .npz archives."""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from fastnet.arguments import optional_flag
from fastnet.data.axes import channels_first
from fastnet.data.dataset import Dataset, assemble, class_numbers
from fastnet.data.keys import PARTS, slots_of
from fastnet.storage import read_npz
from fastnet.wording import name_some

__all__ = ["npz"]


def npz(
    path: str | os.PathLike[str],
    test: float | int | Literal["all"] = 0.2,
    seed: int = 0,
    channels_last: bool | None = None,
    classes: Sequence[str] | None = None,
) -> Dataset:
    """Images and labels from an .npz file, read without pickle.

    Parameters
    ----------
    path : path
        Holds X_train, y_train, X_test, y_test and perhaps X_val, y_val; or only X and y.  ``train_images`` and
        ``train_labels`` (MedMNIST's names), ``x_train`` and the like mean the same.  Images are (N, C, H, W),
        (N, H, W, C) or (N, H, W), of any numeric dtype; labels are class numbers (N,) or (N, 1), one-hot rows (N, K),
        or names (N,), which become the classes in alphabetical order.
    test : float in (0, 1), int, or "all"
        If there are no test images: the fraction, or the number, of images drawn as the test set; 0 draws none; "all"
        makes all images the test set, to evaluate a model on them.
    seed : int
        For that draw.
    channels_last : bool, optional
        Whether 4-d images are (N, H, W, C).  By default their shape tells: three channels rather than 32, square
        images, fewer channels than pixels; a shape that fits both orders is an error.
    classes : sequence of str, optional
        The classes' names, in the order of their numbers; by default the file's array ``classes`` or ``class_names``,
        else the numbers as text.

    Returns
    -------
    Dataset
        uint8 stays uint8, everything else becomes float32.

    Raises
    ------
    ValueError, FileNotFoundError
        A damaged file, missing or contradictory arrays, or arrays whose shapes do not match.

    Warns
    -----
    UserWarning
        The file's other arrays, which are not used; classes without a training or test image.
    """
    channels_last = optional_flag(channels_last, "npz: channels_last")
    slots, unused = slots_of(str(path), _keys(path))
    arrays = read_npz(path, slots.values())
    stored = slots.get(("names", ""))
    if stored is not None and arrays[stored].ndim != 1:
        unused, stored = [*unused, stored], None  # such as the number of classes
    if unused:
        warnings.warn(f"{path}: not used: {name_some(unused)}", stacklevel=2)
    if isinstance(classes, str):
        raise TypeError(f"npz: classes must be a sequence of names, got {classes!r}")
    if classes is None and stored is not None:
        classes = _texts(arrays[stored]).tolist()
    names = [str(name) for name in classes] if classes is not None else None
    if names is not None and len(set(names)) < len(names):
        raise ValueError(f"{path}: classes must differ, got {name_some(names)}")
    parts = {}
    for part in PARTS:
        if ("X", part) in slots:
            key, y = slots["X", part], _texts(arrays[slots["y", part]])
            _check_first_axis(f"{path}, {key}", arrays[key], y)
            parts[part] = channels_first(f"{path}, {key}", arrays[key], channels_last), y
    if names is None and all(y.dtype.kind == "U" for _, y in parts.values()):
        names = np.unique(np.concatenate([y.ravel() for _, y in parts.values()])).tolist()
    width = max(y.shape[1] if y.ndim == 2 else 0 for _, y in parts.values())  # of one-hot labels
    parts = {part: (_cast(X), _numbers(f"{path}, {part}", X, y, names)) for part, (X, y) in parts.items()}
    count = max(width, *(1 + int(y.max()) if y.size else 0 for _, y in parts.values()))
    samples = sum(y.size for _, y in parts.values())
    if names is None and count > max(samples, 1):
        raise ValueError(
            f"{path}: labels reach {count - 1}, but there are only {samples} images; "
            "renumber them from 0: np.unique(y, return_inverse=True)[1]"
        )
    return assemble(Path(path).stem, names if names is not None else [str(i) for i in range(count)], parts, test, seed)


def _keys(path: str | os.PathLike[str]) -> list[str]:
    """The names of the arrays; those that are not used may be of any kind, since they are not read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except OSError:
        raise
    except Exception as error:  # a damaged archive can raise nearly anything
        raise ValueError(f"{path}: not accepted as an npz file of plain arrays: {error}") from error


def _texts(array: np.ndarray) -> np.ndarray:
    return np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array


def _check_first_axis(where: str, X: np.ndarray, y: np.ndarray) -> None:
    if X.ndim and y.ndim and len(y) != len(X) and len(y) == X.shape[-1]:
        raise ValueError(f"{where}: {len(y)} images lie along the last axis of {X.shape}; save np.moveaxis(X, -1, 0)")


def _cast(X: np.ndarray) -> np.ndarray:
    return X if X.dtype == np.uint8 else X.astype(np.float32)


def _numbers(where: str, X: np.ndarray, y: np.ndarray, names: list[str] | None) -> np.ndarray:
    """Labels, which may be names, as class numbers (N,)."""
    if y.dtype.kind == "U" and names is not None:
        if unknown := sorted(set(y.ravel().tolist()) - set(names)):
            raise ValueError(f"{where}: labels {name_some(unknown)} are not among the classes {name_some(names)}")
        y = np.vectorize({name: number for number, name in enumerate(names)}.get, otypes=[np.int64])(y)
    return class_numbers(where, X, y)
