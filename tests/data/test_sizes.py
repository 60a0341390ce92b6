"""Images of different sizes: lists until an augmentation or OneSize brings them to one size."""

from __future__ import annotations

import json

import numpy as np
import pytest

import fastnet as fn
from fastnet import augment
from fastnet.cli import main
from fastnet.data import Loader, OneSize, Rows, Standardize, image_csv, image_folder
from fastnet.data.prepared import fit, restore
from fastnet.storage import to_json
from fastnet.visualize import fool, page, top_patches

Image = pytest.importorskip("PIL.Image")

READING = ("memory", "lazy", "cache")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three classes of eight images, all of different sizes."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("sizes") / "photos"
    for number, name in enumerate(("cat", "dog", "eel")):
        for i in range(8):
            pixels = rng.integers(0, 256, (12 + i + number, 20 - 2 * i + number, 3), dtype=np.uint8)
            (path / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path / name / f"{i}.png")
    return path


def read(photos, tmp_path, how, **options):
    given = {"memory": {}, "lazy": {"lazy": True}, "cache": {"cache": tmp_path / "cache"}}[how]
    return image_folder(photos, size="any", **options, **given)


@pytest.mark.parametrize("how", [*READING, "csv"])
def test_rows_of_lists(photos, tmp_path, how):
    if how == "csv":
        names = [f"{file.relative_to(photos)},{file.parent.name}" for file in sorted(photos.rglob("*.png"))]
        (tmp_path / "list.csv").write_text("\n".join(names))
        data = image_csv(tmp_path / "list.csv", root=photos, size="any", test=0)
    else:
        data = read(photos, tmp_path, how, test=0)
        data = read(photos, tmp_path, how, test=0)  # the cache is read again
    X = data.X_train
    expected = [np.asarray(Image.open(file)).transpose(2, 0, 1) for file in sorted(photos.rglob("*.png"))]
    assert (X.shape, X.dtype, X.ndim, data.image_shape) == ((24, 3, None, None), np.uint8, 4, (3, None, None))
    np.testing.assert_array_equal(X[3], expected[3])
    for key in (slice(2, 9, 3), [3, 1, 1], np.arange(24) % 5 == 0, slice(4, 4)):
        wanted = [expected[i] for i in np.arange(24)[key]]
        assert all(map(np.array_equal, X[key], wanted)) and len(X[key]) == len(wanted)
        assert [image.shape for image in X.select(key)[:]] == [image.shape for image in wanted]
    X[5][...] = 0  # a copy
    assert np.array_equal(X[5], expected[5]) and np.array_equal(X[[5]][0], expected[5])
    with pytest.raises(ValueError, match=r"are images of different sizes.* no array; OneSize\(size\).windows\(X\) is"):
        np.asarray(X)
    fitted, pixels = Standardize.fit(X), np.concatenate([image.reshape(3, -1) for image in expected], axis=1)
    np.testing.assert_allclose(fitted.mean, pixels.mean(axis=1) / 255)
    np.testing.assert_allclose(fitted.std, pixels.std(axis=1) / 255)
    assert Standardize.to_range(X).scale == 1
    with pytest.raises(ValueError, match="images of different sizes have no mean image"):
        Standardize.fit(X, each="feature")


def test_lists_of_your_own():
    images = [np.full((3, 4 + i, 5), i, np.uint8) for i in range(3)]
    assert [image.shape for image in Rows(images)[1:]] == [(3, 5, 5), (3, 6, 5)]
    model = fn.Sequential(fn.Flatten(), fn.Linear(2))
    with pytest.raises(ValueError, match="last augmentation"):
        fn.Solver(model, (images, [0, 1, 1]), augment=[augment.RandomVerticalFlip()])
    solver = fn.Solver(model, (images, [0, 1, 1]), augment=[augment.RandomResizedCrop(4)], epochs=1, verbose=False)
    solver.train()
    solver.evaluate(images, [0, 1, 1])
    assert solver.predict(images).tobytes() == solver.predict(Rows(images)).tobytes()  # model.preprocessing is None
    kept = fn.data.hold_out(images, [0, 1, 1], 1)[0]
    assert isinstance(kept, Rows) and len(kept) == 2
    for wrong, error, text in (
        ([], ValueError, "no images"),
        ([images[0], images[0][:1]], ValueError, r"image 1 must be \(C, H, W\) with 3 channels"),
        ([images[0] / 255], TypeError, "image 0 must be bytes"),
        ([images[0][0]], ValueError, r"image 0 must be \(C, H, W\)"),
    ):
        with pytest.raises(error, match=text):
            Rows(wrong)


def test_one_size_is_pillow_s(photos):
    images = [np.asarray(Image.open(file)).transpose(2, 0, 1) for file in sorted(photos.rglob("*.png"))]
    images.append(np.ascontiguousarray(images[0][:, :10, :10]))  # has the size already
    found = OneSize(10, side=11)(images, np.uint8)
    for image, cut in zip(images[:-1], found, strict=False):
        height, width = image.shape[1:]
        sides = (11, int(11 * width / height)) if height < width else (int(11 * height / width), 11)
        scaled = Image.fromarray(image.transpose(1, 2, 0)).resize(sides[::-1], Image.Resampling.BILINEAR)
        top, left = (round((side - 10) / 2) for side in sides)
        np.testing.assert_array_equal(np.asarray(scaled)[top : top + 10, left : left + 10].transpose(2, 0, 1), cut)
    np.testing.assert_array_equal(found[-1], images[-1])
    np.testing.assert_array_equal(OneSize(10, side=11)(images[1][None], np.uint8)[0], found[1])


def test_one_size_goes_on(photos):
    standardize = Standardize([0.5] * 3, [0.25] * 3, 255)
    x = np.random.default_rng(0).integers(0, 256, (2, 3, 14, 21), dtype=np.uint8)
    one = OneSize((7, 14), standardize)
    assert one.side == 16 and repr(one).startswith("OneSize((7, 14), Standardize(")
    np.testing.assert_array_equal(one(x), standardize(OneSize((7, 14))(x, np.uint8)))
    np.testing.assert_array_equal(one.inverse(one(x)), standardize.inverse(one(x)))
    for given in (one, OneSize(3), OneSize(4, fn.data.PCA.fit(x[..., :4, :4], whiten="zca"), side=5)):
        for state in (given.state_dict(), json.loads(to_json(given.state_dict()))):
            np.testing.assert_array_equal(restore(state)(list(x)), given(x))
    with pytest.raises(TypeError, match="then must be a Standardize or PCA"):
        OneSize(3, one)
    with pytest.raises(ValueError, match="side must be"):
        OneSize(8, side=7)


def trained(data, workers=1, folder=None, resume=None, epochs=2):
    """A network trained on windows, and what it says of the test images."""
    model = fn.Sequential(fn.Conv2d(4, 3), fn.ReLU(), fn.Flatten(), fn.Linear(3))
    solver = fn.Solver(
        model,
        data,
        augment=[augment.RandomResizedCrop(8), augment.RandomHorizontalFlip()],
        preprocess="standardize",
        batch_size=5,
        epochs=epochs,
        workers=workers,
        sampling="balanced",
        checkpoint=folder,
        verbose=False,
    )
    losses = solver.train(resume).history
    model.preprocessing = solver.preprocess
    said = solver.evaluate(data.X_test, data.y_test)
    np.testing.assert_allclose(model.evaluate(data.X_test, data.y_test), said, rtol=1e-6)
    assert solver.predict(data.X_test).tobytes() == model.predict(data.X_test[:]).tobytes()  # Rows, a list
    views = [model.evaluate(data.X_test, data.y_test, views=views) for views in ("ten-crop:9", "dense:9", "flips")]
    return losses["loss"], losses["val_loss"], said, views, solver.preprocess


def test_training_on_windows(photos, tmp_path):
    """The same bits however the files are read, at any number of workers, and after a resume."""
    *expected, preprocess = trained(read(photos, tmp_path, "memory").split(0.25))
    assert preprocess.size == (8, 8) and preprocess.side == 9
    for how, workers in (("lazy", 0), ("lazy", 2), ("cache", 1)):
        assert trained(read(photos, tmp_path, how).split(0.25), workers)[:-1] == tuple(expected), (how, workers)
    trained(read(photos, tmp_path, "lazy").split(0.25), folder=tmp_path / "run", epochs=1)
    again = trained(read(photos, tmp_path, "lazy").split(0.25), 2, tmp_path / "run", "auto")
    assert again[:-1] == tuple(expected)


def test_what_is_missing_is_said(photos, tmp_path):
    data = read(photos, tmp_path, "memory")
    model = fn.Sequential(fn.Conv2d(4, 3), fn.Flatten(), fn.Linear(3))
    with pytest.raises(ValueError, match=r"X holds lists of images of .* sizes.*RandomResizedCrop.*preprocess=OneSize"):
        fn.Solver(model, data, preprocess="standardize")
    with pytest.raises(ValueError, match="the last augmentation returned a list of images of"):
        fn.Solver(model, data, augment=[augment.RandomHorizontalFlip()])
    with pytest.raises(TypeError, match="images of one size.*let RandomResizedCrop"):
        fn.Solver(model, data, augment=[augment.MixUp()])
    solver = fn.Solver(model, data, preprocess=OneSize(8), epochs=1, verbose=False)  # the centres are windows, too
    assert next(solver.loader.batches(0))[0].shape[2:] == (8, 8)
    for prepare in (None, Standardize.fit(data.X_train)):
        model.preprocessing = prepare
        for X in (data.X_test, data.X_test[:]):
            with pytest.raises(ValueError, match="arrays of a list must have one shape.*data.OneSize"):
                model.predict(X)
    for name in ("mean_image", "whiten"):
        with pytest.raises(ValueError, match=r"images of different sizes have .*OneSize\(size\).windows\(X\)"):
            fit(name, data.X_train)
        fitted, windows = fit(name, data.X_train, (6, 8)), OneSize((6, 8)).windows(data.X_train)
        np.testing.assert_array_equal(fitted(data.X_train[:]), fit(name, windows[:])(windows[:]))
    with pytest.raises(ValueError, match="24 sizes.*; use size=.*, or size=.any. to keep them as they are"):
        image_folder(photos)
    with pytest.raises(ValueError, match="both >= 1, or 'any', got 'all'"):
        image_folder(photos, "all")
    loader = Loader(data.X_train, data.y_train, 4, preprocess=OneSize(6, side=6), workers=2)
    assert {x.shape[1:] for x, _ in loader} == {(3, 6, 6)}


def test_looking_inside_sees_what_predict_sees(photos, tmp_path, monkeypatch):
    data = read(photos, tmp_path, "lazy")
    model = fn.Sequential(fn.Conv2d(4, 3), fn.ReLU(), fn.GlobalAvgPool2d(), fn.Flatten(), fn.Linear(3))
    model.build((3, 8, 8), seed=0)
    model.preprocessing = one = OneSize(8, Standardize.fit(data.X_train))
    images, y = data.X_test[:], data.y_test
    cut = one.windows(images)
    assert cut.shape == (len(images), 3, 8, 8) and not len(cut[:0])
    np.testing.assert_array_equal(one.then(cut[:]), one(images))
    np.testing.assert_array_equal(cut[1], one.windows(images[1][None])[0])
    expected = model.predict(images)
    for X in (tuple(images), data.X_test, cut):
        np.testing.assert_array_equal(model.predict(X), expected)
    for X in (images, data.X_test):
        for found, wanted in zip(top_patches(model, X, "0"), top_patches(model, cut[:], "0"), strict=True):
            np.testing.assert_array_equal(found, wanted)
    assert one(cut[:0]).shape == one(np.zeros((0, 3, 9, 10), np.uint8)).shape == (0, 3, 8, 8)
    for call in (one, one.windows, model.predict):
        with pytest.raises(ValueError, match=r"OneSize: X must be images .*; give X\[None\] of a single image"):
            call(images[0])
    with pytest.raises(ValueError, match="OneSize: X is a list without images"):
        model.predict([])
    with pytest.raises(ValueError, match=r"makes \(3, 8, 8\) of images .* give images of \(3, 8, 8\)"):
        fool(model, images[0][None], 0)
    seen = []
    monkeypatch.setattr(page, "_section", lambda section, look, notes: seen.append(look) or "")
    page.write_page(tmp_path / "page.html", model, images[0], (data.X_test, y))
    np.testing.assert_array_equal(seen[0].image, cut[:1])
    np.testing.assert_array_equal(seen[0].X, cut[:])


def test_command(photos, tmp_path, capsys, monkeypatch):
    data = ["--data", str(photos), "--image-size", "8", "--whole", "--lazy"]
    run = ["train", *data, "--augment", "resnet,flip", "--epochs", "1", "--out", str(tmp_path / "run"), "--no-plot"]
    assert main([*run, "--quiet"]) == 0
    model = fn.load(tmp_path / "run")
    assert model.preprocessing.size == (8, 8) and model.input_shape == (3, 8, 8)
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "run"), "--views", "ten-crop:9"]) == 0
    said = capsys.readouterr().out
    assert "test accuracy of the images as they are, without ten-crop:9" in said
    assert main(["evaluate", str(tmp_path / "run")]) == 0
    accuracy = [line.rpartition(" ")[2] for line in capsys.readouterr().out.splitlines() if "test accuracy" in line]
    assert said.splitlines()[-1].endswith(accuracy[0])
    assert main([*run, "--quiet", "--preprocess", "whiten", "--out", str(tmp_path / "white")]) == 0
    assert fn.load(tmp_path / "white").preprocessing.then.whiten == "zca"
    assert main(["evaluate", str(tmp_path / "run"), "--image-size", "9"]) == 2
    assert "whole images are brought to the size of the model, 8x8" in capsys.readouterr().err
    plain = ["train", *data[:4], "--epochs", "1", "--out", str(tmp_path / "plain"), "--no-plot", "--quiet"]
    assert main(plain) == 0
    assert main(["evaluate", str(tmp_path / "plain"), "--whole"]) == 0  # centres, though it was trained on other ones
    capsys.readouterr()
    file = photos / "eel" / "7.png"
    assert main(["predict", str(tmp_path / "run"), str(file), "--json"]) == 0
    found, whole = capsys.readouterr(), np.asarray(Image.open(file)).transpose(2, 0, 1)
    expected = model.predict_proba([whole]).max()
    assert not found.err and json.loads(found.out)[0]["classes"][0]["probability"] == round(float(expected), 6)
    seen = []
    monkeypatch.setattr("fastnet.visualize.write_page", lambda _, model, image, data, **more: seen.append(image) or [])
    assert main(["inspect", str(tmp_path / "run"), str(file)]) == 0
    np.testing.assert_array_equal(seen[0], whole)
    assert main(["train", *data[:2], "--whole"]) == 2
    assert "--whole: give the size to which images are cut, too" in capsys.readouterr().err
    assert main(["train", *data[:2]]) == 2
    assert "use --image-size HxW to scale them, or --whole to keep them as they are" in capsys.readouterr().err
