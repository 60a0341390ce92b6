"""The course's gradient checks, pictures and features."""

from __future__ import annotations

import random
from types import SimpleNamespace

import numpy as np
import pytest

from fastnet.compat.cs231n import features, gradient_check, vis_utils

RNG = np.random.default_rng(8)
normal = RNG.standard_normal


# ---------------------------------------------------------------- gradient_check


def test_numerical_gradients_of_known_functions(capsys):
    x = normal((3, 4))
    before = x.copy()
    np.testing.assert_allclose(
        gradient_check.eval_numerical_gradient(lambda x: np.sum(x**3), x, verbose=False), 3 * x**2, atol=1e-8
    )
    assert capsys.readouterr().out == ""
    np.testing.assert_allclose(gradient_check.eval_numerical_gradient_array(np.sin, x, before), before * np.cos(x))
    assert np.array_equal(x, before)
    gradient_check.eval_numerical_gradient(lambda x: float(x[0] * 2), np.ones(1))
    assert capsys.readouterr().out.startswith("(0,) 2.0")


def test_numerical_gradient_of_a_function_that_returns_its_own_array():
    x, buffer = normal(3), np.empty(3)

    def reuses(x):
        buffer[:] = x**2
        return buffer

    np.testing.assert_allclose(gradient_check.eval_numerical_gradient_array(reuses, x, np.ones(3)), 2 * x, rtol=1e-8)
    identity = gradient_check.eval_numerical_gradient_array(lambda x: x, x, np.ones(3))
    np.testing.assert_allclose(identity, 1, rtol=1e-8)


def test_numerical_gradients_refuse_integers():
    with pytest.raises(TypeError, match=r"floating-point array, got int64; pass x.astype\(float\)"):
        gradient_check.eval_numerical_gradient(np.sum, np.arange(3), verbose=False)


def test_numerical_gradients_of_blobs_and_nets():
    a, b, out = (SimpleNamespace(vals=normal((2, 3)), diffs=normal((2, 3))) for _ in range(3))

    def product(a, b, out):
        out.vals = a.vals * b.vals

    da, db = gradient_check.eval_numerical_gradient_blobs(product, (a, b), out)
    np.testing.assert_allclose(da, out.diffs * b.vals, rtol=1e-7)
    np.testing.assert_allclose(db, out.diffs * a.vals, rtol=1e-7)
    net = SimpleNamespace(forward=lambda: product(a, b, out))
    for got, expected in zip(gradient_check.eval_numerical_gradient_net(net, [a, b], out), (da, db), strict=True):
        assert np.array_equal(got, expected)


def test_sparse_check_prints_what_it_finds_at_random_places(capsys):
    x = normal((4, 5))
    random.seed(3)
    gradient_check.grad_check_sparse(lambda x: np.sum(x**2), x, 2.2 * x, num_checks=3)
    lines = capsys.readouterr().out.splitlines()
    random.seed(3)
    for line in lines:
        index = random.randrange(4), random.randrange(5)
        slope, analytic = 2 * x[index], 2.2 * x[index]
        assert line.startswith(f"numerical: {slope:f} analytic: {analytic:f}, relative error: 4.76190")
    assert len(lines) == 3


# ---------------------------------------------------------------- vis_utils


def test_visualize_grid():
    images = normal((5, 4, 3, 3))
    grid = vis_utils.visualize_grid(images, ubound=10.0, padding=2)
    assert grid.shape == (3 * 4 + 2 * 2, 3 * 3 + 2 * 2, 3)
    for position, image in enumerate(images):
        y, x = position // 3 * 6, position % 3 * 5
        tile = grid[y : y + 4, x : x + 3]
        assert tile.min() == 0 and np.isclose(tile.max(), 10)
        np.testing.assert_allclose(tile, 10 * (image - image.min()) / (image.max() - image.min()))
    assert not grid[4:6].any() and not grid[:, 3:5].any() and not grid[12:, 10:].any()
    assert not vis_utils.visualize_grid(np.ones((1, 2, 2, 3))).any()  # a picture with one color raises no warning


def test_vis_grid_and_vis_nn():
    images = 5 + RNG.random((3, 4, 2, 3))
    low, high = images.min(), images.max()
    grid = vis_utils.vis_grid(images)
    assert grid.shape == (2 * 4 + 2, 2 * 2 + 2, 3)
    np.testing.assert_allclose(grid[5:9, :2], (images[2] - low) / (high - low))
    assert not grid[4].any() and not grid[5:, 3:].any()

    table = vis_utils.vis_nn([[images[0], images[1], images[2]], [images[2], images[1], images[0]]])
    assert table.shape == (2 * 4 + 2, 3 * 2 + 3, 3)
    np.testing.assert_allclose(table[5:9, 6:8], (images[0] - 1) / (high - 1))  # gaps are 1
    assert not table[4].any() and np.isclose(table.max(), 1)


# ---------------------------------------------------------------- features


def test_features_are_extracted_image_by_image(capsys):
    images = RNG.random((1001, 2, 2, 3))
    found = features.extract_features(images, [lambda im: im[0, 0], lambda im: im.sum(keepdims=True)], verbose=True)
    assert found.shape == (1001, 4) and found.dtype == float
    np.testing.assert_allclose(found[:, :3], images[:, 0, 0])
    np.testing.assert_allclose(found[:, 3], images.sum(axis=(1, 2, 3)))
    assert capsys.readouterr().out == "Done extracting features for 1000 / 1001 images\n"


def test_grey():
    np.testing.assert_allclose(features.rgb2gray(np.eye(3)[None]), [[0.299, 0.587, 0.144]])


@pytest.mark.peers
def test_hog_agrees_with_scipys_filter():
    """The definition with the course's box filter, sampled at the center of each cell."""
    filters = pytest.importorskip("scipy.ndimage")
    image = RNG.random((32, 32, 3)) * 255
    grey = image @ [0.299, 0.587, 0.144]
    gx, gy = np.zeros((32, 32)), np.zeros((32, 32))
    gx[:, :-1], gy[:-1] = np.diff(grey, axis=1), np.diff(grey, axis=0)
    angle, length = np.arctan2(gy, gx + 1e-15) * 180 / np.pi + 90, np.sqrt(gx**2 + gy**2)
    expected = np.zeros((4, 4, 9))
    for k in range(9):
        counted = np.where((angle >= 20 * k) & (angle < 20 * k + 20) & (angle > 0), length, 0)
        expected[:, :, k] = filters.uniform_filter(counted, size=(8, 8))[4::8, 4::8].T
    np.testing.assert_allclose(features.hog_feature(image), expected.ravel(), atol=1e-9)
    assert features.hog_feature(grey).shape == (144,)


def test_hog_of_edges():
    rising = np.zeros((16, 24))
    rising[:] = 2.0 * np.arange(24)  # gx = 2, gy = 0: 90 degrees, bin 4; no difference at the last column
    found = features.hog_feature(rising).reshape(3, 2, 9)
    np.testing.assert_allclose(found[:, :, 4], [[2, 2], [2, 2], [1.75, 1.75]])
    assert not np.delete(found, 4, axis=2).any()
    assert not features.hog_feature(-rising).any()  # 270 degrees: not counted


@pytest.mark.peers
def test_hues_agree_with_matplotlib():
    colors = pytest.importorskip("matplotlib.colors")
    image = RNG.integers(0, 256, (40, 30, 3)).astype(float)
    image[:5] = image[:5, :, :1]  # grey
    image[5:8, :, 1] = image[5:8, :, 0]  # two channels are the maximum
    hue = colors.rgb_to_hsv(image / 255)[..., 0] * 255
    for nbin, normalized in ((10, True), (7, False)):
        edges = np.linspace(0, 255, nbin + 1)
        expected = np.histogram(hue, bins=edges, density=normalized)[0] * np.diff(edges)
        found = features.color_histogram_hsv(image, nbin=nbin, normalized=normalized)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert np.isclose(features.color_histogram_hsv(image).sum(), 1)


def test_hues_of_pure_colours():
    pure = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [7, 7, 7]]])
    counts = features.color_histogram_hsv(pure, nbin=6, normalized=False) / (255 / 6)
    assert counts.tolist() == [2, 1, 1, 0, 1, 0]  # red and grey 0, yellow 1/6, green 1/3, blue 2/3
