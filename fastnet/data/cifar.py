"""CIFAR-10 and CIFAR-100 from their "python version" batches."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from fastnet.data.dataset import Dataset
from fastnet.pickles import load_plain_pickle

__all__ = ["cifar10", "cifar100"]

_HOME = "Alex Krizhevsky's CIFAR page (www.cs.toronto.edu/~kriz/cifar.html), the python version"
_MAX_BYTES = 2**30


def _reader(path: Path, inner: str, archive: str) -> Callable[[str], bytes]:
    """A function that returns a named file's bytes, from a folder or from the original .tar.gz."""
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; {inner} comes from {_HOME}: {archive}")
    if path.is_dir() and not (path / inner).is_dir() and (path / archive).is_file():
        path = path / archive
    if path.is_dir():
        folder = path / inner if (path / inner).is_dir() else path
        return lambda name: _read_file(folder / name, folder, archive)
    return lambda name: _read_member(path, f"{inner}/{name}")


def _read_file(path: Path, folder: Path, archive: str) -> bytes:
    if not path.is_file():
        raise FileNotFoundError(f"no {path.name} in {folder}; it is part of {archive} from {_HOME}")
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"{path}: {path.stat().st_size} bytes are too many for a CIFAR file")
    return path.read_bytes()


def _read_member(path: Path, name: str) -> bytes:
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                if member.name.removeprefix("./") == name and member.isfile():
                    if member.size > _MAX_BYTES:
                        raise ValueError(f"{path}: {name} declares {member.size} bytes, too many for a CIFAR file")
                    file = archive.extractfile(member)
                    assert file is not None  # it is, of a regular file
                    return file.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"{path}: cannot be read as a tar archive: {error}") from error
    raise FileNotFoundError(f"{path}: holds no {name}; get the archive again from {_HOME}")


def _batch(read: Callable[[str], bytes], name: str, labels: str) -> tuple[np.ndarray, np.ndarray]:
    """The images (N, 3, 32, 32) and labels (N,) of one batch file."""
    batch = load_plain_pickle(read(name), name)
    X, y = (batch.get("data"), batch.get(labels)) if isinstance(batch, dict) else (None, None)
    if not isinstance(X, np.ndarray) or X.dtype != np.uint8 or X.ndim != 2 or X.shape[1] != 3072:
        raise ValueError(f"{name}: 'data' must be a uint8 array (N, 3072), got {_describe(X)}")
    if not isinstance(y, (list, np.ndarray)) or len(y) != len(X):
        raise ValueError(f"{name}: {labels!r} must be a list of {len(X)} class numbers, got {_describe(y)}")
    return X.reshape(-1, 3, 32, 32), np.asarray(y)


def _describe(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    return f"{type(value).__name__} of {len(value)}" if hasattr(value, "__len__") else repr(value)


def _load(
    name: str, read: Callable[[str], bytes], train: Sequence[str], test: str, labels: str, meta: str, names: str
) -> Dataset:
    batches = [_batch(read, file, labels) for file in train]
    X_test, y_test = _batch(read, test, labels)
    table = load_plain_pickle(read(meta), meta)
    classes = table.get(names) if isinstance(table, dict) else None
    if not isinstance(classes, list) or not all(isinstance(c, (str, bytes)) for c in classes):
        raise ValueError(f"{meta}: {names!r} must be a list of names, got {_describe(classes)}")
    return Dataset(
        np.concatenate([X for X, _ in batches]),
        np.concatenate([y for _, y in batches]),
        X_test,
        y_test,
        tuple(c.decode() if isinstance(c, bytes) else c for c in classes),
        name,
    )


def cifar10(folder: str | os.PathLike[str]) -> Dataset:
    """CIFAR-10 (Krizhevsky 2009): 50,000 + 10,000 colour images (N, 3, 32, 32) uint8 of 10 classes.

    The pickles are read by a loader that accepts plain containers and numeric arrays only and executes nothing in them.

    Parameters
    ----------
    folder : path
        cifar-10-batches-py, the folder that holds it, or cifar-10-python.tar.gz itself.

    Raises
    ------
    FileNotFoundError
        A file is missing; the message says where to get it.
    ValueError
        A damaged or hostile file.
    """
    read = _reader(Path(folder), "cifar-10-batches-py", "cifar-10-python.tar.gz")
    train = [f"data_batch_{i}" for i in range(1, 6)]
    return _load("cifar10", read, train, "test_batch", "labels", "batches.meta", "label_names")


def cifar100(folder: str | os.PathLike[str], coarse: bool = False) -> Dataset:
    """CIFAR-100: 50,000 + 10,000 colour images of 100 classes, or of the 20 superclasses with `coarse`.

    Parameters and errors as for `cifar10`; the folder is cifar-100-python, the archive cifar-100-python.tar.gz.
    """
    read = _reader(Path(folder), "cifar-100-python", "cifar-100-python.tar.gz")
    kind = "coarse" if coarse else "fine"
    return _load("cifar100", read, ["train"], "test", f"{kind}_labels", "meta", f"{kind}_label_names")
