"""The option ``--data``: turns a short description into a Dataset."""

from __future__ import annotations

import argparse
import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from fastnet.cli.arguments import count, folder, names, size
from fastnet.cli.errors import UserError, user_mistakes

if TYPE_CHECKING:
    from fastnet.data import Dataset

__all__ = ["Source", "add_data", "add_subset", "load", "subset"]

KINDS = """data sets:
  digits         1,797 handwritten digits of 8x8 pixels, embedded in scikit-learn (the default)
  mnist:DIR      MNIST, from its four idx files in DIR, gzipped or not
  fashion:DIR    Fashion-MNIST, likewise
  cifar10:DIR    CIFAR-10, from cifar-10-batches-py or cifar-10-python.tar.gz in DIR
  cifar100:DIR   CIFAR-100, likewise
  FILE.npz       arrays X_train, y_train, X_test, y_test and perhaps X_val, y_val, or only X and y, or MedMNIST's names;
                 images are N x C x H x W, N x H x W x C or N x H x W; labels are numbers, names or one-hot rows
  FOLDER         images in FOLDER/<class>/, or in FOLDER/train/<class>/, FOLDER/val/<class>/ and FOLDER/test/<class>/
  FILE.zip       such a folder in a zip or tar file, which is not unpacked
  FILE.csv       image files and their classes, one of each in a row; with a header, also split: train, val or test
"""
_NAMED = ("mnist", "fashion", "cifar10", "cifar100")


class Source(NamedTuple):
    """A data set, as the options of `add_data` name it; None stands for an option that is not given.

    Attributes
    ----------
    spec : str
        The value of ``--data``.
    image_size : (height, width) or None
        For image files; the network's size if they are read whole.
    grey, skip_bad : bool or None
        For image files.
    channels_last : bool or None
        For .npz files.
    classes : tuple of str or None
        For image files and .npz files.
    cache : str or None
        For image files.
    lazy : bool or None
        For image files.
    whole : bool or None
        For image files: whether they keep their own sizes.
    root : str or None
        For a CSV file: where the names in it start.
    """

    spec: str
    image_size: tuple[int, int] | None = None
    grey: bool | None = None
    skip_bad: bool | None = None
    channels_last: bool | None = None
    classes: tuple[str, ...] | None = None
    cache: str | None = None
    lazy: bool | None = None
    whole: bool | None = None
    root: str | None = None

    @classmethod
    def of_arguments(cls, args: argparse.Namespace) -> Source:
        """The source that the options of `add_data` describe."""
        if args.data == "digits" and Path("digits").is_dir():
            warnings.warn("--data digits is scikit-learn's data set; give ./digits for the folder", stacklevel=2)
        cache, root = (path and str(path) for path in (args.cache, args.root))
        return cls(
            *(args.data, args.image_size, args.grey, args.skip_bad, args.channels_last, args.classes),
            *(cache, args.lazy, args.whole, root),
        )

    @classmethod
    def of_card(cls, entries: Sequence[Any]) -> Source:
        """The source that a model's card holds as a list."""
        fields: Any = [tuple(entry) if isinstance(entry, list) else entry for entry in entries]
        return cls(*fields)

    def changed_by(self, other: Source) -> Source:
        """This source with all options that are given in `other`; a cache and lazy reading take each other's place."""
        options = {name: value for name, value in other._asdict().items() if name != "spec" and value is not None}
        if other.lazy or other.cache:
            options = {"lazy": None, "cache": None, **options}
        return self._replace(**options)

    @property
    def kind(self) -> str:
        """ "digits", "mnist", "fashion", "cifar10", "cifar100", "npz", "csv" or "folder"."""
        head, colon, _ = self.spec.partition(":")
        if self.spec == "digits" or (head in _NAMED and colon):
            return head
        suffix = Path(self.spec).suffix.lower()
        return "npz" if suffix == ".npz" else "csv" if suffix in (".csv", ".tsv") else "folder"

    @property
    def of_pictures(self) -> bool:
        """Whether it is image files, which may be scaled and read as grey."""
        return self.kind in ("folder", "csv")

    @property
    def path(self) -> Path:
        """The file or folder of the data set."""
        return Path(self.spec.partition(":")[2] if self.kind in _NAMED else self.spec).expanduser()

    def shape_of(self, dataset: Dataset) -> tuple[int, int, int]:
        """The shape of the images that a network gets: those of the data set, or of --image-size if they are whole."""
        if not self.whole:
            return dataset.image_shape
        if self.image_size is None:
            raise UserError("--whole: give the size to which images are cut, too, such as --image-size 224")
        return dataset.image_shape[0], *self.image_size

    def absolute(self) -> Source:
        """The same source with an absolute path."""
        if self.kind == "digits":
            return self
        prefix = f"{self.kind}:" if self.kind in _NAMED else ""
        cache, root = (path and str(Path(path).resolve()) for path in (self.cache, self.root))
        return self._replace(spec=prefix + str(self.path.resolve()), cache=cache, root=root)

    def options(self) -> list[str]:
        """The options of `add_data` that describe this source."""
        words = ["--data", self.spec]
        if self.image_size is not None:
            words += ["--image-size", "x".join(map(str, self.image_size))]
        for name, value in (("grey", self.grey), ("channels-last", self.channels_last)):
            if value is not None:
                words.append(f"--{name}" if value else f"--no-{name}")
        return (
            words
            + ["--skip-bad"] * bool(self.skip_bad)
            + (["--classes", ",".join(self.classes)] if self.classes else [])
            + (["--cache", self.cache] if self.cache else [])
            + ["--lazy"] * bool(self.lazy)
            + ["--whole"] * bool(self.whole)
            + (["--root", self.root] if self.root else [])
        )


def add_data(parser: argparse.ArgumentParser, default: str | None, note: str) -> None:
    """``--data``, whose help ends in `note`, and the options that say how to read it."""
    parser.add_argument("--data", default=default, metavar="WHAT", help=f"the images, see below ({note})")
    add = parser.add_argument
    flag = argparse.BooleanOptionalAction
    images = "for image files: "
    add("--image-size", type=size, metavar="H[xW]", help=f"{images}scale and crop them all to this many pixels")
    add(
        "--whole",
        action="store_true",
        default=None,
        help=f"{images}read them in their own sizes; training images are cut to --image-size by --augment resized-crop "
        "or resnet, all others are scaled to a shorter side of 8/7 of it, and their centre is cropped",
    )
    add("--grey", action=flag, help=f"{images}one channel, or three; needed if all of them are greyscale")
    add("--gray", action=flag, dest="grey", help=argparse.SUPPRESS)
    add("--skip-bad", action="store_true", default=None, help=f"{images}leave out those that cannot be read")
    add(
        "--cache",
        type=folder,
        metavar="DIR",
        help=f"{images}keep the decoded pixels in this folder: the next run begins at once, and there may be more than "
        "fit into memory",
    )
    add(
        "--lazy",
        action="store_true",
        default=None,
        help=f"{images}decode them when a batch needs them, instead of all of them first",
    )
    add(
        "--root",
        type=folder,
        metavar="DIR",
        help="for a CSV file: the folder, zip or tar file in which its names start (default: its own folder)",
    )
    add(
        "--channels-last",
        action=flag,
        help="for an .npz file: images are N x H x W x C, or N x C x H x W (default: decided by the shape)",
    )
    add(
        "--classes",
        type=names,
        metavar="A,B,...",
        help="for an .npz file: the classes' names, in the order of their numbers; for image files: which "
        "sub-folders are classes, in this order",
    )


def load(source: Source, everything: bool = False) -> Dataset:
    """The Dataset; if the source has no test images, they are drawn with a fixed seed.

    Parameters
    ----------
    source : Source
    everything : bool
        If the source has no test images, all its images are: to evaluate a model on them.

    Raises
    ------
    UserError
        No such data set, damaged files, or a missing library.
    """
    from fastnet import data
    from fastnet.data.inside import is_archive

    if not source.spec.strip():
        raise UserError(f"--data: expected a data set, got {source.spec!r}")
    kind, path = source.kind, source.path
    if source.spec in _NAMED:
        raise UserError(f"--data {source.spec} needs the folder that holds its files: --data {source.spec}:DIR")
    if kind == "folder" and not path.is_dir() and not is_archive(path):
        problem = (
            f"{path} is not an .npz file, a folder of images, a zip, tar or CSV file"
            if path.exists()
            else f"{path} does not exist"
        )
        raise UserError(
            f"--data {source.spec}: {problem}; give digits, {', '.join(f'{name}:DIR' for name in _NAMED)}, "
            "an .npz file, a folder of images, or a zip, tar or CSV file"
        )
    _check_options(source)
    test: float | Literal["all"] = "all" if everything else 0.2
    with user_mistakes():
        if kind == "digits":
            dataset = data.digits(test)
        elif kind in ("mnist", "fashion"):
            dataset = data.mnist(path, kind)
        elif kind == "cifar10":
            dataset = data.cifar10(path)
        elif kind == "cifar100":
            dataset = data.cifar100(path)
        elif kind == "npz":
            dataset = data.npz(path, test, channels_last=source.channels_last, classes=source.classes)
        else:
            read = data.image_csv if kind == "csv" else data.image_folder
            options: dict[str, Any] = {
                "size": "any" if source.whole else source.image_size,
                "gray": source.grey,
                "skip_bad": bool(source.skip_bad),
                "cache": source.cache,
                "lazy": bool(source.lazy),
            }
            if source.root:
                options["root"] = source.root
            dataset = read(path, test=test, classes=source.classes, **options)
    if not len(dataset.y_test) or not (everything or len(dataset.y_train)):
        wanted = "images to test" if everything else "images both to train and to test"
        raise UserError(f"--data {source.spec}: {dataset} must hold {wanted}")
    return dataset


def add_subset(parser: argparse.ArgumentParser) -> None:
    """``--subset``, for `subset`."""
    parser.add_argument(
        "--subset",
        type=count,
        metavar="N",
        help="use only N of the training images, drawn with a fixed seed and stratified by class (default: all)",
    )


def subset(dataset: Dataset, count: int | None) -> Dataset:
    """The dataset with `count` of its training images; with None, all of them."""
    from fastnet import data

    if count is None:
        return dataset
    if count >= len(dataset.y_train):
        raise UserError(f"--subset {count}: {dataset.name} has only {len(dataset.y_train):,} training images")
    _, _, X, y = data.hold_out(dataset.X_train, dataset.y_train, count)
    return dataclasses.replace(dataset, X_train=X, y_train=y)


def _check_options(source: Source) -> None:
    """Refuse options that the kind of data set does not have."""
    folder = source.of_pictures
    npz = source.kind == "npz"
    for option, given, fits, what in (
        ("--image-size", source.image_size, folder, "image files"),
        ("--grey", source.grey is not None, folder, "image files"),
        ("--skip-bad", source.skip_bad, folder, "image files"),
        ("--cache", source.cache, folder, "image files"),
        ("--lazy", source.lazy, folder, "image files"),
        ("--whole", source.whole, folder, "image files"),
        ("--root", source.root, source.kind == "csv", "CSV files"),
        ("--channels-last", source.channels_last is not None, npz, ".npz files"),
        ("--classes", source.classes, npz or folder, ".npz files and image files"),
    ):
        if given and not fits:
            raise UserError(f"{option} is for {what}, not for {source.spec}")
