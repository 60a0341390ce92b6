"""A folder of images, with one sub-folder per class."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, SupportsIndex

import numpy as np

from fastnet.arguments import flag, optional_flag, pair
from fastnet.data.dataset import Dataset, assemble
from fastnet.data.pictures import check_pillow, read_pictures
from fastnet.data.tree import Tree

__all__ = ["image_folder"]


def image_folder(
    path: str | os.PathLike[str],
    size: SupportsIndex | Sequence[SupportsIndex] | None = None,
    gray: bool | None = None,
    test: float | int | Literal["all"] = 0.2,
    seed: int = 0,
    classes: Sequence[str] | None = None,
    skip_bad: bool = False,
) -> Dataset:
    """Images from ``path/class/*.png`` (or jpg, gif, tiff, webp ...), or from ``path/train``, ``val`` and ``test``.

    Images in sub-folders of a class belong to it.  Hidden files are ignored; whatever else is left out, or taken from
    an unusual place, is counted in a warning.

    Parameters
    ----------
    path : path
        Holds a folder for each class, or train/ with such folders, and beside it perhaps val/ (or valid/,
        validation/) and test/.
    size : int or (height, width), optional
        Every image is scaled to cover this size, and its centre is cropped.  None: all images must be of one size.
    gray : bool, optional
        True: one channel.  False: RGB, greyscale images as three equal channels.  None: RGB, and an error if all
        images are greyscale.
    test : float in (0, 1), int, or "all"
        If there is no ``path/test``: the fraction, or the number, of images drawn as the test set; 0 draws none; "all"
        makes all images the test set, to evaluate a model on them.
    seed : int
        For that draw.
    classes : sequence of str, optional
        Which sub-folders are classes, in the order of their numbers; all, in alphabetical order, by default.
    skip_bad : bool
        Leave out images that cannot be read, and warn of them, instead of raising an error that names them all.

    Returns
    -------
    Dataset
        Images (N, 3, H, W), or (N, 1, H, W) with `gray`, uint8.

    Raises
    ------
    ImportError
        Pillow is not installed.
    FileNotFoundError, ValueError
        No classes, no images, unreadable images, images of several sizes, or a folder that can be read in two ways.

    Warns
    -----
    UserWarning
        What is left out, and classes without a training, validation or test image.
    """
    check_pillow()
    path = Path(path)
    gray, skip_bad = optional_flag(gray, "image_folder: gray"), flag(skip_bad, "image_folder: skip_bad")
    if not path.is_dir():
        raise FileNotFoundError(f"image_folder: {path} is not a folder; expected {path}/<class>/<image>.png and so on")
    if isinstance(classes, str):
        raise TypeError(f"image_folder: classes must be a sequence of names, got {classes!r}")
    try:
        tree = Tree.read(path, classes, training=test != "all")
    except ValueError as error:
        raise ValueError(f"image_folder: {error}") from error
    for remark in tree.remarks():
        warnings.warn(f"{path}: {remark}", stacklevel=2)
    files = [(part, number, file) for part, listed in tree.files.items() for number, file in listed]
    X, used = read_pictures([file for *_, file in files], _size(size), gray, skip_bad, "image_folder")
    read = [entry for entry, kept in zip(files, used, strict=True) if kept]
    if not read:
        raise ValueError(f"image_folder: {path} holds no images that can be read")
    y, parts, start = np.array([number for _, number, _ in read]), {}, 0
    for part in tree.files:
        end = start + sum(entry[0] == part for entry in read)
        if end > start:
            parts[part] = X[start:end], y[start:end]
        start = end
    return assemble(path.resolve().name, tree.classes, parts, test, seed)


def _size(size: SupportsIndex | Sequence[SupportsIndex] | None) -> tuple[int, int] | None:
    """(height, width)."""
    if size is None:
        return None
    try:
        return pair(size.tolist() if isinstance(size, np.ndarray) else size, "size")
    except (TypeError, ValueError):
        raise ValueError(f"image_folder: size must be an int or (height, width), both >= 1, got {size!r}") from None
