"""The option ``--data``: turns a short description into a Dataset."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fastnet.cli.arguments import size
from fastnet.cli.errors import UserError, user_mistakes

if TYPE_CHECKING:
    from fastnet.data import Dataset

__all__ = ["Source", "add_data", "load"]

KINDS = """data sets:
  digits         1,797 handwritten digits of 8x8 pixels, embedded in scikit-learn (the default)
  mnist:DIR      MNIST, from its four idx files in DIR, gzipped or not
  fashion:DIR    Fashion-MNIST, likewise
  cifar10:DIR    CIFAR-10, from cifar-10-batches-py or cifar-10-python.tar.gz in DIR
  cifar100:DIR   CIFAR-100, likewise
  FILE.npz       arrays X_train, y_train, X_test, y_test, or X and y; images are N x C x H x W, N x H x W x C or
                 N x H x W
  FOLDER         images in FOLDER/<class>/, or FOLDER/train/<class>/ and FOLDER/test/<class>/
"""
_NAMED = ("mnist", "fashion", "cifar10", "cifar100")


class Source(NamedTuple):
    """The source of images.

    Attributes
    ----------
    spec : str
        As for ``--data``.
    image_size : (height, width) or None
        For folders of images.
    """

    spec: str
    image_size: tuple[int, int] | None = None

    @property
    def kind(self) -> str:
        """ "digits", "mnist", "fashion", "cifar10", "cifar100", "npz" or "folder"."""
        head, colon, _ = self.spec.partition(":")
        if self.spec == "digits" or (head in _NAMED and colon):
            return head
        return "npz" if self.spec.endswith(".npz") else "folder"

    @property
    def path(self) -> Path:
        return Path(self.spec.partition(":")[2] if self.kind in _NAMED else self.spec).expanduser()

    def absolute(self) -> Source:
        """The same source with an absolute path."""
        if self.kind == "digits":
            return self
        prefix = f"{self.kind}:" if self.kind in _NAMED else ""
        return self._replace(spec=prefix + str(self.path.resolve()))


def add_data(parser: argparse.ArgumentParser, default: str | None, note: str) -> None:
    parser.add_argument("--data", default=default, metavar="WHAT", help=f"the images, see below ({note})")
    parser.add_argument(
        "--image-size",
        type=size,
        metavar="H[xW]",
        help="for a folder of images: scale and crop them all to this many pixels",
    )


def load(source: Source) -> Dataset:
    """The Dataset; if the source has no test images, they are drawn with a fixed seed.

    Raises
    ------
    UserError
        No such data set, damaged files, or a missing library.
    """
    from fastnet import data

    kind, path = source.kind, source.path
    if source.spec in _NAMED:
        raise UserError(f"--data {source.spec} needs the folder that holds its files: --data {source.spec}:DIR")
    if kind == "folder" and not path.is_dir():
        problem = f"{path} is not an .npz file or a folder of images" if path.exists() else f"{path} does not exist"
        raise UserError(
            f"--data {source.spec}: {problem}; give digits, {', '.join(f'{name}:DIR' for name in _NAMED)}, "
            "an .npz file or a folder of images"
        )
    if source.image_size and kind != "folder":
        raise UserError(f"--image-size is for folders of images, not for {source.spec}")
    with user_mistakes("use --image-size" if kind == "folder" and not source.image_size else ""):
        if kind == "digits":
            dataset = data.digits()
        elif kind in ("mnist", "fashion"):
            dataset = data.mnist(path, kind)
        elif kind == "cifar10":
            dataset = data.cifar10(path)
        elif kind == "cifar100":
            dataset = data.cifar100(path)
        elif kind == "npz":
            dataset = data.npz(path)
        else:
            dataset = data.image_folder(path, size=source.image_size)
    if not len(dataset.y_train) or not len(dataset.y_test):
        raise UserError(f"--data {source.spec}: {dataset} must hold images both to train and to test")
    return dataset
