"""Several views of each test image."""

from __future__ import annotations

import json

import numpy as np
import pytest

import fastnet as fn
from fastnet.augment import CenterCrop, FiveCrop, Resize
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
    crop = CenterCrop(16)
    np.testing.assert_allclose(
        Views(model, crop).predict_proba(X), model.predict_proba(crop(X, np.random.default_rng(0))), rtol=1e-5
    )


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda m: Views(m, "tencrop"), ValueError, "did you mean ten-crop"),
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


def test_sizes_follow_the_network():
    sizes = [view.transforms[0].size for view in VIEWS["five-scales"]((32, 32))]
    assert sizes == [32, 37, 55, 69, 91]


def test_the_commands(tmp_path, capsys):
    pillow = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for k in range(2):
        (tmp_path / "photos" / f"c{k}").mkdir(parents=True)
        for i in range(10):
            pixels = rng.integers(0, 128, (12, 12, 3)) + 127 * k
            pillow.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / f"c{k}" / f"{i}.png")
    run = str(tmp_path / "run")
    train = f"train --data {tmp_path / 'photos'} --model three_layer_convnet --epochs 1 --out {run} --quiet".split()
    assert main(train) == 0
    capsys.readouterr()
    assert main(["evaluate", run, "--views", "five-scales"]) == 0
    assert "test accuracy of the images as they are, without five-scales" in capsys.readouterr().out
    capsys.readouterr()
    pixels = rng.integers(0, 256, (50, 70, 3)).astype(np.uint8)  # not scaled to the network's size before the views
    pillow.fromarray(pixels).save(tmp_path / "large.png")
    files = [str(tmp_path / "large.png"), str(tmp_path / "photos" / "c0" / "0.png")]
    assert main(["predict", run, *files, "--views", "ten-crop", "--json", "--top", "2"]) == 0
    found = {one["class"]: one["probability"] for one in json.loads(capsys.readouterr().out)[0]["classes"]}
    expected = Views(fn.load(run), "ten-crop").predict_proba(pixels.transpose(2, 0, 1)[None])[0]
    np.testing.assert_allclose([found["c0"], found["c1"]], expected, atol=2e-6)
