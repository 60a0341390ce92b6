"""Files of arrays that other software writes: small floating-point formats, and files that are something else."""

import io
import json
import os
import struct
import tarfile
import zipfile

import numpy as np
import pytest

import fastnet
from fastnet import Linear, Sequential
from fastnet.floats import FLOAT8, decode_bfloat16, decode_float8
from fastnet.foreign import explain
from fastnet.interop import load_torch
from fastnet.storage import read_arrays


def value_of(code, exponent_bits, mantissa_bits, bias, special):
    """The number that an 8-bit code stands for, in Python's arithmetic."""
    sign = -1.0 if code & 0x80 else 1.0
    exponent, mantissa = (code & 0x7F) >> mantissa_bits, code & (2**mantissa_bits - 1)
    if special == "fnuz" and code == 0x80:
        return float("nan")
    if special == "fn" and code & 0x7F == 0x7F:
        return float("nan")
    if special == "ieee" and exponent == 2**exponent_bits - 1:
        return float("nan") if mantissa else sign * float("inf")
    if exponent == 0:
        return sign * mantissa * 2.0 ** (1 - bias - mantissa_bits)
    return sign * (1 + mantissa / 2**mantissa_bits) * 2.0 ** (exponent - bias)


@pytest.mark.parametrize("name", FLOAT8)
def test_all_codes_of_8_bits(name):
    decoded = decode_float8(np.arange(256, dtype=np.uint8), name)
    expected = [value_of(code, *FLOAT8[name]) for code in range(256)]
    assert decoded.dtype == np.float32
    np.testing.assert_array_equal(decoded, expected)
    zero = decoded == 0
    np.testing.assert_array_equal(np.signbit(decoded[zero]), np.signbit(np.array(expected)[zero]))


def test_published_extremes():
    """The largest and the smallest positive numbers of Micikevicius et al. 2022, table 1."""
    assert decode_float8(np.uint8([0x7E, 0x08, 0x01]), "float8_e4m3fn").tolist() == [448, 2**-6, 2**-9]
    assert decode_float8(np.uint8([0x7B, 0x04, 0x01]), "float8_e5m2").tolist() == [57344, 2**-14, 2**-16]


def test_bfloat16():
    """Numbers that bfloat16 represents exactly, infinities and NaN."""
    numbers = np.array([0, -0.0, 1, -1.5, 3.140625, 2.0**-133, 1e38, np.inf, -np.inf, np.nan], np.float32)
    codes = (numbers.view(np.uint32) >> 16).astype(np.uint16)
    decoded = decode_bfloat16(codes)
    exact = np.ones(10, bool)
    exact[6] = False  # 1e38 is cut to 8 bits
    np.testing.assert_array_equal(decoded[exact], numbers[exact])
    assert abs(decoded[6] / 1e38 - 1) < 2**-7


# -------------------------------------------------------------------- safetensors


def write_safetensors(path, tensors, header=None):
    """`tensors` maps names to (dtype, shape, bytes)."""
    head, blob = {"__metadata__": {"format": "pt"}}, b""
    for name, (dtype, shape, data) in tensors.items():
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(blob), len(blob) + len(data)]}
        blob += data
    text = json.dumps(head if header is None else header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + blob)
    return path


def test_dtypes_of_safetensors(tmp_path):
    pytest.importorskip("safetensors")
    codes = bytes(range(256))
    numbers = np.arange(6).reshape(2, 3)
    tensors = {
        "bf16": ("BF16", [2], np.array([0x3FC0, 0xC040], "<u2").tobytes()),
        "e4m3": ("F8_E4M3", [16, 16], codes),
        "e5m2": ("F8_E5M2", [256], codes),
        "scalar": ("BF16", [], np.array([0x4000], "<u2").tobytes()),
        "empty": ("BF16", [0, 3], b""),
        "bool": ("BOOL", [2], b"\x00\x01"),
    }
    kinds = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8"}
    kinds |= {"U8": "u1", "U16": "<u2", "U32": "<u4", "U64": "<u8"}
    tensors |= {kind: (kind, [2, 3], numbers.astype(dtype).tobytes()) for kind, dtype in kinds.items()}
    arrays = read_arrays(write_safetensors(tmp_path / "a.safetensors", tensors))
    assert list(sorted(arrays)) == sorted(tensors)
    assert arrays["bf16"].tolist() == [1.5, -3.0] and arrays["bf16"].dtype == np.float32
    assert arrays["scalar"].shape == () and arrays["scalar"] == 2 and arrays["empty"].shape == (0, 3)
    assert arrays["bool"].tolist() == [False, True] and arrays["bool"].dtype == bool
    np.testing.assert_array_equal(
        arrays["e4m3"].ravel(), decode_float8(np.arange(256, dtype=np.uint8), "float8_e4m3fn")
    )
    np.testing.assert_array_equal(arrays["e5m2"], decode_float8(np.arange(256, dtype=np.uint8), "float8_e5m2"))
    for kind, dtype in kinds.items():
        np.testing.assert_array_equal(arrays[kind], numbers)
        assert arrays[kind].dtype == np.dtype(dtype)
    with pytest.raises(ValueError, match="a has dtype F4, which is not supported: convert it to F32"):
        read_arrays(write_safetensors(tmp_path / "b.safetensors", {"a": ("F4", [2], b"\x00")}))


@pytest.mark.parametrize("dtype, exact", [("BF16", False), ("F16", False), ("F64", True)])
def test_a_model_loads_other_dtypes(tmp_path, dtype, exact):
    pytest.importorskip("safetensors")
    one, two = Sequential(Linear(3)), Sequential(Linear(3))
    one.build((4,), seed=1)
    two.build((4,), seed=2)
    encode = {
        "BF16": lambda a: (a.view(np.uint32) >> 16).astype("<u2"),
        "F16": lambda a: a.astype("<f2"),
        "F64": lambda a: a.astype("<f8"),
    }[dtype]
    tensors = {name: (dtype, list(a.shape), encode(a).tobytes()) for name, a in one.state_dict().items()}
    two.load(write_safetensors(tmp_path / "a.safetensors", tensors))
    for name, value in two.state_dict().items():
        np.testing.assert_allclose(value, one.state_dict()[name], rtol=0 if exact else 2**-7, atol=1e-7)


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 4]}},  # 8 bytes declared, 4 there
        {"a": {"dtype": "BF16", "shape": [2**40, 2**40], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F8_E4M3", "shape": [4194305, 4194305, 211106198978564], "data_offsets": [0, 4]}},
        dict.fromkeys("ab", {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}),  # both own the same bytes
        {"a": {"dtype": "BF16", "shape": [-2], "data_offsets": [0, 4]}},
        {"a": {"dtype": "BF16", "shape": [2], "data_offsets": [4, 8]}},
        {"a": {"dtype": "??", "shape": [2], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [1]}},
        [],
    ],
)  # fmt: skip
def test_hostile_headers(tmp_path, header):
    pytest.importorskip("safetensors")
    path = tmp_path / "a.safetensors"
    write_safetensors(path, {"a": ("BF16", [2], b"1234")}, header)
    with pytest.raises(ValueError, match=r"a.safetensors is damaged or not a .safetensors file"):
        read_arrays(path)


# -------------------------------------------------------------------- files of other software


def zipped(*names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, "x" * 99)
    return file.getvalue()


def tarred():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("weights"), io.BytesIO(b""))
    return file.getvalue()


def npy():
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


FOREIGN = [
    # name, content, words
    ("a.h5", b"\x89HDF\r\n\x1a\n" + bytes(100), r"an HDF5 file.*numpy\.savez.*\(R, S, C, K\) become \(K, C, R, S\)"),
    ("a.keras", zipped("metadata.json", "config.json", "model.weights.h5"), "a Keras model"),
    ("a.onnx", b"\x08\x07\x12\x07pytorch\x1a\x032.0" + bytes(50), "an ONNX model.*initializer"),
    ("renamed.bin", b"\x08\x0a:\x10" + bytes(20), "an ONNX model"),
    ("odd.onnx", b"\x12\x07pytorch" + bytes(20), "an ONNX model"),
    (
        "a.pt",
        zipped("a/data.pkl", "a/constants.pkl", "a/code/__torch__.py"),
        r"a TorchScript program.*torch\.jit\.load",
    ),
    ("a.ptl", zipped("a/bytecode.pkl", "a/code/__torch__.py"), "a TorchScript program"),
    ("a.pt2", zipped("a/archive_format", "a/data/weights/weight_0"), r"a torch\.export program"),
    ("a.pth", zipped("archive/data.pkl", "archive/data/0"), "a PyTorch file: .*load_torch"),
    ("old.pth", b"\x80\x02\x8a\x0a" + bytes(30), "a Python pickle: .*load_torch"),
    ("a.mlpackage", zipped("Manifest.json", "Data/weights.bin"), "a Core ML model"),
    ("a.tflite", b"\x1c\x00\x00\x00TFL3" + bytes(30), "a TensorFlow Lite model"),
    ("frozen.pb", b"\n\x0a\x0aplaceholder", "a TensorFlow graph"),
    ("model.ckpt.data-00000-of-00001", b"\x01\x02\x03\x04\x05", "part of a TensorFlow checkpoint"),
    ("a.t7", struct.pack("<ii", 4, 1) + bytes(30), r"Lua Torch \(\.t7\)"),
    ("a.gguf", b"GGUF\x03\x00\x00\x00", "a GGUF file"),
    ("a.mat", b"MATLAB 5.0 MAT-file, Platform: GLNXA64", "a MATLAB file.*loadmat"),
    ("lfs.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "Git LFS.*git lfs pull"),
    ("login.pth", b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", "a web page.*download the file itself"),
    ("denied.pth", b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "a web page or XML"),
    ("a.pth.gz", b"\x1f\x8b\x08\x00" + bytes(20), "compressed with gzip: unpack it"),
    ("a.tar", tarred(), "a tar archive"),
    ("release.zip", zipped("weights/model.pth", "README.md"), "a zip archive with a file in it: unpack it"),
    ("a.npy", npy(), r"one NumPy array \(\.npy\)"),
    ("a.weights", zipped("0.weight.npy", "0.bias.npy"), r"an \.npz file: read it with model\.load"),
    ("a.st", struct.pack("<Q", 2) + b'{"a":{}}', r"a \.safetensors file: read it with model\.load"),
    ("cat.png", b"\x89PNG\r\n\x1a\n" + bytes(20), "a picture"),
    ("model.json", b'{"class_name": "Sequential"}', "a JSON file: give the file with the weights"),
    ("half.zip", zipped("a.txt")[:60], "a zip archive without its end: an unfinished download"),
    ("empty.pt", b"", "it is empty"),
    ("zeros.pt", bytes(1000), "all zeros: an unfinished download"),
]


@pytest.mark.parametrize("name, content, words", FOREIGN, ids=[name for name, *_ in FOREIGN])
def test_files_of_other_software_are_named(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words) as caught:
        read_arrays(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
    for suffix in (".safetensors", ".npz"):  # under a name that promises something else
        renamed = tmp_path / f"renamed{suffix}"
        renamed.write_bytes(content)
        if "npz" not in words and not name.endswith((".onnx", ".pb", ".json")) and "checkpoint" not in words:
            if suffix == ".safetensors":
                pytest.importorskip("safetensors")
            if "safetensors" not in words:
                with pytest.raises(ValueError, match=words):
                    read_arrays(renamed)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes as POSIX has them")
def test_a_pipe_is_not_waited_for(tmp_path):
    for name in ("a.npz", "a.safetensors", "a.pt"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(ValueError, match=f"{name}: it is not a regular file"):
            read_arrays(tmp_path / name)
        with pytest.raises(FileNotFoundError, match=f"no file .*{name}; it is not a regular file"):
            load_torch(tmp_path / name)


def test_folders_are_named(tmp_path):
    with pytest.raises(ValueError, match="it is a folder: give the file with the weights"):
        read_arrays(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ValueError, match="a TensorFlow SavedModel"):
        read_arrays(tmp_path)


def test_unknown_files_are_not_guessed(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("hello, this is text")
    assert explain(path) == ""
    with pytest.raises(ValueError, match=r"notes.txt: the file name must end in .safetensors or .npz"):
        read_arrays(path)


@pytest.mark.parametrize("name, content, words", FOREIGN[:6], ids=[name for name, *_ in FOREIGN[:6]])
def test_fastnet_load_names_them(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} is not a model of fastnet .*{words}"):
        fastnet.load(tmp_path / name)
