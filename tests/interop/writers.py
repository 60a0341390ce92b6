"""Writes PyTorch's files without PyTorch, byte by byte, and checks that one is refused."""

import collections
import io
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest

from fastnet.interop import load_torch

MAGIC = 0x1950A86A20F9469CFC6C


class Named:
    """Pickles as the global `module.name`, without that module being there."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Call:
    """Pickles as a call of a global."""

    def __init__(self, function, *args, state=None):
        self.function, self.args, self.state = function, args, state


class Storage:
    def __init__(self, key, kind, numel, view=()):
        self.identity = ("storage", Named("torch", kind), key, "cpu", numel, *view)


class Reference:
    """Pickles as a persistent id of PyTorch 0.1."""

    def __init__(self, key):
        self.identity = str(key)


class Pickler(pickle._Pickler):
    """Python's own pickler, with the kinds of objects above."""

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Named):
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, Call):
            self.save(obj.function)
            self.save(obj.args)
            self.write(pickle.REDUCE)
            if obj.state is not None:
                self.save(obj.state)
                self.write(pickle.BUILD)
        elif isinstance(obj, (Storage, Reference)):
            self.save(obj.identity)
            self.write(pickle.BINPERSID)
        elif type(obj) is collections.OrderedDict:
            self.save(Named("collections", "OrderedDict"))
            self.write(pickle.EMPTY_TUPLE + pickle.REDUCE)
            self._batch_setitems(obj.items())
        else:
            super().save(obj)


def dumps(obj, protocol=2):
    file = io.BytesIO()
    Pickler(file, protocol).dump(obj)
    return file.getvalue()


def tensor(storage, size, stride, offset=0, version=2):
    if version == 1:
        return Call(Named("torch._utils", "_rebuild_tensor"), storage, offset, size, stride)
    hooks = Call(Named("collections", "OrderedDict"))
    return Call(Named("torch._utils", "_rebuild_tensor_v2"), storage, offset, size, stride, False, hooks)


def write_zip(path, obj, records, order=b"little", compression=zipfile.ZIP_STORED, extra=None, protocol=2):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("model/data.pkl", obj if isinstance(obj, bytes) else dumps(obj, protocol))
        if order:
            archive.writestr("model/byteorder", order)
        for key, data in records.items():
            archive.writestr(f"model/data/{key}", data)
        for name, data in (extra or {}).items():
            archive.writestr(name, data)
    return path


def write_legacy(path, obj, storages, little=True, keys=None):
    system = {"protocol_version": 1001, "little_endian": little, "type_sizes": {"int": 4}}
    data = b"".join(dumps(part) for part in (MAGIC, 1001, system, obj, keys or list(storages)))
    for numel, numbers in storages.values():
        data += struct.pack("<q" if little else ">q", numel) + numbers
    path.write_bytes(data)
    return path


WEIGHT = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
BIAS = np.array([1.5, -2.0])


def state(prefix="", version=2, keys=("0", "1")):
    result = collections.OrderedDict()
    result[f"{prefix}0.weight"] = tensor(Storage(keys[0], "FloatStorage", 24), (2, 3, 4), (12, 4, 1), version=version)
    result[f"{prefix}0.bias"] = tensor(Storage(keys[1], "DoubleStorage", 2), (2,), (1,), version=version)
    return result


RECORDS = {"0": WEIGHT.tobytes(), "1": BIAS.tobytes()}


def write_tar(path, obj, storages, views, tensors):
    """As PyTorch 0.1: storages (key, class, array), views (key, key of the whole, offset, size) and tensors (key,
    storage's key, size, stride, offset); `obj` refers to them by `Reference`."""
    counted = [dumps(len(storages))]
    for key, kind, array in storages:
        counted += [dumps((key, "cpu", Named("torch", kind))), struct.pack("<q", len(array)), array.tobytes()]
    described = [dumps(len(tensors))]
    for key, storage, size, stride, offset in tensors:
        described += [dumps((key, storage, Named("torch", "FloatTensor"))), struct.pack("<i4x", len(size))]
        described += [struct.pack(f"<{2 * len(size) + 1}q", *size, *stride, offset)]
    members = {
        "sys_info": dumps({"protocol_version": 1000, "little_endian": True}),
        "pickle": dumps(obj),
        "storages": b"".join([*counted, dumps(views)]),
        "tensors": b"".join(described),
    }
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def refused(path, message):
    """Check that `load_torch` refuses the file with a ValueError that begins with its path."""
    with pytest.raises(ValueError, match=message) as caught:
        load_torch(path)
    assert str(caught.value).startswith(str(path))
