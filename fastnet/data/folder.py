"""A folder of images, with one sub-folder per class."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np

from fastnet.data.dataset import Dataset
from fastnet.data.holdout import hold_out
from fastnet.types import Array

__all__ = ["image_folder"]

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}


def image_folder(
    path: str | os.PathLike[str],
    size: int | tuple[int, int] | None = None,
    gray: bool = False,
    test: float | int = 0.2,
    seed: int = 0,
) -> Dataset:
    """Images from ``path/class/*.png`` (or jpg, bmp, gif, tiff, webp, ppm), or from ``path/train`` and ``path/test``.

    Classes are the sub-folders in alphabetical order.  Other files and hidden files are ignored.

    Parameters
    ----------
    path : path
    size : int or (height, width), optional
        Every image is scaled to cover this size, and its centre is cropped.  None: all images must be of one size.
    gray : bool
        One channel instead of RGB.
    test : float in (0, 1) or int
        The fraction, or the number, of images drawn as the test set if there is no ``path/test``.
    seed : int
        For that draw.

    Returns
    -------
    Dataset
        Images (N, 3, H, W), or (N, 1, H, W) with `gray`, uint8.

    Raises
    ------
    ImportError
        Pillow is not installed.
    FileNotFoundError, ValueError
        No classes, no images, an unreadable image, or images of several sizes.
    """
    try:
        from PIL import Image  # noqa: F401
    except ImportError as error:
        raise ImportError('image folders need Pillow: pip install "fastnet-cnn[images]"') from error
    path = Path(path)
    if not path.is_dir():
        raise FileNotFoundError(f"image_folder: {path} is not a folder; expected {path}/<class>/<image>.png and so on")
    height_width: tuple[int, int] | None = None
    if size is not None:
        sizes = (size, size) if isinstance(size, int) else tuple(size)
        if len(sizes) != 2 or min(sizes) < 1:
            raise ValueError(f"image_folder: size must be an int or (height, width), both >= 1, got {sizes}")
        height_width = sizes
    split = (path / "train").is_dir() and (path / "test").is_dir()
    train = path / "train" if split else path
    classes = [entry.name for entry in _visible(train) if entry.is_dir()]
    if len(classes) < 2:
        raise ValueError(
            f"image_folder: {train} must hold a sub-folder for each of at least 2 classes, found {classes}"
        )
    X, y = _read(train, classes, height_width, gray)
    if split:
        X_test, y_test = _read(path / "test", classes, height_width or (X.shape[2], X.shape[3]), gray, size is not None)
    else:
        X, y, X_test, y_test = hold_out(X, y, test, seed)
    return Dataset(X, y, X_test, y_test, tuple(classes), path.name)


def _visible(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _read(
    folder: Path, classes: list[str], size: tuple[int, int] | None, gray: bool, resize: bool = True
) -> tuple[Array, Array]:
    """All images of a folder of classes: uint8 (N, C, H, W), and their labels."""
    files, labels = [], []
    for number, name in enumerate(classes):
        if not (folder / name).is_dir():
            raise ValueError(f"image_folder: {folder} has no sub-folder for class {name!r}")
        found = [file for file in _visible(folder / name) if file.suffix.lower() in _SUFFIXES and file.is_file()]
        if not found:
            raise ValueError(f"image_folder: {folder / name} holds no images ({', '.join(sorted(_SUFFIXES))})")
        files += found
        labels += [number] * len(found)
    if size is not None:
        _check_memory(len(files), size, 1 if gray else 3)
    first = _open(files[0], size if resize else None, gray)
    X = np.empty((len(files), first.shape[2], *(size or first.shape[:2])), np.uint8)
    for i, file in enumerate(files):
        image = _open(file, size if resize else None, gray)
        if image.shape[:2] != X.shape[2:]:
            raise ValueError(
                f"image_folder: {file} has {image.shape[0]}x{image.shape[1]} pixels, others {X.shape[2]}x{X.shape[3]}; "
                "give size=(height, width)"
            )
        X[i] = image.transpose(2, 0, 1)
    return X, np.asarray(labels)


def _check_memory(count: int, size: tuple[int, int], channels: int) -> None:
    """Refuse images that would not fit into memory, before the system kills the process."""
    needed = count * channels * size[0] * size[1]
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        memory = 2**40
    if needed > memory // 2:
        raise ValueError(
            f"image_folder: {count} images of {size[0]}x{size[1]} take {needed / 2**30:.1f} GiB, more than half "
            f"of this machine's {memory / 2**30:.1f} GiB; give a smaller size"
        )


def _open(file: Path, size: tuple[int, int] | None, gray: bool) -> np.ndarray:
    """One image as uint8 (H, W, C)."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as opened:
                if opened.mode.startswith(("I", "F")):
                    raise ValueError(f"its mode is {opened.mode}, only 8 bits a channel are accepted")
                image = ImageOps.exif_transpose(opened).convert("L" if gray else "RGB")
        if size is not None:
            image = ImageOps.fit(image, (size[1], size[0]), Image.Resampling.BILINEAR)
        array: Array = np.asarray(image)
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise ValueError(f"image_folder: cannot read {file}: {error}") from error
    return array[:, :, None] if gray else array
