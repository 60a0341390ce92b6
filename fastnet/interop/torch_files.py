"""The formats of torch.save: an object, and where the bytes of its tensors' storages are.

Since PyTorch 1.6 it is a zip archive; before, a stream of pickles and storages; in 0.1, a tar archive.  Python's own
pickle.dump writes one pickle, in which each storage is such a stream.
"""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, Literal

from fastnet.foreign import explain
from fastnet.interop.tensors import Records, Storage, Tensor, TorchData, size_of
from fastnet.pickles import Meanings, read_pickle

__all__ = ["read_torch"]

_MAGIC = 0x1950A86A20F9469CFC6C  # of the stream
_VERSION = 1001
# Weights and long histories need fewer opcodes than either of these allows; a bomb does not.
_MAX_OPCODES, _BYTES_PER_OPCODE = 2_000_000, 3


def read_torch(path: Path, file: BinaryIO) -> tuple[Any, Records]:
    """The object in the open `file`, and its storages, which may be read while the file is open.

    Raises
    ------
    ValueError, and what zipfile, tarfile and struct raise
        It is damaged, or of another format.
    """
    if file.read(4) == b"PK\x03\x04":
        try:
            archive = zipfile.ZipFile(file)
        except zipfile.BadZipFile as error:
            raise ValueError(explain(path)) from error
        return _read_zip(path, archive)
    file.seek(0)
    data = file.read()
    if data[257:262] == b"ustar":
        return _read_tar(data)
    return _read_pickle(path, data)


def _read(file: io.BytesIO, meanings: Meanings) -> Any:
    return read_pickle(file, meanings, max(_MAX_OPCODES, file.getbuffer().nbytes // _BYTES_PER_OPCODE))


# ---------------------------------------------------------------- zip


class _Members:
    """Storages in a zip archive: one record for each, read when it is asked for."""

    def __init__(self, archive: zipfile.ZipFile, folder: str, order: Literal["<", ">"]) -> None:
        self.archive, self.folder, self.order = archive, folder, order
        self.names = frozenset(archive.namelist())

    def read(self, key: str) -> bytes | None:
        name = f"{self.folder}data/{key}"
        return self.archive.read(name) if name in self.names else None


def _read_zip(path: Path, archive: zipfile.ZipFile) -> tuple[Any, Records]:
    """data.pkl, and an uncompressed record data/<key> for each storage, in one folder."""
    infos = {info.filename: info for info in archive.infolist()}
    pickles = [name for name in infos if name == "data.pkl" or name.endswith("/data.pkl")]
    folder = pickles[0].removesuffix("data.pkl") if pickles else ""
    if len(pickles) != 1 or f"{folder}constants.pkl" in infos:
        reason = "two records are named data.pkl" if len(pickles) > 1 else explain(path)
        raise ValueError(f"no PyTorch weights: {reason}")
    if len(infos) != len(archive.infolist()):
        raise ValueError("two records of the archive share a name")
    if any(info.compress_type != zipfile.ZIP_STORED for info in infos.values()):
        raise ValueError("compressed records, which PyTorch never writes")
    if sum(info.file_size for info in infos.values()) > path.stat().st_size:
        raise ValueError("the records claim to be larger than the file")
    if all(info.CRC == 0 for info in infos.values() if info.file_size):
        for info in infos.values():  # written with set_crc32_options(False), which computes no checksums
            del info.CRC
    root = _read(io.BytesIO(archive.read(pickles[0])), TorchData())
    order = archive.read(f"{folder}byteorder") if f"{folder}byteorder" in infos else b"little"
    if order not in (b"little", b"big"):
        raise ValueError("its byte order is neither little nor big")
    return root, _Members(archive, folder, "<" if order == b"little" else ">")


# ---------------------------------------------------------------- stream


class _Blocks:
    """Storages in memory, each with its length before it."""

    def __init__(self, order: Literal["<", ">"]) -> None:
        self.order = order
        self.blocks: dict[str, memoryview] = {}

    def read(self, key: str) -> memoryview | None:
        return self.blocks.get(key)

    def add(self, key: str, data: bytes, position: int, itemsize: int, numel: int | None = None) -> int:
        """Take the block at `position`: an int64 length and its numbers.  Returns the position after it."""
        length = int.from_bytes(data[position : position + 8], "little" if self.order == "<" else "big")
        end = position + 8 + length * itemsize
        if key in self.blocks or numel not in (None, length) or end > len(data):
            raise ValueError(f"storage {key[:50]!r} is not as large as the file says: it is damaged or incomplete")
        self.blocks[key] = memoryview(data)[position + 8 : end]
        return end


class _PickleData(TorchData):
    """Collects the storages, which are streams inside the pickle."""

    def __init__(self) -> None:
        super().__init__()
        self.found = _Blocks("<")

    def call(self, name: str, args: tuple[Any, ...]) -> Any:
        if name == "torch.storage._load_from_bytes" and len(args) == 1 and type(args[0]) is bytes:
            storage: Storage = self._once(args[0], self._storage)
            return storage
        return super().call(name, args)

    def _storage(self, data: bytes) -> Storage:
        storage, records = _read_stream(data)
        block = records.read(storage.key) if type(storage) is Storage else None
        if type(storage) is not Storage or not isinstance(block, memoryview) or records.order != "<":
            raise ValueError("a storage that is damaged")
        self.found.blocks[key := str(len(self.found.blocks))] = block
        return storage._replace(key=key)


class _StreamData(TorchData):
    """Collects the storages to which the object refers."""

    def __init__(self) -> None:
        super().__init__()
        self.storages: dict[str, Storage] = {}

    def persistent(self, identity: Any) -> Any:
        storage = super().persistent(identity)
        if type(storage) is Storage:
            first = self.storages.setdefault(storage.key, storage)
            if (first.dtype, first.whole) != (storage.dtype, storage.whole):
                raise ValueError(f"storage {storage.key[:50]!r} has two types or sizes")
        return storage


def _read_pickle(path: Path, data: bytes) -> tuple[Any, Records]:
    """A stream, or one pickle of a dict."""
    found = _PickleData()
    try:
        root = _read(io.BytesIO(data), found)
    except ValueError as error:
        what = explain(path)
        raise ValueError(f"not a PyTorch file: {error if 'pickle' in what else what or error}") from error
    return _read_stream(data) if isinstance(root, int) else (root, found.found)


def _read_stream(data: bytes) -> tuple[Any, Records]:
    """Five pickles (magic number, version, system, object, storage keys), then the storages."""
    file, found = io.BytesIO(data), _StreamData()
    if _read(file, TorchData()) != _MAGIC:
        raise ValueError("not a PyTorch file (its magic number is missing)")
    if _read(file, TorchData()) != _VERSION:
        raise ValueError("an unknown version of PyTorch's format")
    system = _read(file, TorchData())
    little = system.get("little_endian", True) if type(system) is dict else True
    root = _read(file, found)
    keys = _read(file, TorchData())
    if type(keys) is not list or not all(type(key) is str for key in keys) or set(keys) != set(found.storages):
        raise ValueError("the list of storages does not fit the tensors")
    blocks, position = _Blocks("<" if little else ">"), file.tell()
    for key in keys:
        storage = found.storages[key]
        position = blocks.add(key, data, position, storage.itemsize, storage.whole // storage.itemsize)
    return root, blocks


# ---------------------------------------------------------------- tar


class _TarData(TorchData):
    """Persistent ids are numbers of tensors and storages, or tuples that begin with a class."""

    def __init__(self, objects: dict[int, Any]) -> None:
        super().__init__()
        self.objects = objects

    def persistent(self, identity: Any) -> Any:
        if type(identity) is tuple and identity:
            return identity[0]
        if type(identity) not in (str, int) or int(identity) not in self.objects:
            raise ValueError("a persistent id that is neither a tensor nor a storage")
        return self.objects[int(identity)]


def _read_tar(data: bytes) -> tuple[Any, Records]:
    """The members "storages" and "tensors", which count, describe and hold them, and "pickle", the object."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        members = {member.name: member for member in archive if member.isreg() and not member.issparse()}
        storages, tensors, pickle = (_member(archive, members, name) for name in ("storages", "tensors", "pickle"))
    objects: dict[int, Any] = {}
    blocks = _Blocks("<")
    file = io.BytesIO(storages)
    for _ in range(_count(file)):
        key, _, kind = _triple(file)
        storage = TorchData().persistent(("storage", kind, str(key), None, 0))
        file.seek(blocks.add(str(key), storages, file.tell(), storage.itemsize))
        size = len(blocks.blocks[str(key)])
        objects[key] = storage._replace(whole=size, size=size)
    for part in _read(file, TorchData()) or ():  # (key, key of the whole, offset, numel)
        if type(part) not in (tuple, list) or len(part) != 4 or type(objects.get(size_of(part[1]))) is not Storage:
            raise ValueError("a storage that is a damaged view of another")
        objects[size_of(part[0])] = objects[part[1]].part(part[2], part[3])
    file = io.BytesIO(tensors)
    for _ in range(_count(file)):
        key, storage_key, _ = _triple(file)
        ndim = struct.unpack("<i4x", file.read(8))[0]
        if not 0 <= ndim <= 32:
            raise ValueError("a tensor with a damaged shape")
        numbers = struct.unpack(f"<{2 * ndim + 1}q", file.read(8 * (2 * ndim + 1)))
        objects[key] = Tensor(objects.get(storage_key), numbers[-1], numbers[:ndim], numbers[ndim:-1])
    return _read(io.BytesIO(pickle), _TarData(objects)), blocks


def _member(archive: tarfile.TarFile, members: dict[str, tarfile.TarInfo], name: str) -> bytes:
    if name not in members:
        raise ValueError(f"no PyTorch weights: the tar archive has no member {name!r}; unpack it first?")
    file = archive.extractfile(members[name])
    assert file is not None  # it is, of a regular file
    return file.read()


def _count(file: io.BytesIO) -> int:
    return size_of(_read(file, TorchData()))


def _triple(file: io.BytesIO) -> tuple[int, Any, Any]:
    given = _read(file, TorchData())
    if type(given) is not tuple or len(given) != 3:
        raise ValueError("a storage or tensor without its description")
    return size_of(given[0]), given[1], given[2]
