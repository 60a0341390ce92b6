"""npz files: good, damaged, hostile."""

import io
import os
import zipfile

import numpy as np
import pytest

from fastnet.data import npz, read_npz


class Evil:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


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


@pytest.mark.data
def test_real_npz(data_folder):
    if not (data_folder / "cifar10" / "cifar10_png4000.npz").is_file():
        pytest.skip("CIFAR-10 is not here")
    data = npz(data_folder / "cifar10" / "cifar10_png4000.npz", test=1000)
    assert data.X_train.shape == (3000, 3, 32, 32) and len(data.classes) == 10


def test_a_stray_label_is_told_instead_of_naming_two_billion_classes(tmp_path):
    y = np.r_[[0, 1] * 19, [0, 2 * 10**9]]
    np.savez(tmp_path / "stray.npz", X=np.zeros((40, 8, 8), np.uint8), y=y)
    with pytest.raises(ValueError, match=r"labels reach 2000000000, but there are only 40 images; renumber"):
        npz(tmp_path / "stray.npz")
