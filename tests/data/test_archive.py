"""npz files: good, damaged, hostile."""

import io
import os
import warnings
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
    with pytest.raises(ValueError, match=r"got \(4, 2\); reshape"):
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


def parts(N=(30, 9, 6), shape=(8, 8)):
    """X and y for train, val and test."""
    rng = np.random.default_rng(0)
    return [(rng.integers(0, 256, (n, *shape), np.uint8), np.arange(n) % 3) for n in N]


NAMES = {
    "cs231n": ("X_train", "y_train", "X_val", "y_val", "X_test", "y_test"),
    "keras": ("x_train", "y_train", "x_valid", "y_valid", "x_test", "y_test"),
    "medmnist": ("train_images", "train_labels", "val_images", "val_labels", "test_images", "test_labels"),
    "short": ("Xtr", "Ytr", "Xval", "Yval", "Xte", "Yte"),
    "long": (
        "training-images",
        "training-labels",
        "validation-images",
        "validation-labels",
        "test-data",
        "test-target",
    ),
}


@pytest.mark.parametrize("convention", NAMES)
def test_names_of_arrays(tmp_path, convention):
    arrays = [array for pair in parts() for array in pair]
    np.savez(tmp_path / "a.npz", **dict(zip(NAMES[convention], arrays, strict=True)))
    data = npz(tmp_path / "a.npz")
    for part, (X, y) in zip(("train", "val", "test"), parts(), strict=True):
        np.testing.assert_array_equal(getattr(data, f"X_{part}")[:, 0], X)
        np.testing.assert_array_equal(getattr(data, f"y_{part}"), y)


def test_without_a_test_part_it_is_drawn_from_the_training_part(tmp_path):
    (X, y), (X_val, y_val), _ = parts()
    np.savez(tmp_path / "a.npz", X_train=X, y_train=y, X_val=X_val, y_val=y_val)
    data = npz(tmp_path / "a.npz")
    assert (len(data.X_train), len(data.X_val), len(data.X_test)) == (24, 9, 6)
    everything, nothing = npz(tmp_path / "a.npz", test="all"), npz(tmp_path / "a.npz", test=0)
    assert (len(everything.X_train), everything.X_val, len(everything.X_test)) == (0, None, 39)
    assert (len(nothing.X_train), len(nothing.X_val), len(nothing.X_test)) == (30, 9, 0)
    with pytest.raises(ValueError, match="test must be a fraction, a number of images or 'all', got 'some'"):
        npz(tmp_path / "a.npz", test="some")


def test_a_test_part_alone(tmp_path):
    X, y = parts()[2]
    np.savez(tmp_path / "a.npz", test_images=X, test_labels=y)
    data = npz(tmp_path / "a.npz")
    assert len(data.X_train) == 0 and len(data.X_test) == 6 and data.image_shape == (1, 8, 8)


@pytest.mark.parametrize(
    "labels",
    [
        lambda y: y[:, None],
        lambda y: y[:, None].astype(np.uint8),
        lambda y: np.eye(3)[y],
        lambda y: np.eye(3, dtype=bool)[y],
        lambda y: np.eye(3, dtype=np.uint8)[y],
        lambda y: np.array(["ant", "bee", "cat"])[y],
        lambda y: np.array([b"ant", b"bee", b"cat"])[y][:, None],
    ],
)
def test_labels(tmp_path, labels):
    X, y = parts()[0]
    np.savez(tmp_path / "a.npz", X=X, y=labels(y))
    data = npz(tmp_path / "a.npz", test="all")
    assert data.y_test.dtype == np.int64
    np.testing.assert_array_equal(data.y_test, y)
    assert data.classes == (("ant", "bee", "cat") if labels(y).dtype.kind in "US" else ("0", "1", "2"))


@pytest.mark.parametrize(
    "parts, options, message",
    [
        ({"": [1, 2, 1, 2, 1, 2]}, {}, "the training part has no image of 1 of 3 classes: 0$"),  # counted from 1
        ({"": [0, 0, 4, 4, 4, 4]}, {"test": 2}, "training part has no image of 3 of 5 classes: 1, 2, 3$"),
        ({"_train": [0, 1] * 3, "_test": [0, 2]}, {}, "training part has no image of 1 of 3 classes: 2$"),
        ({"_train": [0, 1] * 3, "_test": [1, 1]}, {}, "test part has no image of 1 of 2 classes: 0$"),
        ({"": [0, 1, 0, 1, 0, 1]}, {"classes": "abc"}, "training part has no image of 1 of 3 classes: c$"),
        ({"_train": ["a", "b"] * 3, "_val": ["c"], "_test": ["a", "b"]}, {}, "training .* 1 of 3 classes: c$"),
    ],
)
def test_classes_without_images_are_told(tmp_path, parts, options, message):
    """A class of no training image costs a score, and its test images cannot be right."""
    file, options = tmp_path / "a.npz", {**options}
    if "classes" in options:
        options["classes"] = tuple(options["classes"])
    arrays = {f"X{part}": np.zeros((len(y), 8, 8), np.uint8) for part, y in parts.items()}
    np.savez(file, **arrays, **{f"y{part}": np.array(y) for part, y in parts.items()})
    with pytest.warns(UserWarning, match=message):
        npz(file, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        npz(file, **{**options, "test": "all"})  # to evaluate a model, which may have other classes


@pytest.mark.parametrize("value", ["no", 1, 0, "False"])
def test_flags_are_flags(tmp_path, value):
    np.savez(tmp_path / "a.npz", X=np.zeros((6, 8, 8, 3), np.uint8), y=[0, 1] * 3)
    with pytest.raises(TypeError, match=f"channels_last must be True or False, got {value!r}"):
        npz(tmp_path / "a.npz", channels_last=value)
    assert npz(tmp_path / "a.npz", channels_last=np.True_).image_shape == (3, 8, 8)


def test_classes_differ_and_seeds_are_integers(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.zeros((6, 8, 8), np.uint8), y=[0, 1] * 3)
    with pytest.raises(ValueError, match="classes must differ, got a, a"):
        npz(tmp_path / "a.npz", classes=("a", "a"))
    for seed in (1.5, None, "1", True):
        with pytest.raises(TypeError, match="seed must be an integer"):
            npz(tmp_path / "a.npz", seed=seed)
        with pytest.raises(TypeError, match="seed must be an integer"):
            npz(tmp_path / "a.npz").split(0.5, seed)


def test_one_hot_labels_count_classes_without_images(tmp_path):
    X, y = parts()[0]
    np.savez(tmp_path / "a.npz", X=X, y=np.eye(5)[y])
    assert npz(tmp_path / "a.npz", test="all").classes == tuple("01234")


def test_bool_labels(tmp_path):
    np.savez(tmp_path / "a.npz", X=parts()[0][0], y=np.arange(30) > 14)
    assert npz(tmp_path / "a.npz", test="all").y_test.tolist() == [0] * 15 + [1] * 15


@pytest.mark.parametrize(
    "y, message",
    [
        (np.ones((30, 4), int), "must be one-hot, a single 1 and zeros in each row; 30 of 30 rows are not"),
        (np.eye(30) + 0.1 * np.eye(30, k=1), "29 of 30 rows"),
        (np.arange(30) / 2, "labels must be integers"),
        (np.arange(29), "30 images but 29 labels"),
        (np.zeros((30, 2, 2), int), r"shape \(30, 2, 2\)"),
    ],
)
def test_labels_that_are_not(tmp_path, y, message):
    np.savez(tmp_path / "a.npz", X=parts()[0][0], y=y)
    with pytest.raises((ValueError, TypeError), match=message):
        npz(tmp_path / "a.npz")


def test_names_of_classes(tmp_path):
    X, y = parts()[0]
    np.savez(tmp_path / "a.npz", X=X, y=y, class_names=np.array(["x", "y", "z"]))
    assert npz(tmp_path / "a.npz").classes == ("x", "y", "z")
    assert npz(tmp_path / "a.npz", classes=("a", "b", "c")).classes == ("a", "b", "c")
    np.savez(tmp_path / "b.npz", X=X, y=np.array(["cat", "ant", "bee"])[y])
    data = npz(tmp_path / "b.npz", test="all", classes=("cat", "bee", "ant"))
    assert data.classes == ("cat", "bee", "ant") and data.y_test[:3].tolist() == [0, 2, 1]
    with pytest.raises(TypeError, match="sequence of names, got 'abc'"):
        npz(tmp_path / "a.npz", classes="abc")
    np.savez(tmp_path / "c.npz", X=X, y=y, classes=np.array([7, 8, 9]))
    assert npz(tmp_path / "c.npz").classes == ("7", "8", "9")
    np.savez(tmp_path / "d.npz", X=X, y=y, classes=3)
    with pytest.warns(UserWarning, match="d.npz: not used: classes"):
        assert npz(tmp_path / "d.npz").classes == ("0", "1", "2")
    with pytest.raises(ValueError, match="labels ant are not among the classes cat, bee"):
        npz(tmp_path / "b.npz", classes=("cat", "bee"))


def test_arrays_that_are_not_used_are_told(tmp_path):
    X, y = parts()[0]
    np.savez(tmp_path / "a.npz", X=X, y=y, header=np.zeros(3), ids=np.array([{}], object))
    with pytest.warns(UserWarning, match="a.npz: not used: header, ids"):
        npz(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "names, message",
    [
        (("X", "y", "X_train", "y_train"), "X and X_train could both be the training part"),
        (("X_train", "y_train", "train_images", "y"), "X_train and train_images mean the same"),
        (("X_train", "y_train", "X_test"), r"X_test: images and labels come in pairs"),
        (("X_train", "y_train", "y_val"), r"y_val: images and labels come in pairs"),
        (("arr_0", "arr_1"), r"has \['arr_0', 'arr_1'\]; np.savez\(file, X=X, y=y\) names its arrays"),
        ((), "expected X_train"),
    ],
)
def test_names_that_do_not_fit(tmp_path, names, message):
    X, y = parts()[0]
    np.savez(tmp_path / "a.npz", **{name: y if name[0] == "y" else X for name in names})
    with pytest.raises(ValueError, match=message):
        npz(tmp_path / "a.npz")
