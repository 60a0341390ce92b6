"""npz archives, read without pickle and verified completely."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from fastnet.data.dataset import Dataset, check_labels
from fastnet.data.holdout import hold_out

__all__ = ["read_npz", "npz"]


def read_npz(path: str | os.PathLike[str], names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of an .npz file; no pickled objects, every checksum verified.

    Parameters
    ----------
    path : path
    names : iterable of str, optional
        Read only these.

    Raises
    ------
    ValueError
        Not an npz file, damaged, truncated, pickled, or without one of `names`.
    OSError
        The file cannot be opened.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy"): name for name in archive.namelist()}
            wanted = list(members) if names is None else list(names)
            if missing := [name for name in wanted if name not in members]:
                raise ValueError(f"it has no {missing}, only {sorted(members)[:20]}")
            arrays = {}
            for name in wanted:
                with archive.open(members[name]) as file:
                    arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
                    if file.read(1):  # reading to the end also verifies the checksum
                        raise ValueError(f"{name} is longer than it declares")
            return arrays
    except OSError as error:
        if isinstance(error, (FileNotFoundError, PermissionError, IsADirectoryError)):
            raise
        raise ValueError(f"{path}: damaged: {error}") from error
    except Exception as error:  # a damaged archive can raise nearly anything
        raise ValueError(f"{path}: not accepted as an npz file of plain arrays: {error}") from error


def npz(
    path: str | os.PathLike[str],
    test: float | int = 0.2,
    seed: int = 0,
    channels_last: bool | None = None,
    classes: Sequence[str] | None = None,
) -> Dataset:
    """Images and labels from an .npz file, read without pickle.

    Parameters
    ----------
    path : path
        Holds X_train, y_train, X_test, y_test; or only X and y, from which `test` is drawn.  Case is ignored.  Images
        are (N, C, H, W), (N, H, W, C) or (N, H, W), of any numeric dtype.
    test : float in (0, 1) or int
        With X and y only: the fraction, or the number, of images drawn as the test set.
    seed : int
        For that draw.
    channels_last : bool, optional
        Whether 4-d images are (N, H, W, C).  By default they are when the last axis is 1, 3 or 4 and axis 1 is not.
    classes : sequence of str, optional
        Names; the numbers as text by default.

    Returns
    -------
    Dataset
        uint8 stays uint8, everything else becomes float32.

    Raises
    ------
    ValueError, FileNotFoundError
        A damaged file, missing arrays, or arrays whose shapes do not match.
    """
    arrays = {name.lower(): array for name, array in read_npz(path).items()}
    if {"x_train", "y_train", "x_test", "y_test"} <= set(arrays):
        X_train, y_train, X_test, y_test = (arrays[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    elif {"x", "y"} <= set(arrays):
        y = check_labels(str(path), arrays["x"], arrays["y"])
        X_train, y_train, X_test, y_test = hold_out(arrays["x"], y, test, seed)
    else:
        raise ValueError(f"{path}: expected X_train, y_train, X_test, y_test, or X and y; it has {sorted(arrays)}")
    count = 1 + max(int(y.max()) for y in (y_train, y_test) if y.size) if y_train.size or y_test.size else 0
    samples = y_train.size + y_test.size
    if classes is None and count > max(samples, 1):
        raise ValueError(
            f"{path}: labels reach {count - 1}, but there are only {samples} images; "
            "renumber them from 0: np.unique(y, return_inverse=True)[1]"
        )
    return Dataset(
        _images(path, X_train, channels_last),
        y_train,
        _images(path, X_test, channels_last),
        y_test,
        tuple(classes) if classes is not None else tuple(str(i) for i in range(count)),
        Path(path).stem,
    )


def _images(path: str | os.PathLike[str], X: np.ndarray, channels_last: bool | None) -> np.ndarray:
    """X as (N, C, H, W), uint8 or float32."""
    if X.dtype.kind not in "buif":
        raise ValueError(f"{path}: images must be numbers, got {X.dtype}")
    if X.ndim == 3:
        X = X[:, None]
    elif X.ndim == 4:
        guess = X.shape[3] in (1, 3, 4) and X.shape[1] not in (1, 3, 4)
        if guess if channels_last is None else channels_last:
            X = X.transpose(0, 3, 1, 2)
    else:
        raise ValueError(f"{path}: images must be (N, C, H, W), (N, H, W, C) or (N, H, W), got {X.shape}")
    return X if X.dtype == np.uint8 else X.astype(np.float32)
