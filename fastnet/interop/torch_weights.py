"""Reads PyTorch's weight files (.pt, .pth, .th), in the zip format and in the older one, without PyTorch.

Only tensors and plain containers are read; a file that refers to anything else is refused.  Nothing in it is executed.
"""

from __future__ import annotations

import errno
import io
import math
import os
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastnet.interop.pickle_data import Global, read_pickle

__all__ = ["load_torch"]

Bytes = tuple[Mapping[str, bytes | memoryview], str]  # the storages' bytes by key, and their byte order: "<" or ">"

_MAGIC = 0x1950A86A20F9469CFC6C  # of files that torch.save wrote before version 1.6
_DTYPES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_NESTS = ("state_dict", "model_state_dict", "model", "net", "weights", "params")
_MAX_PICKLE = 64 * 2**20
# raised by zipfile and by the checks below for a damaged file
_DAMAGE: tuple[type[Exception], ...] = (
    ValueError,
    EOFError,
    KeyError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    OSError,
    struct.error,
)
_DAMAGE += (zipfile.BadZipFile, zipfile.LargeZipFile)


def load_torch(
    path: str | os.PathLike[str], key: str | None = None, strip_module: bool = True
) -> dict[str, np.ndarray]:
    """The tensors of a file that ``torch.save`` wrote, for ``model.load_state_dict(load_torch(path))``.

    Parameters
    ----------
    path : str or path
        A state dict, or a checkpoint (a dict) with one inside.
    key : str, optional
        Which entry of a checkpoint; by default "state_dict", "model_state_dict", "model", "net", "weights" or "params".
    strip_module : bool
        Remove the "module." with which ``DataParallel`` prefixes all names.

    Returns
    -------
    dict of str to array
        Read-only; bfloat16 becomes float32.  Entries that are not tensors (an epoch number) are left out.

    Raises
    ------
    FileNotFoundError
    ValueError
        The file is damaged, declares wrong sizes, or holds more than tensors and plain containers (a whole module, for
        example): it is refused, and nothing in it has been executed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    try:
        with open(path, "rb") as file:
            start = file.read(4)
        read = _read_zip if start == b"PK\x03\x04" else _read_legacy
        root, bytes_of = read(path)
        state = _state_dict(root, key)
        arrays = _Arrays(bytes_of)
        state = {name: arrays.array(name, tensor) for name, tensor in state.items() if isinstance(tensor, _Tensor)}
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # a seek to nowhere, by a damaged archive
            raise
        raise ValueError(f"{path}: {str(error) or 'damaged file (it ends too early)'}") from error
    if strip_module and all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): array for name, array in state.items()}
    return state


class _Storage:
    def __init__(self, key: str, dtype: str, numel: int) -> None:
        self.key, self.dtype, self.numel = key, dtype, numel

    @property
    def itemsize(self) -> int:
        return 2 if self.dtype == "bfloat16" else np.dtype(self.dtype).itemsize


class _Tensor:
    def __init__(self, storage: Any, offset: Any, size: Any, stride: Any) -> None:
        if type(storage) is not _Storage:
            raise ValueError("a tensor without a storage")
        self.storage, self.offset = storage, _size(offset)
        if type(size) is not tuple or type(stride) is not tuple or len(size) != len(stride) or len(size) > 32:
            raise ValueError("a tensor with a damaged shape")
        self.size, self.stride = tuple(map(_size, size)), tuple(map(_size, stride))


def _size(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**48:
        raise ValueError("a size, stride or offset is negative, huge or not an integer")
    return value


def _reduce(name: str, args: tuple[Any, ...]) -> Any:
    if name == "collections.OrderedDict" and not args:
        return {}
    if name == "torch._utils._rebuild_tensor" and len(args) == 4:
        return _Tensor(*args)
    if name == "torch._utils._rebuild_tensor_v2" and len(args) >= 6:
        return _Tensor(*args[:4])
    if name == "torch._utils._rebuild_parameter" and len(args) == 3 and type(args[0]) is _Tensor:
        return args[0]
    if name == "torch.Size" and len(args) == 1 and type(args[0]) is tuple:
        return args[0]
    raise ValueError(
        f"refused: the file calls {name[:100]!r}, and only tensors and plain containers are read; save "
        "model.state_dict() instead of the whole object"
    )


def _storage(identity: Any) -> _Storage:
    """("storage", type, key, location, numel[, view])."""
    if type(identity) is tuple and identity[:1] == ("module",):
        raise ValueError("refused: the file holds a whole module, which is code; save model.state_dict() instead")
    if type(identity) is not tuple or len(identity) not in (5, 6) or identity[0] != "storage":
        raise ValueError("a persistent id that is not a storage")
    kind, key, numel = identity[1], identity[2], identity[4]
    if type(kind) is not Global or type(key) is not str:
        raise ValueError("a storage without type or key")
    dtype = _DTYPES.get(kind.name.removeprefix("torch."))
    if dtype is None:
        raise ValueError(f"storages of type {kind.name[:100]!r} are not supported")
    if len(identity) == 6 and identity[5] is not None:
        raise ValueError("storages that are views of others are not supported (save with a newer PyTorch)")
    return _Storage(key, dtype, _size(numel))


def _read_zip(path: Path) -> tuple[Any, Bytes]:
    """The zip format: data.pkl, and an uncompressed record data/<key> for each storage, in one folder."""
    with zipfile.ZipFile(path) as archive:
        infos = {info.filename: info for info in archive.infolist()}
        if len(infos) != len(archive.infolist()):
            raise ValueError("two records of the archive share a name")
        if any(info.compress_type != zipfile.ZIP_STORED for info in infos.values()):
            raise ValueError("compressed records, which PyTorch never writes")
        if sum(info.file_size for info in infos.values()) > path.stat().st_size:
            raise ValueError("the records claim to be larger than the file")
        pickles = [name for name in infos if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError("no PyTorch weights: the archive has no data.pkl")
        folder = pickles[0].removesuffix("data.pkl")
        if f"{folder}constants.pkl" in infos:
            raise ValueError("a TorchScript program, which is code; save model.state_dict() instead")
        if infos[pickles[0]].file_size > _MAX_PICKLE:
            raise ValueError(f"its pickle is larger than {_MAX_PICKLE >> 20} MiB")
        root = read_pickle(io.BytesIO(archive.read(pickles[0])), _reduce, _storage)
        order = archive.read(f"{folder}byteorder") if f"{folder}byteorder" in infos else b"little"
        if order not in (b"little", b"big"):
            raise ValueError("its byte order is neither little nor big")
        prefix = f"{folder}data/"
        records = {name.removeprefix(prefix): archive.read(name) for name in infos if name.startswith(prefix)}
    return root, (records, "<" if order == b"little" else ">")


def _read_legacy(path: Path) -> tuple[Any, Bytes]:
    """The older format: five pickles (magic number, protocol, system, object, storage keys), then each storage:
    an int64 length and its elements."""
    data = path.read_bytes()
    file = io.BytesIO(data)
    storages: dict[str, _Storage] = {}

    def persistent(identity: Any) -> _Storage:
        storage = _storage(identity)
        first = storages.setdefault(storage.key, storage)
        if (first.dtype, first.numel) != (storage.dtype, storage.numel):
            raise ValueError(f"storage {storage.key[:50]!r} has two types or sizes")
        return first

    try:
        magic = read_pickle(file, _reduce, _storage)
    except ValueError as error:
        raise ValueError(f"not a PyTorch file ({error})") from error
    if magic != _MAGIC:
        raise ValueError("not a PyTorch file (its magic number is missing)")
    if read_pickle(file, _reduce, _storage) != 1001:
        raise ValueError("an unknown version of PyTorch's format")
    system = read_pickle(file, _reduce, _storage)
    little = system.get("little_endian", True) if type(system) is dict else True
    root = read_pickle(file, _reduce, persistent)
    keys = read_pickle(file, _reduce, _storage)
    if type(keys) is not list or not all(type(name) is str for name in keys) or set(keys) != set(storages):
        raise ValueError("the list of storages does not fit the tensors")
    records: dict[str, memoryview] = {}
    position = file.tell()
    for name in keys:
        numel = int.from_bytes(data[position : position + 8], "little" if little else "big")
        end = position + 8 + storages[name].numel * storages[name].itemsize
        if name in records or numel != storages[name].numel or end > len(data):
            raise ValueError(f"storage {name[:50]!r} is not as large as the file says")
        records[name], position = memoryview(data)[position + 8 : end], end
    return root, (records, "<" if little else ">")


def _state_dict(root: Any, key: str | None) -> dict[str, Any]:
    if type(root) is not dict:
        raise ValueError("expected a state dict (names and tensors), found another kind of object")
    if key is not None:
        if key not in root:
            raise ValueError(f"no entry {key!r}; the file has {_keys(root)}")
        state = root[key]
    elif any(type(value) is _Tensor for value in root.values()):
        state = root
    else:
        state = next((root[name] for name in _NESTS if type(root.get(name)) is dict), None)
    if type(state) is not dict or not any(type(value) is _Tensor for value in state.values()):
        raise ValueError(f"found no state dict; the file has {_keys(root)}; give key=... to choose one")
    if not all(type(name) is str for name in state):
        raise ValueError("a state dict's names must be strings")
    return state


def _keys(root: dict[Any, Any]) -> str:
    names = [str(name)[:40] for name in list(root)[:8] if isinstance(name, (str, int))]
    return ", ".join(names) + (", ..." if len(root) > 8 else "") if names else "no entries"


class _Arrays:
    """Tensors as views of the bytes read, with all bounds checked."""

    def __init__(self, records_and_order: Bytes) -> None:
        self.records, self.order = records_and_order
        self.flat: dict[tuple[str, str], np.ndarray] = {}

    def array(self, name: str, tensor: _Tensor) -> np.ndarray:
        storage, size, stride = tensor.storage, tensor.size, tensor.stride
        count = math.prod(size)
        if count == 0:
            return np.zeros(size, np.float32 if storage.dtype == "bfloat16" else storage.dtype)
        last = tensor.offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if last >= storage.numel or count > storage.numel:
            raise ValueError(
                f"tensor {name[:100]!r} of shape {size} reaches beyond its storage of {storage.numel} numbers"
            )
        flat = self._flat(storage)
        strides = tuple(step * flat.itemsize for step in stride)
        view = np.lib.stride_tricks.as_strided(flat[tensor.offset :], size, strides, writeable=False)
        return view

    def _flat(self, storage: _Storage) -> np.ndarray:
        identity = storage.key, storage.dtype
        if identity not in self.flat:
            record = self.records.get(storage.key)
            if record is None or len(record) != storage.numel * storage.itemsize:
                found = "nothing" if record is None else f"{len(record)} bytes"
                raise ValueError(
                    f"storage {storage.key[:50]!r} should hold {storage.numel} numbers of {storage.itemsize} bytes, "
                    f"found {found}"
                )
            if storage.dtype == "bfloat16":
                halves = np.frombuffer(record, self.order + "u2").astype(np.uint32)
                flat = (halves << np.uint32(16)).view(np.float32)
            else:
                flat = np.frombuffer(record, np.dtype(f"{self.order}{storage.dtype}"))
                flat = flat.astype(flat.dtype.newbyteorder("="), copy=False)
            self.flat[identity] = flat
        return self.flat[identity]
