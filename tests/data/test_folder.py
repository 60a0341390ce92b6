"""Folders of images."""

import sys

import numpy as np
import pytest

from fastnet.data import image_folder, read_picture


def write_coloured(folder, sizes=((6, 5), (6, 5)), classes=("cat", "dog")):
    """Images whose first channel tells the class, and whose second the number; returns PIL.Image."""
    image = pytest.importorskip("PIL.Image")
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i, (height, width) in enumerate(sizes):
            pixels = np.full((height, width, 3), (10 * number, 100 + i, 200), np.uint8)
            image.fromarray(pixels).save(folder / name / f"{i}.png")
    return image


def test_image_folder(tmp_path):
    write_coloured(tmp_path)
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden").mkdir()
    with pytest.warns(UserWarning, match="left out 1 entry: cat/notes.txt"):
        data = image_folder(tmp_path, test=2)
    assert data.classes == ("cat", "dog") and data.image_shape == (3, 6, 5)
    for X, y in ((data.X_train, data.y_train), (data.X_test, data.y_test)):
        assert X.dtype == np.uint8 and sorted(y) == [0, 1]
        np.testing.assert_array_equal(X[:, 0, 0, 0], 10 * y)
        assert (X[:, 2] == 200).all()


def test_image_folder_with_train_and_test(tmp_path):
    write_coloured(tmp_path / "train", ((8, 9), (5, 20)))
    write_coloured(tmp_path / "test", ((30, 7),))
    data = image_folder(tmp_path, size=(4, 6), gray=True)
    assert data.X_train.shape == (4, 1, 4, 6) and data.X_test.shape == (2, 1, 4, 6)


def test_image_folder_errors(tmp_path):
    image = write_coloured(tmp_path / "a", ((6, 5), (6, 7)))
    with pytest.raises(ValueError, match=r"2 sizes, 6x5 pixels \(2, such as .*6x7 .*; use size="):
        image_folder(tmp_path / "a")
    with pytest.raises(ValueError, match="size must be"):
        image_folder(tmp_path / "a", size=0)
    good = (tmp_path / "a" / "cat" / "0.png").read_bytes()
    (tmp_path / "a" / "cat" / "0.png").write_bytes(good[: len(good) // 2])
    with pytest.raises(ValueError, match="cannot read .*0.png"):
        image_folder(tmp_path / "a", size=4)
    (tmp_path / "a" / "cat" / "0.png").write_bytes(good)
    image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "a" / "dog" / "deep.tif")
    with pytest.raises(ValueError, match="8 or 16 bits"):
        image_folder(tmp_path / "a", size=4)
    with pytest.raises(FileNotFoundError, match="<class>/<image>.png"):
        image_folder(tmp_path / "nothing")
    with pytest.raises(ValueError, match="at least 2 classes"):
        image_folder(tmp_path / "a" / "cat")
    (tmp_path / "a" / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no images"):
        image_folder(tmp_path / "a", size=4)


def test_image_bomb(tmp_path, monkeypatch):
    image = write_coloured(tmp_path, ((40, 40),))
    monkeypatch.setattr(image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match="decompression bomb"):
        image_folder(tmp_path, test=1)


def test_image_folder_without_pillow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"fastnet-cnn\[images\]"):
        image_folder(tmp_path)


@pytest.mark.parametrize("option", ["gray", "skip_bad"])
@pytest.mark.parametrize("value", ["no", 1, 0])
def test_flags_are_flags(tmp_path, option, value):
    write_coloured(tmp_path)
    with pytest.raises(TypeError, match=f"image_folder: {option} must be True or False, got {value!r}"):
        image_folder(tmp_path, **{option: value})


def test_one_class_that_does_not_exist(tmp_path):
    write_coloured(tmp_path)
    with pytest.raises(ValueError, match=r"at least 2 classes, found \['Cat'\]"):
        image_folder(tmp_path, classes=("Cat",))


def test_a_size_is_no_flag(tmp_path):
    write_coloured(tmp_path)
    with pytest.raises(ValueError, match="size must be an int or .* got True"):
        image_folder(tmp_path, True)
    assert image_folder(tmp_path, np.array([4, 6])).image_shape == (3, 4, 6)


def test_home_and_single_images(tmp_path, monkeypatch):
    write_coloured(tmp_path / "photos")
    (tmp_path / "photos" / "cat" / "0.png").rename(tmp_path / "photos" / "cat" / "inner.png")
    (tmp_path / "photos" / "cat" / "more").mkdir()
    (tmp_path / "photos" / "cat" / "inner.png").rename(tmp_path / "photos" / "cat" / "more" / "0.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    with pytest.warns(UserWarning, match="1 image is from a sub-folder of its class: cat/more/ .1 image.$"):
        assert len(image_folder("~/photos", test=0, cache="~/cache").X_train) == 4
    assert (tmp_path / "cache").is_dir()
    with pytest.raises(ValueError, match="it is a folder"):
        read_picture(tmp_path)
