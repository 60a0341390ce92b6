"""Files of named arrays (.safetensors and .npz) and JSON: reading executes nothing in them, and writes are atomic."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fastnet.floats import FLOAT8, decode_bfloat16, decode_float8
from fastnet.foreign import explain

__all__ = ["SUFFIXES", "atomic_write", "write_arrays", "read_arrays", "read_npz", "to_json", "write_json", "number"]

SUFFIXES = (".safetensors", ".npz")
# safetensors' names of NumPy's dtypes, and of the formats that are decoded
_DTYPES = {"BOOL": "?", "U8": "u1", "U16": "<u2", "U32": "<u4", "U64": "<u8", "C64": "<c8", "C128": "<c16"}
_DTYPES |= {"I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8"}
_SUFFIX = "the file name must end in .safetensors or .npz"
_FLOAT8 = {name.upper().replace("FLOAT8", "F8"): name for name in FLOAT8} | {"F8_E4M3": "float8_e4m3fn"}


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
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: {_SUFFIX}")
    if path.suffix == ".npz":
        if metadata:
            raise ValueError(f"{path}: .npz files cannot store metadata")
        atomic_write(path, lambda file: np.savez(file, **contiguous))
    else:
        data = _safetensors().numpy.save(contiguous, metadata)
        atomic_write(path, lambda file: file.write(data))


def read_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read a .safetensors or .npz file: what :func:`write_arrays` wrote, or other software.

    bfloat16 and 8-bit floating point in .safetensors files become float32.

    Raises
    ------
    FileNotFoundError
        No such file; the message lists similar files in its folder.
    ValueError
        A damaged file, or one of another format; the message names the formats of other software.
    ImportError
        .safetensors without the library.
    """
    path = Path(path)
    if not path.exists():
        folder = path.parent
        near = sorted(other.name for other in folder.iterdir() if other.suffix in SUFFIXES) if folder.is_dir() else []
        hint = f"; {folder} has {', '.join(near[:5])}" if near else ""
        raise FileNotFoundError(f"no file {path}{hint}")
    if not path.is_file() or path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: {explain(path) or _SUFFIX}")
    if path.suffix == ".npz":
        try:
            return read_npz(path)
        except ValueError as error:
            raise ValueError(_damaged(path, str(error).removeprefix(f"{path}: "))) from error
    library = _safetensors()
    try:
        return {name: _decode(name, **parts) for name, parts in library.deserialize(path.read_bytes())}
    except (ValueError, library.SafetensorError) as error:
        raise ValueError(_damaged(path, str(error))) from error


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
        Not an .npz file, damaged, truncated, pickled, or without one of `names`.
    OSError
        The file cannot be opened.
    """
    import zipfile  # here, to keep importing fastnet fast

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


def _damaged(path: Path, reason: str) -> str:
    own, what = {".safetensors": "it is a .safetensors", ".npz": "it is an .npz"}[path.suffix], explain(path)
    return f"{path} is damaged or not a {path.suffix} file: {reason if what.startswith(own) else what or reason}"


def _decode(name: str, dtype: str, shape: Sequence[int], data: bytes) -> np.ndarray:
    """A tensor of a .safetensors file, whose bounds the library has checked."""
    if dtype == "BF16":
        flat = decode_bfloat16(np.frombuffer(data, "<u2"))
    elif dtype in _FLOAT8:
        flat = decode_float8(np.frombuffer(data, np.uint8), _FLOAT8[dtype])
    elif dtype in _DTYPES:
        flat = np.frombuffer(data, _DTYPES[dtype])
        flat = flat.astype(flat.dtype.newbyteorder("="), copy=False)
    else:
        raise ValueError(f"{name} has dtype {dtype}, which is not supported: convert it to F32")
    return flat.reshape(shape)


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
