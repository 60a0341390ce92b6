"""Files of named arrays (.safetensors and .npz) and JSON: reading executes nothing in them, and writes are atomic."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

__all__ = ["atomic_write", "write_arrays", "read_arrays", "to_json", "write_json", "number"]

SUFFIXES = (".safetensors", ".npz")


def atomic_write(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> None:
    """Create the file `path` with ``write(file)``: readers see the old file or the complete new one.

    The bytes go to a temporary file in the same folder, are flushed to disk, and the file is renamed to `path`.

    Raises
    ------
    FileNotFoundError
        The folder does not exist.
    """
    import tempfile  # here, to keep importing fastnet fast

    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: the folder {path.parent} does not exist")
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, _mode(path))
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _mode(path: Path) -> int:
    """The permissions of the file that is replaced, else those of a new file."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _suffix(path: Path) -> str:
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: the file name must end in .safetensors or .npz")
    return path.suffix


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError(
            '.safetensors files need the library: pip install "fastnet-cnn[safetensors]" (.npz files work without)'
        ) from None
    return safetensors


def write_arrays(
    path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named arrays atomically, in the format given by the suffix.

    Parameters
    ----------
    path : str or path
        Ends in .safetensors or .npz.
    arrays : mapping of str to array
    metadata : dict of str to str, optional
        Stored in .safetensors files; not supported for .npz.

    Raises
    ------
    ValueError
        Another suffix, or metadata for .npz.
    ImportError
        .safetensors without the library.
    """
    path = Path(path)
    contiguous: dict[str, Any] = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    if _suffix(path) == ".npz":
        if metadata:
            raise ValueError(f"{path}: .npz files cannot store metadata")
        atomic_write(path, lambda file: np.savez(file, **contiguous))
    else:
        data = _safetensors().numpy.save(contiguous, metadata)
        atomic_write(path, lambda file: file.write(data))


def read_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read what :func:`write_arrays` wrote.

    Raises
    ------
    FileNotFoundError
        No such file; the message lists similar files in its folder.
    ValueError
        Another suffix, or a damaged file.
    ImportError
        .safetensors without the library.
    """
    import zipfile

    path = Path(path)
    suffix = _suffix(path)
    if not path.is_file():
        folder = path.parent
        near = sorted(other.name for other in folder.iterdir() if other.suffix in SUFFIXES) if folder.is_dir() else []
        hint = f"; {folder} has {', '.join(near[:5])}" if near else ""
        raise FileNotFoundError(f"no file {path}{hint}")
    library = _safetensors() if suffix == ".safetensors" else None
    try:
        if library:
            loaded: dict[str, np.ndarray] = library.numpy.load_file(path)
            return loaded
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise ValueError(f"{path} is damaged or not a {suffix} file: {error}") from error
    except Exception as error:
        if library and isinstance(error, library.SafetensorError):
            raise ValueError(f"{path} is damaged or not a .safetensors file: {error}") from error
        raise


def to_json(value: Any, indent: int | None = None) -> str:
    """`value` as JSON text, in ASCII.

    NumPy's numbers and arrays become numbers and lists.  JSON has no NaN and no infinity: they become the strings
    "NaN", "Infinity" and "-Infinity" (as in ProtoJSON), which :func:`number` turns back.

    Raises
    ------
    TypeError
        Something in `value` that is neither plain data nor an array.
    """
    return json.dumps(_plain(value), indent=indent, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {_plain(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def number(value: Any) -> Any:
    """The float that `to_json` wrote as a string; any other value unchanged."""
    return float(value) if isinstance(value, str) and value in ("NaN", "Infinity", "-Infinity") else value


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write ``to_json(value)`` to a file, atomically."""
    atomic_write(path, lambda file: file.write(to_json(value, indent=1).encode() + b"\n"))
