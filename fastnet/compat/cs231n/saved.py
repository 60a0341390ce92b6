"""The course's files of objects, such as ``np.save`` of a dict, read without running any code in them."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from fastnet.data import load_plain_pickle
from fastnet.storage import atomic_write

__all__ = ["load_params", "read_boxed", "read_boxed_member", "save_params"]

FOLDER = Path("cs231n", "saved")  # beside the notebook, like the course's own code


def save_params(fname: str, params: dict[str, np.ndarray]) -> None:
    """Write a dict of arrays to cs231n/saved/<fname> with ``np.save``, atomically, and print a message."""
    path = FOLDER / fname
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, lambda file: np.save(file, np.array(params)))
    print(f"{fname} saved.")


def load_params(fname: str) -> dict[str, np.ndarray] | None:
    """The dict of arrays that :func:`save_params` wrote, or None if there is no such file; prints which it is.

    Raises
    ------
    ValueError
        If the file holds anything else.
    """
    path = FOLDER / fname
    if not path.exists():
        print(f"{fname} not available.")
        return None
    params = read_boxed(path.read_bytes(), str(path))
    if not isinstance(params, dict) or not all(isinstance(value, np.ndarray) for value in params.values()):
        raise ValueError(f"{path}: expected a dict of arrays, as save() writes it")
    print(f"{fname} loaded successfully.")
    return {name: value.copy() for name, value in params.items()}  # writable


def read_boxed(data: bytes, where: str) -> Any:
    """The object in a .npy file written by ``np.save(file, object)``, if it consists of plain containers and arrays.

    Keys of dicts are returned as str.

    Raises
    ------
    ValueError
        If it is not such a file, or holds an object that could only be created by running code.
    """
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, _, dtype = read(file)
    except (ValueError, KeyError) as error:
        raise ValueError(f"{where}: not accepted as a .npy file: {error}") from error
    if dtype.kind != "O" or shape != ():
        raise ValueError(f"{where}: expected one object, as np.save writes a dict, got {dtype} of shape {shape}")
    return load_plain_pickle(file.read(), where)


def read_boxed_member(path: str | os.PathLike, name: str) -> Any:
    """:func:`read_boxed` for one member of an .npz file."""
    try:
        with zipfile.ZipFile(path) as archive:
            data = archive.read(f"{name}.npy")
    except (KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not accepted as an .npz file with {name!r}: {error}") from error
    return read_boxed(data, f"{path}: {name}")
