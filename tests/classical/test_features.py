"""Colour histograms, HOG against scikit-image, k-means against scikit-learn, bags of words, pipelines."""

from __future__ import annotations

import colorsys
import importlib.util

import numpy as np
import pytest

from fastnet import data
from fastnet.classical import (
    HOG,
    BagOfVisualWords,
    ColorHistogram,
    KMeans,
    KNearestNeighbors,
    LinearSVM,
    Pipeline,
    hue,
)


def images(dtype=np.uint8, N=3, C=3, H=37, W=45):
    return np.random.default_rng(0).integers(0, 256, (N, C, H, W)).astype(dtype)


def test_hue_is_python_s():
    colours = np.vstack([np.random.default_rng(0).random((200, 3)), np.eye(3), np.ones((1, 3)), np.zeros((1, 3))])
    np.testing.assert_allclose(hue(colours), [colorsys.rgb_to_hsv(*colour)[0] for colour in colours], atol=1e-12)


def test_the_histogram_of_hues():
    X = images()
    rows = ColorHistogram(10).transform(X)
    for row, image in zip(rows, X, strict=True):
        hues = [colorsys.rgb_to_hsv(*pixel)[0] for pixel in image.reshape(3, -1).T / 255]
        np.testing.assert_allclose(row, np.histogram(hues, 10, (0, 1))[0] / len(hues), atol=1e-3)
    np.testing.assert_allclose(rows.sum(axis=1), 1)
    np.testing.assert_allclose(ColorHistogram(10).transform(X / 255), rows, atol=1e-3)


def test_the_histogram_of_red_green_and_blue():
    X = images()
    rows = ColorHistogram(8, "rgb").transform(X)
    for row, image in zip(rows, X, strict=True):
        expected = [np.histogram(channel / 255, 8, (0, 1))[0] / channel.size for channel in image]
        np.testing.assert_allclose(row, np.concatenate(expected), atol=1e-12)


@pytest.mark.parametrize("norm", ["L2-Hys", "L2", "L1", "L1-sqrt"])
@pytest.mark.parametrize("channels", [1, 3])
def test_hog_is_scikit_image_s(channels, norm):
    feature = pytest.importorskip("skimage.feature")
    X = images(np.float64, C=channels)
    for sizes in ({}, {"cell": 5, "block": 2, "orientations": 7}, {"cell": (6, 4), "block": (1, 2), "sqrt": True}):
        rows = HOG(norm=norm, **sizes).transform(X)
        cell, block = sizes.get("cell", 8), sizes.get("block", 3)
        for row, image in zip(rows, X, strict=True):
            expected = feature.hog(
                image.transpose(1, 2, 0),
                orientations=sizes.get("orientations", 9),
                pixels_per_cell=cell if isinstance(cell, tuple) else (cell, cell),
                cells_per_block=block if isinstance(block, tuple) else (block, block),
                block_norm=norm,
                transform_sqrt=sizes.get("sqrt", False),
                channel_axis=-1,
            )
            np.testing.assert_allclose(row, expected, rtol=1e-6)  # sums in float32


def test_hog_of_an_edge_has_one_direction():
    X = np.zeros((1, 1, 24, 24))
    X[..., 12:] = 1
    cells = HOG(9).cells(X)
    assert (cells[..., 0] > 0).any() and (cells[..., 1:] == 0).all()
    picture = HOG(9).picture(X)[0]
    assert picture.shape == (24, 24)
    assert picture.max(axis=0).std() > picture.max(axis=1).std()  # upright strokes


def test_k_means_is_scikit_learn_s():
    cluster = pytest.importorskip("sklearn.cluster")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 8)) + 3 * rng.integers(0, 3, (500, 1))
    ours = KMeans(6, 300, centers=X[:6]).fit(X)
    theirs = cluster.KMeans(6, init=X[:6], n_init=1, max_iter=300, tol=0, algorithm="lloyd").fit(X)
    np.testing.assert_allclose(ours.centers_, theirs.cluster_centers_, atol=1e-9)
    np.testing.assert_allclose(ours.inertia_, theirs.inertia_)
    np.testing.assert_array_equal(ours.predict(X), theirs.labels_)
    drawn = KMeans(6, 300).fit(X)
    assert drawn.inertia_ < 1.2 * cluster.KMeans(6, n_init=5, random_state=0).fit(X).inertia_


def test_k_means_of_few_different_examples():
    X = np.repeat([[0.0, 0.0], [1.0, 1.0]], 5, axis=0)
    means = KMeans(4).fit(X)
    assert np.isfinite(means.centers_).all() and means.inertia_ == 0


def test_words_are_counted(tmp_path):
    digits = data.digits()
    bag = BagOfVisualWords(20, 4, samples=2000, grid=2).fit(digits.X_train)
    rows = bag.transform(digits.X_test[:5])
    assert rows.shape == (5, 4 * 20) and bag.codebook_.shape == (20, 1, 4, 4)
    np.testing.assert_allclose(rows.sum(axis=1), 1)
    if importlib.util.find_spec("matplotlib"):
        assert len(bag.plot(tmp_path / "words.png").axes) == 20
    image = digits.X_test[0, 0].astype(np.float64)
    counts = np.zeros((2, 2, 20))
    for r in range(5):
        for s in range(5):
            patch = image[r : r + 4, s : s + 4]
            patch = (patch - patch.mean()) / np.sqrt(patch.var() + bag._softening)
            nearest = ((bag.codebook_[:, 0] - patch) ** 2).sum(axis=(1, 2)).argmin()
            counts[r * 2 // 5, s * 2 // 5, nearest] += 1
    np.testing.assert_allclose(rows[0], counts.ravel() / 25)


def test_a_pipeline():
    digits = data.digits()
    model = Pipeline([HOG(cell=4, block=1), BagOfVisualWords(30, 4, samples=3000)], LinearSVM())
    assert model.fit(digits.X_train, digits.y_train) is model
    assert model.score(digits.X_test, digits.y_test) > 0.85
    rows = model.transform(digits.X_train)
    assert rows.shape[1] == 4 * 9 + 30
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-9)
    same = Pipeline(HOG(cell=4, block=1), KNearestNeighbors(1), scale=False).fit(digits.X_train, digits.y_train)
    assert same.score(digits.X_train, digits.y_train) > 0.99


def test_what_cannot_be_is_refused():
    X = images()
    with pytest.raises(ValueError, match=r"must be images \(N, C, H, W\), got shape \(3, 37, 45\)"):
        HOG().transform(X[0])
    with pytest.raises(ValueError, match="at least the 24 x 24 pixels of a block"):
        HOG().transform(X[:, :, :20])
    with pytest.raises(ValueError, match="3 channels, got 1"):
        ColorHistogram().transform(X[:, :1])
    with pytest.raises(ValueError, match=r"values must lie in \[0, 1\]"):
        ColorHistogram().transform(X.astype(float))
    with pytest.raises(ValueError, match="norm must be one of"):
        HOG(norm="L3")
    with pytest.raises(RuntimeError, match="call fit"):
        BagOfVisualWords().transform(X)
    with pytest.raises(ValueError, match="smaller than a patch of 50 x 50"):
        BagOfVisualWords(patch=50).fit(X)
    with pytest.raises(ValueError, match="k=4 centres are asked for, X has 3"):
        KMeans(4).fit(X)
    with pytest.raises(ValueError, match="holds NaN"):
        HOG().transform(np.full((1, 1, 30, 30), np.nan))
    with pytest.raises(TypeError, match="features must be one or several Features"):
        Pipeline([], LinearSVM())
    with pytest.raises(TypeError, match="classifier must be a Classifier"):
        Pipeline(HOG(), HOG())
    with pytest.raises(RuntimeError, match="call fit"):
        Pipeline(HOG(), LinearSVM()).predict(X)
