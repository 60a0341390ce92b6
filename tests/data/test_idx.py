"""idx files and MNIST: good, damaged, hostile."""

import gzip
import struct

import numpy as np
import pytest

from fastnet.data import Standardize, mnist, read_idx


def idx(array, code=0x08, shape=None):
    shape = array.shape if shape is None else shape
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()


def write_mnist(folder, zipped=False, **changes):
    rng = np.random.default_rng(0)
    for part, N in (("train", 20), ("t10k", 10)):
        for name, array in (
            ("images-idx3", rng.integers(0, 256, (N, 28, 28), dtype=np.uint8)),
            ("labels-idx1", np.arange(N, dtype=np.uint8) % 10),
        ):
            content = changes.get(f"{part}-{name}", idx(array))
            file = folder / f"{part}-{name}-ubyte{'.gz' if zipped else ''}"
            file.write_bytes(gzip.compress(content) if zipped else content)


@pytest.mark.parametrize("zipped", [False, True])
def test_mnist(tmp_path, zipped):
    write_mnist(tmp_path, zipped)
    data = mnist(tmp_path)
    assert data.X_train.shape == (20, 1, 28, 28) and data.X_test.shape == (10, 1, 28, 28)
    assert data.X_train.dtype == np.uint8 and data.y_test.tolist() == list(range(10))
    assert mnist(tmp_path, "fashion").classes[9] == "Ankle boot"


@pytest.mark.parametrize("code, dtype", [(0x09, "i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8")])
def test_idx_types(tmp_path, code, dtype):
    values = np.array([[1, -2, 3], [4, 5, -6]], dtype)
    (tmp_path / "a").write_bytes(idx(values, code))
    array = read_idx(tmp_path / "a")
    assert array.dtype.isnative and array.dtype == values.dtype.newbyteorder("=")
    np.testing.assert_array_equal(array, values)


IMAGES = np.zeros((3, 4, 4), np.uint8)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "starts with nothing"),
        (b"\0\0\x08", "not an idx file"),
        (b"\x89PNG\r\n\x1a\n", "not an idx file, it starts with 89504e47"),
        (b"\0\0\x07\x01" + b"\0" * 20, "not an idx file"),
        (b"\0\0\x08\0", "not an idx file"),
        (b"\0\0\x08\x03\0\0", "within the header"),
        (idx(IMAGES)[:-1], r"declares shape \(3, 4, 4\), 48 bytes of data, but is truncated \(47 read\)"),
        (idx(IMAGES) + b"x", "longer"),
        (idx(IMAGES, shape=(2**32 - 1,) * 3), "more than the"),
        (idx(IMAGES, shape=(2**31, 1, 1)), "truncated"),
        (bytes([0, 0, 8, 255]) + b"\xff" * 4 * 255, "more than the"),
    ],
)
def test_damaged_idx(tmp_path, content, message, zipped):
    (tmp_path / "a").write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(ValueError, match=message):
        read_idx(tmp_path / "a")


def test_damaged_gzip(tmp_path):
    content = bytearray(gzip.compress(idx(np.random.default_rng(0).integers(0, 255, (9, 9, 9)).astype(np.uint8))))
    (tmp_path / "short").write_bytes(content[:-20])
    content[40] ^= 0xFF
    (tmp_path / "bent").write_bytes(content)
    for name in ("short", "bent"):
        with pytest.raises(ValueError, match="gzip|declares"):
            read_idx(tmp_path / name)


def test_mnist_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="train-images-idx3-ubyte.gz.*Yann LeCun"):
        mnist(tmp_path)
    with pytest.raises(FileNotFoundError, match="Zalando"):
        mnist(tmp_path, "fashion")
    with pytest.raises(ValueError, match="kind"):
        mnist(tmp_path, "kuzushiji")
    write_mnist(tmp_path, **{"t10k-labels-idx1": idx(np.arange(9, dtype=np.uint8))})
    with pytest.raises(ValueError, match="10 images but 9 labels"):
        mnist(tmp_path)
    write_mnist(tmp_path, **{"train-images-idx3": idx(np.zeros(20, np.uint8))})
    with pytest.raises(ValueError, match="expected uint8 with 3 axes"):
        mnist(tmp_path)


@pytest.mark.data
def test_real_mnist(data_folder):
    if not (data_folder / "mnist").is_dir():
        pytest.skip("MNIST is not here")
    data = mnist(data_folder / "mnist")
    assert data.X_train.shape == (60000, 1, 28, 28) and data.X_test.shape == (10000, 1, 28, 28)
    assert data.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    prep = Standardize.fit(data.X_train)
    assert prep.mean[0] == pytest.approx(0.1307, abs=1e-4) and prep.std[0] == pytest.approx(0.3081, abs=1e-4)
