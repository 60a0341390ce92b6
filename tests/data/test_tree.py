"""Folders of images as people have them: parts, nested and odd files, layouts that can be read in two ways."""

import warnings

import numpy as np
import pytest
from pictures import write_images

from fastnet.data import image_folder


def sizes(data):
    return tuple(None if X is None else len(X) for X in (data.X_train, data.X_val, data.X_test))


def quiet(path, **options):
    """image_folder, which must not warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return image_folder(path, **options)


@pytest.mark.parametrize(
    "folders, options, expected",
    [
        ({"train": 5, "val": 3, "test": 2}, {}, (10, 6, 4)),
        ({"Training": 5, "Validation": 3, "Testing": 2}, {}, (10, 6, 4)),
        ({"train": 5, "valid": 3}, {}, (8, 6, 2)),
        ({"train": 5, "val": 3}, {"test": 0}, (10, 6, 0)),
        ({"train": 5, "val": 3}, {"test": "all"}, (0, None, 16)),
        ({"train": 5, "test": 3}, {"test": "all"}, (10, None, 6)),
        ({"train": 5}, {}, (8, None, 2)),
        ({"test": 5}, {}, (0, None, 10)),
        ({"": 5}, {}, (8, None, 2)),
        ({"": 5}, {"test": "all"}, (0, None, 10)),
        ({"": 5}, {"test": 0}, (10, None, 0)),
    ],
)
def test_parts(tmp_path, folders, options, expected):
    for name, count in folders.items():
        write_images(tmp_path / name, count)
    data = quiet(tmp_path, **options)
    assert sizes(data) == expected and data.classes == ("cat", "dog") and data.image_shape == (3, 6, 5)


def test_images_and_labels_of_parts_belong_together(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for p, part in enumerate(("train", "val", "test")):
        for c, name in enumerate("abc"):
            (tmp_path / part / name).mkdir(parents=True)
            image.new("RGB", (2, 2), (p, c, 0)).save(tmp_path / part / name / "0.png")
    data = quiet(tmp_path)
    for p, part in enumerate(("train", "val", "test")):
        X, y = getattr(data, f"X_{part}"), getattr(data, f"y_{part}")
        assert (X[:, 0] == p).all() and X[:, 1, 0, 0].tolist() == y.tolist() == [0, 1, 2]


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".JPEG", ".avif", ".webp", ".jp2", ".tga", ".dib", ".gif", ".pbm"])
def test_suffixes(tmp_path, suffix):
    from PIL import features

    if suffix == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    mode = "L" if suffix == ".pbm" else "RGB"
    image = pytest.importorskip("PIL.Image")
    write_images(tmp_path)
    kind = {".jfif": "JPEG", ".dib": "BMP", ".pbm": "PPM"}.get(suffix)
    image.new(mode, (5, 6)).save(tmp_path / "cat" / f"x{suffix}", kind)
    assert len(quiet(tmp_path, test="all").X_test) == 7


def test_nested_images_are_taken_and_told(tmp_path):
    write_images(tmp_path)
    write_images(tmp_path / "cat", 2, ("indoors", "outdoors/2024"))
    with pytest.warns(
        UserWarning, match="4 images are from sub-folders of their classes: cat/indoors.*, cat/outdoors/20"
    ):
        data = image_folder(tmp_path, test="all")
    assert np.bincount(data.y_test).tolist() == [7, 3]


def test_links_in_a_circle(tmp_path):
    write_images(tmp_path)
    (tmp_path / "cat" / "again").symlink_to(tmp_path, target_is_directory=True)
    assert len(quiet(tmp_path, test="all").X_test) == 6


def test_what_is_left_out_is_told(tmp_path):
    write_images(tmp_path / "train")
    write_images(tmp_path / "test")
    write_images(tmp_path, 4, ("val",))  # images without classes
    (tmp_path / "README.md").touch()
    (tmp_path / "annotations").mkdir()
    (tmp_path / "train" / "loose.png").touch()
    (tmp_path / "train" / "cat" / "x.heic").touch()
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (tmp_path / "train" / "cat" / name).touch()
    (tmp_path / "train" / "__MACOSX").mkdir()
    with pytest.warns(UserWarning) as caught:
        data = image_folder(tmp_path)
    assert sizes(data) == (6, None, 6)
    assert [str(warning.message) for warning in caught] == [
        f"{tmp_path}: left out 5 entries: val/ (4 images), README.md, annotations/ (0 images), "
        "train/loose.png, train/cat/x.heic"
    ]


def test_loose_images_beside_classes_are_told(tmp_path):
    write_images(tmp_path)
    (tmp_path / "loose.png").touch()
    with pytest.warns(UserWarning, match="left out 1 entry: loose.png"):
        image_folder(tmp_path)


def test_an_unlabelled_test_folder_of_a_competition(tmp_path):
    write_images(tmp_path / "train", 5)
    write_images(tmp_path, 7, ("test",))
    with pytest.warns(UserWarning, match=r"left out 1 entry: test/ \(7 images\)"):
        assert sizes(image_folder(tmp_path)) == (8, None, 2)


def test_a_class_without_test_images_is_told(tmp_path):
    write_images(tmp_path / "train", 3, ("cat", "dog", "emu"))
    write_images(tmp_path / "test", 3, ("cat", "emu"))
    with pytest.warns(UserWarning, match="the test part has no image of 1 of 3 classes: dog"):
        assert sizes(image_folder(tmp_path)) == (9, None, 6)


def test_the_only_image_of_a_class(tmp_path):
    write_images(tmp_path, 6)
    write_images(tmp_path, 1, ("emu",))
    for seed in range(5):
        with pytest.warns(UserWarning, match="the test part has no image of 1 of 3 classes: emu"):
            assert set(image_folder(tmp_path, seed=seed).y_train) == {0, 1, 2}


@pytest.mark.parametrize(
    "folders, message",
    [
        ({"train": ("cat", "dog"), "": ("cat", "dog")}, "holds train/ beside cat/, dog/: are these parts"),
        ({"": ("cat", "dog", "test")}, "holds test/ beside cat/, dog/: are these parts"),
        ({"": ("train", "val")}, "holds train/, val/ without a sub-folder for each class"),
        ({"val": ("cat", "dog"), "valid": ("cat", "dog")}, "mean the same part"),
        ({"train": ("cat", "dog"), "test": ("cat", "dog", "emu")}, "test has classes that .*train does not have: emu"),
        (
            {"cat": ("train", "test"), "dog": ("train", "test")},
            "holds images in (train|test)/.*expected .*/(train|test)/cat/",
        ),
        (
            {"photos": ("cat", "dog")},
            r"at least 2 classes, found \['photos'\]; did you mean .*photos, which holds cat, dog",
        ),
        ({"train": ("cat",)}, "at least 2 classes"),
    ],
)
def test_layouts_that_are_asked_about(tmp_path, folders, message):
    for name, classes in folders.items():
        write_images(tmp_path / name, 2, classes)
    with pytest.raises(ValueError, match=message):
        image_folder(tmp_path)


def test_images_without_classes(tmp_path):
    write_images(tmp_path, 4, ("",))
    with pytest.raises(ValueError, match=r"found \[\]; move its 4 images into such folders"):
        image_folder(tmp_path)


def test_train_may_be_a_class(tmp_path):
    write_images(tmp_path, 5, ("plane", "train"))
    assert quiet(tmp_path).classes == ("plane", "train")


def test_classes_answer_for_parts(tmp_path):
    write_images(tmp_path, 5, ("train", "val"))
    assert quiet(tmp_path, classes=("train", "val")).classes == ("train", "val")
    write_images(tmp_path, 5, ("cat", "dog"))
    with pytest.warns(UserWarning, match=r"left out 2 entries: train/ \(5 images\), val/ \(5 images\)"):
        assert image_folder(tmp_path, classes=("dog", "cat")).classes == ("dog", "cat")


def test_classes_choose_and_order(tmp_path):
    for part in ("train", "test"):
        write_images(tmp_path / part, 4, ("ant", "bee", "cat"))
    with pytest.warns(UserWarning, match=r"left out 2 entries: train/bee/ \(4 images\), test/bee/ \(4 images\)"):
        data = image_folder(tmp_path, classes=["cat", "ant"])
    assert data.classes == ("cat", "ant") and sizes(data) == (8, None, 8)
    with pytest.raises(ValueError, match="no sub-folder for class 'dog', only ant, bee, cat"):
        image_folder(tmp_path, classes=("cat", "dog"))
    with pytest.raises(ValueError, match="must differ"):
        image_folder(tmp_path, classes=("cat", "cat"))
    with pytest.raises(TypeError, match="sequence of names, got 'cat'"):
        image_folder(tmp_path, classes="cat")


def test_one_class_is_enough_to_evaluate(tmp_path):
    write_images(tmp_path, 4, ("cat",))
    assert sizes(quiet(tmp_path, test="all")) == (0, None, 4)
    data = quiet(tmp_path, test="all", classes=("dog", "cat"))
    assert data.y_test.tolist() == [1] * 4
