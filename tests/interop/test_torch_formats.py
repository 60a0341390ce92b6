"""All formats of torch.save since 0.1, all dtypes, and pickle.dump; hostile files of these kinds."""

import collections
import io
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from interop.writers import (
    BIAS,
    RECORDS,
    WEIGHT,
    Call,
    Named,
    Reference,
    Storage,
    dumps,
    refused,
    state,
    tensor,
    write_legacy,
    write_tar,
    write_zip,
)

from fastnet.floats import FLOAT8, decode_float8
from fastnet.interop import load_torch

# -------------------------------------------------------------------- PyTorch 0.1: a tar archive

STORAGES = [(1, "FloatStorage", WEIGHT.ravel()), (2, "DoubleStorage", BIAS)]
VIEWS = [(3, 1, 4, 8)]
TENSORS = [(100, 1, (2, 3, 4), (12, 4, 1), 0), (101, 2, (2,), (1,), 0), (102, 3, (3, 2), (1, 3), 1)]
OBJECT = collections.OrderedDict([("w", Reference(100)), ("b", Reference(101)), ("v", Reference(102)), ("epoch", 3)])


def test_tar(tmp_path):
    arrays = load_torch(write_tar(tmp_path / "a.pt", OBJECT, STORAGES, VIEWS, TENSORS))
    assert list(arrays) == ["w", "b", "v"]
    np.testing.assert_array_equal(arrays["w"], WEIGHT)
    np.testing.assert_array_equal(arrays["b"], BIAS)
    np.testing.assert_array_equal(arrays["v"], WEIGHT.ravel()[5:11].reshape(2, 3).T)
    nested = {"epoch": 3, "model": OBJECT}
    assert list(load_torch(write_tar(tmp_path / "b.pt", nested, STORAGES, VIEWS, TENSORS))) == ["w", "b", "v"]


@pytest.mark.parametrize(
    "storages, views, tensors, message",
    [
        (STORAGES, [(3, 1, 20, 8)], TENSORS, "reaches beyond the one of which it is a part"),
        (STORAGES, [(3, 9, 4, 8)], TENSORS, "a damaged view of another"),
        (STORAGES, [(3, 1, -1, 8)], TENSORS, "negative, huge or not an integer"),
        (STORAGES, [3], TENSORS, "a damaged view of another"),
        (STORAGES, VIEWS, [(100, 1, (25,), (1,), 0)], "neither a tensor nor a storage"),
        (STORAGES, VIEWS, [(100, 9, (2,), (1,), 0)], "a tensor without a storage"),
        (STORAGES, VIEWS, [(100, 1, (-2,), (1,), 0)], "negative, huge or not an integer"),
        (STORAGES, VIEWS, [(100, 1, (1,) * 40, (1,) * 40, 0)], "damaged shape"),
        (STORAGES, VIEWS, [(100, 1, (25,), (1,), 0), *TENSORS[1:]], "reaches beyond its storage of 24 numbers"),
        (STORAGES, VIEWS, [*TENSORS[:2], (102, 3, (8,), (1,), 1)], "reaches beyond its storage of 8 numbers"),
        ([*STORAGES, STORAGES[0]], VIEWS, TENSORS, "not as large as the file says"),
        ([(1, "FancyStorage", BIAS)], VIEWS, TENSORS, "storages of type 'torch.FancyStorage'"),
    ],
)
def test_hostile_tar(tmp_path, storages, views, tensors, message):
    refused(write_tar(tmp_path / "a.pt", OBJECT, storages, views, tensors), message)


def test_other_tars(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("model.pth")
        archive.addfile(info, io.BytesIO(b""))
    refused(path, "no PyTorch weights: the tar archive has no member 'storages'; unpack it first")
    with tarfile.open(path, "w") as archive:
        for name in ("storages", "tensors", "pickle"):  # links may lead anywhere
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(info)
    refused(path, "no member 'storages'")
    good = write_tar(tmp_path / "good.pt", OBJECT, STORAGES, VIEWS, TENSORS).read_bytes()
    for length in range(512, len(good), 777):
        path.write_bytes(good[:length])
        try:
            load_torch(path)  # the end of a tar archive is padding
        except ValueError as error:
            assert str(path) in str(error)
    evil = Call(Named("os", "system"), "echo")
    refused(write_tar(tmp_path / "b.pt", {**OBJECT, "x": evil}, STORAGES, VIEWS, TENSORS), "calls 'os.system'")


# -------------------------------------------------------------------- before 1.6: a stream of pickles


def test_parts_of_storages(tmp_path):
    """PyTorch 0.2 to 0.3 wrote storages that are parts of others."""
    part = Storage("0", "FloatStorage", 24, view=(("x", 4, 8),))
    whole = Storage("0", "FloatStorage", 24)
    given = {"whole": tensor(whole, (24,), (1,)), "part": tensor(part, (3, 2), (1, 3), offset=1)}
    arrays = load_torch(write_legacy(tmp_path / "a.th", given, {"0": (24, WEIGHT.tobytes())}))
    np.testing.assert_array_equal(arrays["part"], WEIGHT.ravel()[5:11].reshape(2, 3).T)
    np.testing.assert_array_equal(arrays["whole"], WEIGHT.ravel())
    beyond = {"part": tensor(part, (8,), (1,), offset=1)}
    refused(write_legacy(tmp_path / "b.th", beyond, {"0": (24, WEIGHT.tobytes())}), "its storage of 8 numbers")


def test_a_file_of_python_2(tmp_path):
    """Its text is byte strings, and an ordered dict is a list of pairs."""

    def text(value):  # SHORT_BINSTRING
        return b"U" + bytes([len(value)]) + value.encode("latin-1")

    def storage(key, kind, numel):
        location = text("cuda:0")
        return (
            b"("
            + text("storage")
            + f"ctorch\n{kind}\n".encode()
            + text(key)
            + location
            + b"K"
            + bytes([numel])
            + b"NtQ"
        )

    def rebuilt(key, kind, numel, size, stride):
        numbers = b"".join(b"(" + b"".join(b"K" + bytes([n]) for n in sizes) + b"t" for sizes in (size, stride))
        return b"ctorch._utils\n_rebuild_tensor\n(" + storage(key, kind, numel) + b"K\x00" + numbers + b"tR"

    weight = rebuilt("7", "FloatStorage", 24, (2, 3, 4), (12, 4, 1))
    bias = rebuilt("8", "DoubleStorage", 2, (2,), (1,))
    pairs = b"](](" + text("0.weight") + weight + b"e](" + text("0.bias") + bias + b"ee"
    root = b"\x80\x02ccollections\nOrderedDict\n(" + pairs + b"tR}(S'_metadata'\n}ub."
    keys = b"\x80\x02](" + text("7") + text("8") + b"e."
    head = b"".join(dumps(part) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    blocks = struct.pack("<q", 24) + WEIGHT.tobytes() + struct.pack("<q", 2) + BIAS.tobytes()
    path = tmp_path / "a.pth"
    path.write_bytes(head + root + keys + blocks)
    arrays = load_torch(path)
    assert list(arrays) == ["0.weight", "0.bias"]
    np.testing.assert_array_equal(arrays["0.weight"], WEIGHT)
    np.testing.assert_array_equal(arrays["0.bias"], BIAS)


# -------------------------------------------------------------------- pickle.dump


def test_a_state_dict_that_pickle_wrote(tmp_path):
    def storage(kind, array):
        stream = write_legacy(tmp_path / "s", Storage("94", kind, array.size), {"94": (array.size, array.tobytes())})
        return Call(Named("torch.storage", "_load_from_bytes"), stream.read_bytes())

    given = collections.OrderedDict()
    given["0.weight"] = tensor(storage("FloatStorage", WEIGHT), (2, 3, 4), (12, 4, 1))
    given["0.bias"] = tensor(storage("DoubleStorage", BIAS), (2,), (1,))
    path = tmp_path / "a.pkl"
    for protocol in (2, 4):
        path.write_bytes(dumps(given, protocol))
        arrays = load_torch(path)
        np.testing.assert_array_equal(arrays["0.weight"], WEIGHT)
        np.testing.assert_array_equal(arrays["0.bias"], BIAS)
    inside = dumps(Call(Named("torch.storage", "_load_from_bytes"), b"x"))
    for stream in (b"", b"\x80\x02K\x01.", dumps([1]), inside, dumps(Call(Named("os", "system"), "echo"))):
        path.write_bytes(dumps({"a": tensor(Call(Named("torch.storage", "_load_from_bytes"), stream), (1,), (1,))}))
        refused(path, "a.pkl: ")


def test_records_without_checksums(tmp_path, monkeypatch):
    """torch.serialization.set_crc32_options(False) writes zeros."""
    with monkeypatch.context() as patch:
        patch.setattr(zipfile, "crc32", lambda data, start=0: 0)
        path = write_zip(tmp_path / "a.pt", state(), RECORDS)
    assert all(info.CRC == 0 for info in zipfile.ZipFile(path).infolist())
    np.testing.assert_array_equal(load_torch(path)["0.weight"], WEIGHT)
    good = write_zip(tmp_path / "b.pt", state(), RECORDS)
    data = good.read_bytes()
    at = data.index(WEIGHT.tobytes())
    good.write_bytes(data[: at + 5] + bytes([data[at + 5] ^ 1]) + data[at + 6 :])
    refused(good, "Bad CRC-32")


# -------------------------------------------------------------------- dtypes


def rebuilt_v3(key, size, count, dtype):
    storage = Storage(key, "UntypedStorage", size)
    hooks = Call(Named("collections", "OrderedDict"))
    return Call(
        Named("torch._utils", "_rebuild_tensor_v3"), storage, 0, (count,), (1,), False, hooks, Named("torch", dtype)
    )


@pytest.mark.parametrize("name", FLOAT8)
def test_float8(tmp_path, name):
    codes = np.arange(256, dtype=np.uint8)
    arrays = load_torch(write_zip(tmp_path / "a.pt", {"a": rebuilt_v3("0", 256, 256, name)}, {"0": codes.tobytes()}))
    np.testing.assert_array_equal(arrays["a"], decode_float8(codes, name))
    assert arrays["a"].dtype == np.float32 and not arrays["a"].flags.writeable


@pytest.mark.parametrize("name", ["uint16", "uint32", "uint64", "float32", "bfloat16", "complex64"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_storages_without_a_type(tmp_path, name, order):
    stored = np.arange(5).astype("u2" if name == "bfloat16" else name)
    data = stored.astype(stored.dtype.newbyteorder(order)).tobytes()
    given = {"a": rebuilt_v3("0", len(data), 5, name)}
    word = {"<": b"little", ">": b"big"}[order]
    array = load_torch(write_zip(tmp_path / "a.pt", given, {"0": data}, order=word))["a"]
    expected = (stored.astype(np.uint32) << 16).view(np.float32) if name == "bfloat16" else stored
    np.testing.assert_array_equal(array, expected)
    assert array.dtype.isnative


def test_untyped_storages_that_lie(tmp_path):
    path, data = tmp_path / "a.pt", {"0": bytes(16)}
    refused(write_zip(path, {"a": rebuilt_v3("0", 16, 5, "float32")}, data), "reaches beyond its storage of 4 numbers")
    refused(
        write_zip(path, {"a": rebuilt_v3("0", 32, 5, "float32")}, data), "should hold 32 numbers of 1 bytes, found 16"
    )
    refused(
        write_zip(path, {"a": rebuilt_v3("0", 16, 2, "float4_e2m1fn_x2")}, data),
        "'a' has dtype float4_e2m1fn_x2, which is not",
    )
    untyped = tensor(Storage("0", "UntypedStorage", 16), (2,), (1,))
    refused(write_zip(path, {"a": untyped}, data), "tensor 'a' has dtype unknown, which is not")
    beside = {"model": {"a": rebuilt_v3("0", 16, 4, "float32")}, "b": rebuilt_v3("0", 16, 2, "float4_e2m1fn_x2")}
    assert list(load_torch(write_zip(path, beside, data))) == ["a"]  # it costs only itself
    odd = {"a": rebuilt_v3("0", 15, 3, "float32")}
    assert load_torch(write_zip(path, odd, {"0": bytes(15)}))["a"].tolist() == [0, 0, 0]


# -------------------------------------------------------------------- bombs


def test_repeated_calls_do_not_multiply_memory(tmp_path):
    """A million references to a megabyte would be a terabyte, were each converted."""
    text = "a" * 1_000_000
    body = (
        b"\x80\x02]q\x00X"
        + struct.pack("<I", len(text))
        + text.encode()
        + b"q\x010c_codecs\nencode\nq\x02h\x01\x85q\x030("
    )
    path = write_zip(tmp_path / "a.pt", body + b"h\x02h\x03R" * 100_000 + b"l.", {})
    refused(path, "expected a state dict")
    pairs = [(str(i), i) for i in range(100_000)]
    body = pickle.dumps(pairs, 2)[:-1] + b"\x85q\xf0ccollections\nOrderedDict\nq\xf1("
    refused(write_zip(tmp_path / "b.pt", body + b"h\xf1h\xf0R" * 100_000 + b"l.", {}), "expected a state dict")


def test_views_do_not_multiply_memory(tmp_path):
    """A thousand bfloat16 tensors of one storage are decoded once."""
    count = 1_000_000
    storage = Storage("0", "BFloat16Storage", count)
    given = {str(i): tensor(storage, (count,), (1,)) for i in range(1000)}
    arrays = load_torch(write_zip(tmp_path / "a.pt", given, {"0": bytes(2 * count)}))
    assert all(np.shares_memory(arrays["0"], array) for array in arrays.values())


def test_long_keys_take_no_time(tmp_path):
    """Integers that are hashed in full each time, or all to the same number."""
    long = b"\x8b" + struct.pack("<i", 100_000) + b"\x01" * 100_000
    refused(
        write_zip(tmp_path / "a.pt", b"\x80\x02}" + long + b"q\x000(" + b"h\x00N" * 100_000 + b"u.", {}),
        "no state dict",
    )
    same = b"".join(pickle.dumps(i * (2**61 - 1), 2)[2:-1] + b"N" for i in range(1, 50_000))
    refused(write_zip(tmp_path / "b.pt", b"\x80\x02}(" + same + b"u.", {}), "found no state dict")


def test_torchscript_is_named_whatever_its_compression(tmp_path):
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path = tmp_path / "s.pt"
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr("s/data.pkl", b"\x80\x02}.")
            archive.writestr("s/constants.pkl", b"\x80\x02).")
            archive.writestr("s/code/__torch__.py", "x" * 99)
        refused(path, r"a TorchScript program, which is code: in PyTorch, torch\.save\(torch\.jit\.load\(path\)")
    refused(write_zip(tmp_path / "b.pt", state(), RECORDS, compression=zipfile.ZIP_DEFLATED), "compressed records")
