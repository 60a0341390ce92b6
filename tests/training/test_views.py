"""Several views of each test image."""

from __future__ import annotations

import json

import numpy as np
import pytest

import fastnet as fn
from fastnet.augment import CenterCrop, FiveCrop, Resize, TenCrop
from fastnet.cli import main
from fastnet.training import Views
from fastnet.training.views import VIEWS

X = np.random.default_rng(0).integers(0, 256, (7, 3, 20, 26), dtype=np.uint8)
Y = np.arange(7) % 5


@pytest.fixture(scope="module")
def model():
    model = fn.Sequential(fn.Conv2d(4, 3), fn.ReLU(), fn.GlobalAvgPool2d(), fn.Flatten(), fn.Linear(5))
    model.build((3, 16, 16), seed=0)
    model.preprocessing = fn.data.Standardize.fit(X)
    return model


def views_of(image, kind, side=16):
    """By hand: Resize of the package, then slices."""
    if kind == "flips":
        return [image, image[..., ::-1]]
    rng, found = np.random.default_rng(0), []
    for scale in (256,) if kind == "ten-crop" else (224, 256, 384, 480, 640):
        large = Resize(round(scale / 224 * side))(image[None], rng)[0]
        down, right = (size - side for size in large.shape[1:])
        middle = round(down / 2), round(right / 2)
        for whole in (large, large[..., ::-1]):
            for top, left in ((0, 0), (0, right), (down, 0), (down, right), middle):
                found.append(whole[:, top : top + side, left : left + side])
    return found


@pytest.mark.parametrize("kind, count", [("flips", 2), ("ten-crop", 10), ("five-scales", 50)])
@pytest.mark.parametrize("average", ["probabilities", "scores"])
def test_the_mean_of_a_loop(model, kind, count, average):
    expected = []
    for image in X:
        made = views_of(image, kind)
        assert len(made) == count
        outputs = model.predict if average == "scores" else model.predict_proba
        expected.append(np.mean([outputs(np.ascontiguousarray(one)[None])[0] for one in made], axis=0))
    views = Views(model, kind, average)
    found = views.predict(X) if average == "scores" else views.predict_proba(X)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(views.predict_proba(X, batch_size=3), views.predict_proba(X), rtol=1e-5)
    np.testing.assert_array_equal(views.predict_classes(X), np.argmax(expected, axis=1))


def test_evaluate_with_views(model):
    found = model.evaluate(X, Y, views="ten-crop")
    proba = Views(model, "ten-crop").predict_proba(X)
    assert found.accuracy == (proba.argmax(1) == Y).mean()
    assert found.loss == pytest.approx(-np.log(proba[np.arange(7), Y]).mean(), rel=1e-5)


def test_a_transform_and_an_ensemble(model):
    ensemble = fn.Ensemble([model, model])
    np.testing.assert_allclose(
        Views(ensemble, FiveCrop(16)).predict_proba(X), Views(model, FiveCrop(16)).predict_proba(X), rtol=1e-5
    )
    assert ensemble.evaluate(X, Y, views="flips") == Views(ensemble, "flips").evaluate(X, Y)
    crop = CenterCrop(16)
    np.testing.assert_allclose(
        Views(model, crop).predict_proba(X), model.predict_proba(crop(X, np.random.default_rng(0))), rtol=1e-5
    )


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda m: Views(m, "tencrop"), ValueError, "did you mean ten-crop"),
        (lambda m: Views(m, "tencrop:256"), ValueError, "did you mean ten-crop"),
        (lambda m: Views(m, "ten-crop:12"), ValueError, "at least the network's 16, such as ten-crop:18"),
        (lambda m: Views(m, "dense:"), ValueError, "must be shorter sides in pixels"),
        (lambda m: Views(m, "dense", windows=0), ValueError, "windows"),
        (lambda m: Views(m, "ten-crop", windows=3), ValueError, "not of 'ten-crop'"),
        (lambda m: Views(m, TenCrop(16)).predict(X[..., :12]), ValueError, "larger than the image .*; resize it first"),
        (lambda m: Views(m, "flips", "votes"), ValueError, "average must be"),
        (lambda m: Views(fn.Sequential(fn.Linear(3)), "flips"), ValueError, "must be built for images"),
        (lambda m: Views(m, "ten-crop").predict(X.astype(float)), TypeError, "bytes .uint8., got float64; views="),
        (lambda m: Views(m, "flips").predict(X[0]), ValueError, "must be images"),
        (lambda m: Views(m, "flips").predict(X[:0]), ValueError, "there are no images"),
        (lambda m: m.evaluate(X, Y, loss="svm", views="flips"), ValueError, "the loss must be 'softmax'"),
        (lambda m: Views("run", "flips"), TypeError, "must be a Model or an Ensemble"),
    ],
)
def test_what_is_refused(model, call, error, words):
    with pytest.raises(error, match=words):
        call(model)


def test_images_of_another_size_without_views():
    model = fn.Sequential(fn.Conv2d(4, 3), fn.Flatten(), fn.Linear(5))
    model.build((3, 16, 16))
    with pytest.raises(ValueError, match=r"shape \(3, 20, 26\) do not fit the model, .* built for \(3, 16, 16\): "):
        model.evaluate(X, Y)
    assert model.evaluate(X, Y, views="ten-crop").loss > 0


def test_mirror_images_of_any_numbers(model):
    scaled = X.astype(np.float32)
    np.testing.assert_array_equal(Views(model, "flips").predict(scaled), Views(model, "flips").predict(X))


def test_a_grid_of_windows(model):
    large = Resize(20)(X, np.random.default_rng(0))
    expected = []
    for image in large:
        halves = [image, image[..., ::-1]]
        made = [half[:, r : r + 16, c : c + 16] for half in halves for r in (0, 2, 4) for c in (0, 5, 10)]
        expected.append(model.predict(np.ascontiguousarray(made)).mean(axis=0))
    found = Views(model, "dense:20", "scores", windows=3).predict(X)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert [len(made) for made in Views(model, "dense:20/22").images(X[:1])] == [50, 50]


def test_sides_in_pixels(model):
    def alone(name):
        return [np.concatenate(list(Views(model, one).images(X))) for one in name]

    rng = np.random.default_rng(0)
    for found, by_hand in zip(
        alone(["ten-crop:24", "center:24", "center", "flips:24"]),
        [
            TenCrop(16)(Resize(24)(X, rng), rng),
            CenterCrop(16)(Resize(24)(X, rng), rng),
            CenterCrop(16)(Resize(18)(X, rng), rng),
            np.stack([large := Resize(24)(X, rng), large[..., ::-1]], axis=1).reshape(-1, 3, 24, 31),
        ],
        strict=True,
    ):
        np.testing.assert_array_equal(found, by_hand)
    assert [Views(model, name).size for name in ("flips", "ten-crop:24/20", "center")] == [(16, 16), (24, 24), (18, 18)]
    model = fn.Sequential(fn.Flatten(), fn.Linear(2))
    model.build((3, 16, 24), seed=0)
    assert Views(model, "dense:20").size == (20, 30)


def test_sizes_follow_the_network():
    sizes = [view.transforms[0].size for view in VIEWS["five-scales"]((32, 32))]
    assert sizes == [32, 37, 55, 69, 91]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A network for 12 x 12, trained on larger photographs."""
    pillow = pytest.importorskip("PIL.Image")
    path, rng = tmp_path_factory.mktemp("views"), np.random.default_rng(0)
    for k in range(2):
        (path / "photos" / f"c{k}").mkdir(parents=True)
        for i in range(10):
            pixels = rng.integers(0, 128, (30, 24, 3)) + 127 * k
            pillow.fromarray(pixels.astype(np.uint8)).save(path / "photos" / f"c{k}" / f"{i}.png")
    words = f"train --data {path / 'photos'} --image-size 12 --model three_layer_convnet --epochs 1 --out {path}/run"
    assert main([*words.split(), "--quiet", "--no-plot"]) == 0
    return path / "run"


def test_the_commands_read_larger_images(run, capsys):
    photos = run.parent / "photos"
    found = fn.data.image_folder(photos, size=(14, 14), test=0.2)
    model = fn.load(run)
    for words, views in [
        (["ten-crop:14"], Views(model, "ten-crop:14")),
        (["ten-crop"], Views(model, "ten-crop:14")),
        (["dense:14", "--windows", "3", "--average", "scores"], Views(model, "dense:14", "scores", 3)),
    ]:
        assert main(["evaluate", str(run), "--views", *words]) == 0, capsys.readouterr().err
        out = capsys.readouterr().out
        assert f"test loss: {views.evaluate(found.X_test, found.y_test).loss:.4f}\n" in out
        assert f"test accuracy of the images as they are, without {words[0]}" in out
    photo = photos / "c0" / "0.png"
    assert main(["predict", str(run), str(photo), "--views", "ten-crop:14", "--top", "2", "--json"]) == 0
    answers = {one["class"]: one["probability"] for one in json.loads(capsys.readouterr().out)[0]["classes"]}
    expected = Views(model, "ten-crop:14").predict_proba(fn.data.read_picture(photo)[None])[0]  # not cropped before
    np.testing.assert_allclose([answers["c0"], answers["c1"]], expected, atol=2e-6)
    assert main(["evaluate", str(run), "--views", "five-scales", "--image-size", "20"]) == 0
    assert "as they are" not in capsys.readouterr().out


def test_an_ensemble_is_compared_on_the_images_as_they_are(run, capsys):
    assert main(["evaluate", str(run), str(run), "--views", "center:14"]) == 0
    assert "members: " in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, message",
    [
        (["--windows", "3"], "--windows is of several views"),
        (["--average", "scores"], "give --views"),
        (["--views", "tencrop"], "did you mean ten-crop"),
        (["--views", "ten-crop:9"], "at least the network's 12"),
        (["--views", "center", "--windows", "3"], "windows are counted"),
    ],
)
def test_mistakes_of_the_commands(run, capsys, words, message):
    for command in (["evaluate", str(run)], ["predict", str(run), str(run.parent / "photos" / "c0")]):
        assert main([*command, *words]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1, error
