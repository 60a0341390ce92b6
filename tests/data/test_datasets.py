"""Files of data sets: good ones, damaged ones and hostile ones."""

import gzip
import io
import os
import pickle
import struct
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fastnet.data import Standardize, cifar10, cifar100, digits, image_folder, mnist, npz, read_idx, read_npz
from fastnet.data.pickles import load_plain_pickle

SHARED = Path(os.environ.get("FASTNET_TEST_DATA") or Path(__file__).parents[2] / ".." / "shared" / "data")


# ---------------------------------------------------------------- digits


def test_digits():
    pytest.importorskip("sklearn")
    data = digits()
    assert data.image_shape == (1, 8, 8) and data.X_train.dtype == np.float32
    assert len(data.y_train) + len(data.y_test) == 1797 and len(data.classes) == 10
    assert data.X_train.min() == 0 and data.X_train.max() == 1
    assert (np.bincount(data.y_test) > 30).all()
    np.testing.assert_array_equal(data.X_test, digits().X_test)


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"fastnet-cnn\[datasets\]"):
        digits()


# ---------------------------------------------------------------- idx


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


@pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason="MNIST is not here")
def test_real_mnist():
    data = mnist(SHARED / "mnist")
    assert data.X_train.shape == (60000, 1, 28, 28) and data.X_test.shape == (10000, 1, 28, 28)
    assert data.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    prep = Standardize.fit(data.X_train)
    assert prep.mean[0] == pytest.approx(0.1307, abs=1e-4) and prep.std[0] == pytest.approx(0.3081, abs=1e-4)


# ---------------------------------------------------------------- CIFAR


def batch(N=6):
    rng = np.random.default_rng(N)
    return {
        b"batch_label": b"testing",
        b"labels": list(range(N)),
        b"data": rng.integers(0, 256, (N, 3072), dtype=np.uint8),
        b"filenames": [b"a.png"] * N,
    }


def write_cifar10(folder, protocol=2, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        content = files.get(name, batch())
        (folder / name).write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol))
    names = {b"label_names": [f"class{i}".encode() for i in range(10)]}
    (folder / "batches.meta").write_bytes(files.get("batches.meta", pickle.dumps(names, protocol)))


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_cifar10(tmp_path, protocol):
    folder = tmp_path / "cifar-10-batches-py"
    write_cifar10(folder, protocol)
    for path in (folder, tmp_path):
        data = cifar10(path)
        assert data.X_train.shape == (30, 3, 32, 32) and data.X_test.shape == (6, 3, 32, 32)
        np.testing.assert_array_equal(data.X_test.reshape(6, -1), batch()[b"data"])
        assert data.y_test.tolist() == list(range(6)) and data.classes[3] == "class3"


def test_cifar10_archive(tmp_path):
    write_cifar10(tmp_path / "cifar-10-batches-py")
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "cifar-10-batches-py", "cifar-10-batches-py")
    for file in (tmp_path / "cifar-10-batches-py").iterdir():
        file.unlink()
    (tmp_path / "cifar-10-batches-py").rmdir()
    for path in (tmp_path, tmp_path / "cifar-10-python.tar.gz"):
        assert len(cifar10(path).y_train) == 30
    content = (tmp_path / "cifar-10-python.tar.gz").read_bytes()
    (tmp_path / "half.tar.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises((ValueError, FileNotFoundError), match="half.tar.gz"):
        cifar10(tmp_path / "half.tar.gz")


def test_cifar100(tmp_path):
    for name in ("train", "test"):
        content = {b"fine_labels": [7, 99], b"coarse_labels": [1, 19], b"data": batch(2)[b"data"]}
        (tmp_path / name).write_bytes(pickle.dumps(content, 2))
    names = {b"fine_label_names": [b"f"] * 100, b"coarse_label_names": [b"c"] * 20}
    (tmp_path / "meta").write_bytes(pickle.dumps(names, 2))
    assert cifar100(tmp_path).y_train.tolist() == [7, 99]
    coarse = cifar100(tmp_path, coarse=True)
    assert coarse.y_test.tolist() == [1, 19] and len(coarse.classes) == 20


class Evil:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


class EvilArray:
    def __reduce__(self):
        return np.lib.format.open_memmap, ("evil", "w+")


def test_hostile_pickles_run_nothing(tmp_path):
    evil = pickle.dumps({b"data": Evil(tmp_path / "ran"), b"labels": [1]}, 2)
    with pytest.raises(ValueError, match="(posix|nt).system, which is not data"):
        load_plain_pickle(evil, "evil")
    write_cifar10(tmp_path / "c", test_batch=evil)
    with pytest.raises(ValueError, match="test_batch: not accepted"):
        cifar10(tmp_path / "c")
    assert not (tmp_path / "ran").exists()
    pickle.loads(evil)
    assert (tmp_path / "ran").exists()  # the trap was real


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(EvilArray()),
        b"cbuiltins\neval\n(S'1+1'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy.core.multiarray\nscalar\n.",
        b"c_codecs\nencode\n(S'x'\nS'zlib'\ntR.",
        pickle.dumps(np.array([object()])),
        pickle.dumps(np.array(["text"])),
        pickle.dumps(np.zeros(3, "i4,f4")),
        pickle.dumps({1, 2}),
        pickle.dumps(batch(), 2)[:-100],
        b"\x80\x02]r\xff\xff\xff\x7f.",  # a memo of 2**31 entries
        b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f.",  # a byte string of 2**63 bytes
        b"\x80\x02X\xff\xff\xff\x7f.",
        b"",
        b".",
        b"\x80\x02" + b"(" * 50 + b".",
        b"P1\n.",
    ],
)
def test_not_plain(content):
    with pytest.raises(ValueError, match="here: not accepted as a pickle of plain arrays"):
        load_plain_pickle(content, "here")


def test_array_bigger_than_its_bytes():
    content = pickle.dumps(np.zeros((4, 4), np.uint8), 2).replace(b"K\x04K\x04", b"K\x7fK\x7f")
    with pytest.raises(ValueError, match="not accepted"):
        load_plain_pickle(content, "here")


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("array", [np.arange(6, dtype="<i8"), np.arange(6, dtype=">f4"), np.eye(3, 2, order="F")])
def test_plain_arrays_survive(array, protocol):
    copy = load_plain_pickle(pickle.dumps({"a": array, "b": [1, 2.5, (None, True, "x")]}, protocol), "here")
    np.testing.assert_array_equal(copy["a"], array)
    assert copy["b"][:2] == [1, 2.5]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({b"data": np.zeros((6, 3071), np.uint8)}, r"\(N, 3072\), got uint8 \(6, 3071\)"),
        ({b"data": np.zeros((6, 3072), np.float32)}, "float32"),
        ({b"data": [1, 2]}, "list of 2"),
        ({b"labels": [1]}, "list of 6 class numbers"),
        ({b"labels": None}, "None"),
        ({b"labels": [99] * 6}, "labels reach 99"),
    ],
)
def test_strange_batches(tmp_path, changes, message):
    write_cifar10(tmp_path, test_batch=batch() | changes)
    with pytest.raises(ValueError, match=message):
        cifar10(tmp_path)


def test_missing_cifar_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="data_batch_1.*cifar-10-python.tar.gz.*Krizhevsky"):
        cifar10(tmp_path)
    with pytest.raises(FileNotFoundError, match="cifar-100-python.tar.gz"):
        cifar100(tmp_path / "nothing")


# ---------------------------------------------------------------- npz


def test_npz_with_parts(tmp_path):
    X, y = np.zeros((5, 28, 28), np.uint8), np.arange(5)
    np.savez(tmp_path / "a.npz", x_train=X, y_train=y, X_Test=X[:2], y_test=y[:2])
    data = npz(tmp_path / "a.npz")
    assert data.X_train.shape == (5, 1, 28, 28) and len(data.classes) == 5 and data.name == "a"


def test_npz_draws_a_test_part_and_finds_channels(tmp_path):
    X, y = np.arange(10 * 8 * 6 * 3).reshape(10, 8, 6, 3), np.arange(10) % 2
    np.savez_compressed(tmp_path / "a.npz", X=X, y=y)
    data = npz(tmp_path / "a.npz", test=4, classes=("cat", "dog"))
    assert data.X_train.shape == (6, 3, 8, 6) and data.X_test.shape == (4, 3, 8, 6)
    assert data.X_train.dtype == np.float32 and data.classes == ("cat", "dog")
    assert npz(tmp_path / "a.npz", channels_last=False).image_shape == (8, 6, 3)


def damage(path, kind):
    content = bytearray(path.read_bytes())
    if kind == "truncated":
        content = content[: len(content) // 2]
    elif kind == "bent":
        content[300] ^= 0xFF
    elif kind == "foreign":
        content = b"hello"
    elif kind == "empty":
        content = b""
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["truncated", "bent", "foreign", "empty"])
def test_damaged_npz(tmp_path, kind):
    path = tmp_path / "a.npz"
    np.savez(path, X=np.zeros((9, 1, 8, 8), np.uint8), y=np.zeros(9, int))
    damage(path, kind)
    with pytest.raises(ValueError, match="a.npz"):
        read_npz(path)


def test_npz_with_a_huge_declaration(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (2**50,)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("X.npy", header.getvalue() + b"\0" * 64)
    with pytest.raises(ValueError, match="a.npz"):
        read_npz(tmp_path / "a.npz")


def test_npz_with_objects_runs_nothing(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.array([Evil(tmp_path / "ran")], object), y=np.zeros(1, int))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        npz(tmp_path / "a.npz")
    assert not (tmp_path / "ran").exists()


def test_npz_errors(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros(3))
    with pytest.raises(ValueError, match=r"X_train, y_train, X_test, y_test, or X and y; it has \['images'\]"):
        npz(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", X=np.zeros((4, 2)), y=np.zeros(4, int))
    with pytest.raises(ValueError, match=r"got \(3, 2\)"):
        npz(tmp_path / "b.npz", test=1)
    with pytest.raises(FileNotFoundError):
        npz(tmp_path / "c.npz")


@pytest.mark.skipif(not (SHARED / "cifar10" / "cifar10_png4000.npz").is_file(), reason="CIFAR-10 is not here")
def test_real_npz():
    data = npz(SHARED / "cifar10" / "cifar10_png4000.npz", test=1000)
    assert data.X_train.shape == (3000, 3, 32, 32) and len(data.classes) == 10


# ---------------------------------------------------------------- image folders


def write_images(folder, sizes=((6, 5), (6, 5)), classes=("cat", "dog")):
    image = pytest.importorskip("PIL.Image")
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i, (height, width) in enumerate(sizes):
            pixels = np.full((height, width, 3), (10 * number, 100 + i, 200), np.uint8)
            image.fromarray(pixels).save(folder / name / f"{i}.png")
    return image


def test_image_folder(tmp_path):
    write_images(tmp_path)
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden").mkdir()
    data = image_folder(tmp_path, test=2)
    assert data.classes == ("cat", "dog") and data.image_shape == (3, 6, 5)
    for X, y in ((data.X_train, data.y_train), (data.X_test, data.y_test)):
        assert X.dtype == np.uint8 and sorted(y) == [0, 1]
        np.testing.assert_array_equal(X[:, 0, 0, 0], 10 * y)
        assert (X[:, 2] == 200).all()


def test_image_folder_with_train_and_test(tmp_path):
    write_images(tmp_path / "train", ((8, 9), (5, 20)))
    write_images(tmp_path / "test", ((30, 7),))
    data = image_folder(tmp_path, size=(4, 6), gray=True)
    assert data.X_train.shape == (4, 1, 4, 6) and data.X_test.shape == (2, 1, 4, 6)


def test_image_folder_errors(tmp_path):
    image = write_images(tmp_path / "a", ((6, 5), (6, 7)))
    with pytest.raises(ValueError, match=r"6x7 pixels, others 6x5; give size"):
        image_folder(tmp_path / "a")
    with pytest.raises(ValueError, match="size must be"):
        image_folder(tmp_path / "a", size=0)
    good = (tmp_path / "a" / "cat" / "0.png").read_bytes()
    (tmp_path / "a" / "cat" / "0.png").write_bytes(good[: len(good) // 2])
    with pytest.raises(ValueError, match="cannot read .*0.png"):
        image_folder(tmp_path / "a", size=4)
    (tmp_path / "a" / "cat" / "0.png").write_bytes(good)
    image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "a" / "dog" / "deep.png")
    with pytest.raises(ValueError, match="8 bits"):
        image_folder(tmp_path / "a", size=4)
    with pytest.raises(FileNotFoundError, match="<class>/<image>.png"):
        image_folder(tmp_path / "nothing")
    with pytest.raises(ValueError, match="at least 2 classes"):
        image_folder(tmp_path / "a" / "cat")
    (tmp_path / "a" / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no images"):
        image_folder(tmp_path / "a", size=4)


def test_image_bomb(tmp_path, monkeypatch):
    image = write_images(tmp_path, ((40, 40),))
    monkeypatch.setattr(image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match="decompression bomb"):
        image_folder(tmp_path, test=1)


def test_image_folder_without_pillow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"fastnet-cnn\[images\]"):
        image_folder(tmp_path)
