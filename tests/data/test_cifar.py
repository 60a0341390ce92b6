"""CIFAR batches, and hostile pickles."""

import os
import pickle
import tarfile

import numpy as np
import pytest

from fastnet.data import cifar10, cifar100
from fastnet.pickles import load_plain_pickle


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
    with pytest.raises(ValueError, match="(posix|nt).system', which is not data"):
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
