"""The idx file format, and MNIST and Fashion-MNIST, which use it."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fastnet.data.dataset import Dataset

__all__ = ["read_idx", "mnist"]

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_BYTES = 2**32
_KINDS = {
    "mnist": (
        tuple("0123456789"),
        "Yann LeCun's MNIST page (yann.lecun.com/exdb/mnist) or one of its mirrors",
    ),
    "fashion": (
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        "Zalando Research's Fashion-MNIST page (github.com/zalandoresearch/fashion-mnist), or Debian's package "
        "dataset-fashion-mnist",
    ),
}


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an idx file, gzipped or not (recognised by its first bytes, not by its name).

    The format: two zero bytes, a type byte, the number of axes, each axis' length as a big-endian uint32, the values
    in C order, big-endian.

    Returns
    -------
    array
        In the machine's byte order.

    Raises
    ------
    ValueError
        Not an idx file, truncated, longer than it declares, or declaring more than 4 GiB.
    OSError
        The file cannot be read.
    """
    with open(path, "rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        try:
            return _parse(gzip.GzipFile(fileobj=raw), path) if zipped else _parse(raw, path)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path}: damaged or truncated gzip file ({error})") from error


def _parse(file: BinaryIO | gzip.GzipFile, path: str | os.PathLike[str]) -> np.ndarray:
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _TYPES or head[3] == 0:
        raise ValueError(f"{path}: not an idx file, it starts with {head.hex() or 'nothing'} (0000 08 03 for images)")
    dtype, ndim = np.dtype(_TYPES[head[2]]), head[3]
    sizes = file.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise ValueError(f"{path}: truncated within the header")
    shape = struct.unpack(f">{ndim}I", sizes)
    declared = math.prod(shape) * dtype.itemsize
    if declared > _MAX_BYTES:
        raise ValueError(f"{path}: declares shape {shape}, {declared} bytes, more than the {_MAX_BYTES} accepted")
    data = bytearray()
    while len(data) <= declared and (piece := file.read(min(2**20, declared + 1 - len(data)))):
        data += piece
    if len(data) != declared:
        what = "truncated" if len(data) < declared else "longer than that"
        raise ValueError(f"{path}: declares shape {shape}, {declared} bytes of data, but is {what} ({len(data)} read)")
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _find(folder: Path, stem: str, kind: str) -> Path:
    names = [name + end for name in (stem, stem.replace("-idx", ".idx")) for end in ("", ".gz")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(
        f"no {stem} or {stem}.gz in {folder}; {kind} needs train-images-idx3-ubyte, train-labels-idx1-ubyte, "
        f"t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each with .gz or without; get them from {_KINDS[kind][1]}"
    )


def mnist(folder: str | os.PathLike[str], kind: str = "mnist") -> Dataset:
    """MNIST (LeCun et al. 1998) or Fashion-MNIST (Xiao et al. 2017) from the four original idx files in `folder`.

    Parameters
    ----------
    folder : path
        Holds train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte, each
        with .gz or without.
    kind : "mnist" or "fashion"
        Both have the same file names; this chooses the classes' names.

    Returns
    -------
    Dataset
        Images (N, 1, 28, 28) uint8: 60,000 to train and 10,000 to test.

    Raises
    ------
    FileNotFoundError
        A file is missing; the message says where to get it.
    ValueError
        A damaged file.
    """
    if kind not in _KINDS:
        raise ValueError(f"mnist: kind must be one of {sorted(_KINDS)}, got {kind!r}")

    def read(name: str, ndim: int) -> np.ndarray:
        path = _find(Path(folder), f"{name}-ubyte", kind)
        array = read_idx(path)
        if array.dtype != np.uint8 or array.ndim != ndim:
            raise ValueError(f"{path}: expected uint8 with {ndim} axes, got {array.dtype} of shape {array.shape}")
        return array

    X_train, y_train = read("train-images-idx3", 3)[:, None], read("train-labels-idx1", 1)
    X_test, y_test = read("t10k-images-idx3", 3)[:, None], read("t10k-labels-idx1", 1)
    return Dataset(X_train, y_train, X_test, y_test, _KINDS[kind][0], kind)
