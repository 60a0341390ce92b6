"""PyTorch's tensors as NumPy arrays: what its pickles say about them, with all bounds checked."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from fastnet.floats import FLOAT8, decode_bfloat16, decode_float8
from fastnet.pickles import Data, Global, Opaque

__all__ = ["Arrays", "Records", "Storage", "Tensor", "TorchData", "size_of"]

# PyTorch's name of a dtype and of its class of storages, and the dtype of the stored numbers
_FORMATS = [
    ("float64", "DoubleStorage", "f8"),
    ("float32", "FloatStorage", "f4"),
    ("float16", "HalfStorage", "f2"),
    ("bfloat16", "BFloat16Storage", "u2"),
    ("int64", "LongStorage", "i8"),
    ("int32", "IntStorage", "i4"),
    ("int16", "ShortStorage", "i2"),
    ("int8", "CharStorage", "i1"),
    ("uint8", "ByteStorage", "u1"),
    ("bool", "BoolStorage", "?"),
    ("complex64", "ComplexFloatStorage", "c8"),
    ("complex128", "ComplexDoubleStorage", "c16"),
    ("qint8", "QInt8Storage", "i1"),  # of quantised tensors, which are not read, but may stand beside others
    ("quint8", "QUInt8Storage", "u1"),
    ("qint32", "QInt32Storage", "i4"),
    ("quint4x2", "QUInt4x2Storage", "u1"),
    ("uint16", "", "u2"),
    ("uint32", "", "u4"),
    ("uint64", "", "u8"),
    *((name, "", "u1") for name in FLOAT8),
]
_STORED = {name: np.dtype(stored) for name, _, stored in _FORMATS}
_OF_STORAGE = {storage: name for name, storage, _ in _FORMATS if storage}
_UNTYPED = "UntypedStorage"
_REBUILD = "torch._utils._rebuild_"


class Records(Protocol):
    """The bytes of storages, and their byte order, "<" or ">"."""

    order: Literal["<", ">"]

    def read(self, key: str) -> bytes | memoryview | None:
        """The bytes of a storage; None if there is none with this key."""


class Storage(NamedTuple):
    """A file's block of `whole` bytes, or the part with `size` bytes that begins at `start`.

    `dtype` is PyTorch's name of the dtype, or "" if each tensor has its own.
    """

    key: str
    dtype: str
    whole: int
    start: int
    size: int

    @property
    def itemsize(self) -> int:
        return _STORED[self.dtype].itemsize if self.dtype else 1

    def part(self, offset: Any, numel: Any) -> Storage:
        """The storage of `numel` numbers that begin at number `offset` of this one."""
        start, size = size_of(offset) * self.itemsize, size_of(numel) * self.itemsize
        if start + size > self.size:
            raise ValueError("a storage that reaches beyond the one of which it is a part")
        return self._replace(start=self.start + start, size=size)


class Tensor:
    """A tensor as the file describes it; offset and strides count elements."""

    def __init__(self, storage: Any, offset: Any, size: Any, stride: Any, dtype: str = "") -> None:
        if type(storage) is not Storage:
            raise ValueError("a tensor without a storage")
        self.storage, self.offset, self.dtype = storage, size_of(offset), dtype or storage.dtype
        if type(size) is not tuple or type(stride) is not tuple or len(size) != len(stride) or len(size) > 32:
            raise ValueError("a tensor with a damaged shape")
        self.size, self.stride = tuple(map(size_of, size)), tuple(map(size_of, stride))


class Arrays:
    """Makes tensors into arrays, which are views of the bytes read or, for bfloat16 and the like, of their values."""

    def __init__(self, records: Records) -> None:
        self.records = records
        self.flat: dict[tuple[str, str], np.ndarray] = {}

    def array(self, name: str, tensor: Tensor) -> np.ndarray:
        """The tensor as a read-only array; bfloat16 and 8-bit formats become float32.

        Raises
        ------
        ValueError
            It reaches beyond its storage, or the storage is not as large as the file says.
        """
        storage, dtype, size = tensor.storage, tensor.dtype, tensor.size
        if dtype not in _STORED:
            raise ValueError(f"tensor {name[:100]!r} has dtype {dtype[:100] or 'unknown'}, which is not supported")
        itemsize, count = _STORED[dtype].itemsize, math.prod(size)
        if count == 0:
            return np.zeros(size, _decode(np.empty(0, _STORED[dtype]), dtype).dtype)
        last = tensor.offset + sum((n - 1) * step for n, step in zip(size, tensor.stride, strict=True))
        held = storage.size // itemsize
        if last >= held or count > held:
            raise ValueError(f"tensor {name[:100]!r} of shape {size} reaches beyond its storage of {held} numbers")
        flat = self._flat(storage, dtype)
        strides = [step * flat.itemsize for step in tensor.stride]
        start = storage.start // itemsize + tensor.offset
        return np.lib.stride_tricks.as_strided(flat[start:], size, strides, writeable=False)

    def _flat(self, storage: Storage, dtype: str) -> np.ndarray:
        """All numbers of the storage's block."""
        identity = storage.key, dtype
        if identity not in self.flat:
            record = self.records.read(storage.key)
            if record is None or len(record) != storage.whole:
                raise ValueError(
                    f"storage {storage.key[:50]!r} should hold {storage.whole // storage.itemsize} numbers of "
                    f"{storage.itemsize} bytes, found {'nothing' if record is None else f'{len(record)} bytes'}"
                )
            stored = _STORED[dtype]
            flat = np.frombuffer(record, stored.newbyteorder(self.records.order), len(record) // stored.itemsize)
            self.flat[identity] = _decode(flat.astype(stored, copy=False), dtype)
        return self.flat[identity]


def _decode(stored: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "bfloat16":
        return decode_bfloat16(stored)
    return decode_float8(stored, dtype) if dtype in FLOAT8 else stored


def size_of(value: Any) -> int:
    """A size, stride or offset of a file, checked; ValueError unless it is an integer from 0 to below 2^48."""
    if type(value) is not int or not 0 <= value < 2**48:
        raise ValueError("a size, stride or offset is negative, huge or not an integer")
    return value


class TorchData(Data):
    """The meanings of PyTorch's names: tensors, parameters, sizes, storages."""

    def call(self, name: str, args: tuple[Any, ...]) -> Any:
        if name == f"{_REBUILD}tensor" and len(args) == 4:
            return Tensor(*args)
        if name == f"{_REBUILD}tensor_v2" and len(args) >= 6:
            return Tensor(*args[:4])
        if name == f"{_REBUILD}tensor_v3" and len(args) >= 7:
            return Tensor(args[0], args[1], args[2], args[3], _name(args[6]))
        if name in (f"{_REBUILD}parameter", f"{_REBUILD}parameter_with_state") and args and type(args[0]) is Tensor:
            return args[0]
        if name == "torch.Size" and len(args) == 1 and type(args[0]) is tuple:
            return args[0]
        if name.startswith(_REBUILD):  # sparse, quantised, nested tensors: only an error if they are wanted
            return Opaque(name)
        return super().call(name, args)

    def persistent(self, identity: Any) -> Any:
        """("storage", type, key, location, numel[, view]), or ("module", type, file, source) before PyTorch 1.6."""
        if type(identity) is tuple and len(identity) > 1 and identity[0] == "module" and type(identity[1]) is Global:
            return identity[1]
        if type(identity) is not tuple or len(identity) not in (5, 6) or identity[0] != "storage":
            raise ValueError("a persistent id that is not a storage")
        kind, key, numel = identity[1], identity[2], size_of(identity[4])
        if type(kind) is not Global or type(key) is not str:
            raise ValueError("a storage without type or key")
        class_name = kind.name.rpartition(".")[2]
        if class_name not in _OF_STORAGE and class_name != _UNTYPED:
            raise ValueError(f"storages of type {kind.name[:100]!r} are not supported")
        dtype = _OF_STORAGE.get(class_name, "")
        size = numel * (_STORED[dtype].itemsize if dtype else 1)
        storage = Storage(key, dtype, size, 0, size)
        view = identity[5] if len(identity) == 6 else None
        if view is None:
            return storage
        if type(view) is not tuple or len(view) != 3:
            raise ValueError("a storage that is a damaged view of another")
        return storage.part(view[1], view[2])


def _name(given: Any) -> str:
    return given.name.removeprefix("torch.") if type(given) is Global else "unknown"
