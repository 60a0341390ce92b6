"""Images in files: a folder, zip or tar file with one sub-folder per class, or a CSV file of names and classes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, SupportsIndex

import numpy as np

from fastnet.arguments import flag, optional_flag, pair
from fastnet.data.cache import read_cached
from fastnet.data.dataset import Dataset, assemble
from fastnet.data.decoding import Request, read_pictures
from fastnet.data.files import read_lazily
from fastnet.data.inside import is_archive, open_archive
from fastnet.data.listing import read_listing
from fastnet.data.pictures import check_pillow
from fastnet.data.rows import select
from fastnet.data.tree import Tree
from fastnet.types import Array
from fastnet.wording import name_some

__all__ = ["image_csv", "image_folder"]


def image_folder(
    path: str | os.PathLike[str],
    size: SupportsIndex | Sequence[SupportsIndex] | Literal["any"] | None = None,
    gray: bool | None = None,
    test: float | int | Literal["all"] = 0.2,
    seed: int = 0,
    classes: Sequence[str] | None = None,
    skip_bad: bool = False,
    cache: str | os.PathLike[str] | None = None,
    lazy: bool = False,
) -> Dataset:
    """Images from ``path/class/*.png`` (or jpg, gif, tiff, webp ...), or from ``path/train``, ``val`` and ``test``.

    Images in sub-folders of a class belong to it.  Hidden files are ignored; whatever else is left out, or taken from
    an unusual place, is counted in a warning.

    Parameters
    ----------
    path : path
        A folder, or a zip or tar file, which is read where it lies.  It holds a folder for each class, or train/ with
        such folders, and beside it perhaps val/ (or valid/, validation/) and test/.
    size : int, (height, width) or "any", optional
        Every image is scaled to cover this size, and its centre is cropped.  None: all images must be of one size.
        "any": they keep their own sizes, for an augmentation that brings them to one, such as RandomResizedCrop; a
        Solver gives validation and test images the same size, with :class:`OneSize`.
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
    cache : path, optional
        A folder for the decoded images.  They are decoded once, with a progress bar, and from then on read from there,
        batch by batch, so that there may be more than fit into memory.  When image files have changed, they are decoded
        anew.
    lazy : bool
        Decode images when a batch needs them, on the Loader's threads, again in each epoch and for a preprocessing that
        is fitted: nothing is kept in memory or on disk.  Here only the first file is opened, which must have the size
        of all others unless `size` is given; and if `gray` is None more, until one has colours, at most 100 at equal
        distances.  A file that cannot be read, or has another size, is an error when it is met, which names the file.
        Not with `cache` or `skip_bad`.

    Returns
    -------
    Dataset
        Images (N, 3, H, W), or (N, 1, H, W) with `gray`, uint8; with `cache` or `lazy`, as :class:`Rows`; with
        size="any" as Rows of shape (N, 3, None, None), of which a batch is a list of arrays (3, H, W).

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
    path = _checked("image_folder", path, gray, classes, skip_bad, cache, lazy)
    if not path.is_dir() and not is_archive(path):
        raise FileNotFoundError(
            f"image_folder: {path} is not a folder, zip or tar file; expected {path}/<class>/<image>.png and so on"
        )
    try:
        top: Any = path
        if not path.is_dir():
            top, strange = open_archive(path)
            if strange:
                warnings.warn(
                    f"{path}: left out {len(strange)} links and odd names: {name_some(strange)}", stacklevel=2
                )
        tree = Tree.read(top, classes, training=test != "all")
    except ValueError as error:
        raise ValueError(f"image_folder: {error}") from error
    for remark in tree.remarks():
        warnings.warn(f"{path}: {remark}", stacklevel=2)
    files = [(part, number, file) for part, listed in tree.files.items() for number, file in listed]
    request = Request([file for *_, file in files], _size("image_folder", size), gray, skip_bad, "image_folder")
    return _dataset(request, path, tree.classes, files, test, seed, cache, classes, lazy)


def image_csv(
    path: str | os.PathLike[str],
    root: str | os.PathLike[str] | None = None,
    size: SupportsIndex | Sequence[SupportsIndex] | Literal["any"] | None = None,
    gray: bool | None = None,
    test: float | int | Literal["all"] = 0.2,
    seed: int = 0,
    classes: Sequence[str] | None = None,
    skip_bad: bool = False,
    cache: str | os.PathLike[str] | None = None,
    lazy: bool = False,
) -> Dataset:
    """Images whose files and classes are listed in a CSV file, with commas, semicolons or tabs.

    Parameters
    ----------
    path : path
        Two columns, the file (with the suffix of an image) and the class; or a header with names such as file and
        label, and perhaps split, which says train, val or test.
    root : path, optional
        Where relative names start, a folder, zip or tar file; the CSV file's folder by default.
    size, gray, test, seed, skip_bad, cache, lazy
        As of :func:`image_folder`.
    classes : sequence of str, optional
        The classes in the order of their numbers; by default those that occur, in order.

    Returns
    -------
    Dataset
        Images (N, 3, H, W), or (N, 1, H, W) with `gray`, uint8; with `cache` or `lazy`, as :class:`Rows`; with
        size="any" as Rows of shape (N, 3, None, None), of which a batch is a list of arrays (3, H, W).

    Raises
    ------
    ImportError
        Pillow is not installed.
    FileNotFoundError, ValueError
        No such file; no such columns, a row without a class; images that do not exist or cannot be read.
    """
    path = _checked("image_csv", path, gray, classes, skip_bad, cache, lazy)
    if not path.is_file():
        raise FileNotFoundError(
            f"image_csv: {path} is not a file; expected a CSV file with an image and its class in a row"
        )
    try:
        names, files = read_listing(path, path.parent if root is None else Path(root).expanduser(), classes)
    except ValueError as error:
        raise ValueError(f"image_csv: {error}") from error
    request = Request([file for *_, file in files], _size("image_csv", size), gray, skip_bad, "image_csv")
    return _dataset(request, path, names, files, test, seed, cache, classes, lazy)


def _checked(
    where: str, path: str | os.PathLike[str], gray: Any, classes: Any, skip_bad: Any, cache: Any, lazy: Any
) -> Path:
    check_pillow()
    optional_flag(gray, f"{where}: gray")
    flag(skip_bad, f"{where}: skip_bad")
    if flag(lazy, f"{where}: lazy") and (skip_bad or cache is not None):
        other = "skip_bad=True, which opens all files first" if skip_bad else "cache=FOLDER, which decodes them first"
        raise ValueError(f"{where}: lazy=True opens files when a batch needs them, so give it without {other}")
    if isinstance(classes, str):
        raise TypeError(f"{where}: classes must be a sequence of names, got {classes!r}")
    return Path(path).expanduser()


def _dataset(
    request: Request,
    path: Path,
    names: Sequence[str],
    files: Sequence[tuple[str, int, Any]],
    test: float | int | Literal["all"],
    seed: int,
    cache: str | os.PathLike[str] | None,
    classes: Sequence[str] | None,
    lazy: bool,
) -> Dataset:
    """The images of (part, class number, file)."""
    if lazy:
        X, read = read_lazily(request), files
    else:
        X, findings = (
            read_pictures(request) if cache is None else read_cached(request, Path(cache).expanduser(), path, classes)
        )
        findings.warn(request.files, stacklevel=4)
        read = [entry for entry, used in zip(files, findings.used(len(files)), strict=True) if used]
    if not read:
        raise ValueError(f"{request.where}: {path} holds no images that can be read")
    y, part = np.array([number for _, number, _ in read]), np.array([name for name, *_ in read])
    parts = {name: _taken(X, y, part == name) for name in ("train", "val", "test") if name in part}
    return assemble(path.resolve().name, list(names), parts, test, seed)


def _taken(X: Array, y: Array, which: Array) -> tuple[Array, Array]:
    """Some of the images: a view if they lie side by side, since a copy would double the memory."""
    places = np.flatnonzero(which)
    start, end = int(places[0]), int(places[-1]) + 1
    index: Any = slice(start, end) if end - start == len(places) else places
    return select(X, index), y[index]


def _size(where: str, size: Any) -> tuple[int, int] | Literal["any"] | None:
    """(height, width)."""
    if size is None:
        return None
    if isinstance(size, str) and size == "any":
        return "any"
    try:
        return pair(size.tolist() if isinstance(size, np.ndarray) else size, "size")
    except (TypeError, ValueError):
        raise ValueError(
            f"{where}: size must be an int or (height, width), both >= 1, or 'any', got {size!r}"
        ) from None
