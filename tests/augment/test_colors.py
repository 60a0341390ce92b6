"""Colours, filters and warps against Pillow and plain formulas, and the errors of these transforms."""

from __future__ import annotations

import numpy as np
import pytest

from fastnet import augment as A
from fastnet.augment import adjust, maps, policies
from fastnet.augment.kernels import warp

X = np.random.default_rng(0).integers(0, 256, (3, 3, 24, 30), dtype=np.uint8)
ONE = np.ones(len(X))


def rng(seed=1):
    return np.random.default_rng(seed)


def pillow(function, x=X):
    pil = pytest.importorskip("PIL.Image")
    images = [pil.fromarray(image.transpose(1, 2, 0)) for image in x]
    return np.stack([np.asarray(function(image)).transpose(2, 0, 1) for image in images])


def within(a, b, tolerance):
    return np.abs(a.astype(int) - b).max() <= tolerance


def test_values_are_pillow_s():
    ops = pytest.importorskip("PIL.ImageOps")
    assert np.array_equal(adjust.invert(X), pillow(ops.invert))
    assert np.array_equal(adjust.solarize(X, 100 * ONE), pillow(lambda image: ops.solarize(image, 100)))
    for bits in (1, 4, 8):
        assert np.array_equal(adjust.posterize(X, bits * ONE), pillow(lambda image, b=bits: ops.posterize(image, b)))
    dull = X // 3 + 20
    assert within(adjust.autocontrast(dull), pillow(ops.autocontrast, dull), 1)
    assert np.array_equal(adjust.equalize(dull), pillow(ops.equalize, dull))


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.7])
def test_enhancements_are_pillow_s(factor):
    enhance = pytest.importorskip("PIL.ImageEnhance")
    f = factor * ONE
    assert within(adjust.brightness(X, f), pillow(lambda image: enhance.Brightness(image).enhance(factor)), 1)
    assert within(adjust.contrast(X, f), pillow(lambda image: enhance.Contrast(image).enhance(factor)), 2)
    assert within(adjust.saturation(X, f), pillow(lambda image: enhance.Color(image).enhance(factor)), 2)
    sharp = pillow(lambda image: enhance.Sharpness(image).enhance(factor))
    assert within(adjust.sharpness(X, f)[..., 1:-1, 1:-1], sharp[..., 1:-1, 1:-1], 2)


def test_hue_is_that_of_colorsys():
    import colorsys

    shift = 0.2
    moved = adjust.hue(X[:1], np.array([shift]))[0].reshape(3, -1).T
    for pixel, result in zip(X[0].reshape(3, -1).T, moved, strict=True):
        h, s, v = colorsys.rgb_to_hsv(*(pixel / 255.0))
        assert within(result, np.array(colorsys.hsv_to_rgb((h + shift) % 1, s, v)) * 255, 1.01)
    assert np.array_equal(adjust.hue(X, 0 * ONE), X)


def test_blur_is_scipy_s():
    ndimage = pytest.importorskip("scipy.ndimage")
    ours = A.GaussianBlur(9, 1.3)(X, rng())
    theirs = ndimage.gaussian_filter(X.astype(float), (0, 0, 1.3, 1.3), radius=(0, 0, 4, 4), mode="mirror")
    assert np.abs(ours - theirs).max() < 0.6


def test_maps():
    still = np.zeros((3, 2))
    zero, shape = np.zeros(3), X.shape[2:]
    assert np.array_equal(warp(X, shape, maps.affine(shape, zero, still, ONE, still), "bilinear"), X)
    moved = warp(X, shape, maps.affine(shape, zero, still + (3, -2), ONE, still), "nearest", 9)
    assert np.array_equal(moved[..., :-2, 3:], X[..., 2:, :-3]) and (moved[..., :3] == 9).all()
    square = np.ascontiguousarray(X[..., :24])
    turned = warp(square, (24, 24), maps.affine((24, 24), zero + 90, still, ONE, still), "bilinear")
    assert np.array_equal(turned, np.rot90(square, -1, (2, 3)))
    corners = np.array([[(0, 0), (29, 0), (29, 23), (0, 23)]] * 3, float)
    assert np.array_equal(warp(X, shape, maps.perspective(corners, corners), "bilinear"), X)
    assert np.array_equal(warp(X, shape, maps.radial(shape, zero, zero), "bilinear"), X)


def test_rotations_that_keep_the_whole_image():
    whole = A.RandomRotation((90, 90), "bilinear", expand=True)(X, rng())
    assert np.array_equal(whole, np.rot90(X, 1, (2, 3)))
    turned = A.RandomRotation((-60, 60), expand=True, fill=255)(np.zeros_like(X), rng())
    assert len({image.shape for image in turned}) > 1
    for image in turned:  # as many dark pixels as before, to the rounding of their border
        assert abs((image[0] == 0).sum() - X[0, 0].size) < 0.03 * X[0, 0].size
    assert A.Compose([A.RandomRotation(30, expand=True), A.Resize((8, 8))])(X, rng()).shape == (len(X), 3, 8, 8)
    with pytest.raises(ValueError, match="turn about their middle, got center=\\(1, 2\\)"):
        A.RandomRotation(30, expand=True, center=(1, 2))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (3, 3)])
def test_corners_that_coincide(shape):
    images = np.full((40, 1, *shape), 7, np.uint8)
    for scale in (0.5, 1.0):
        assert set(np.unique(A.RandomPerspective(scale, 1.0)(images, rng()))) <= set(range(8))


def test_a_lens_reads_where_its_formula_says():
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8) * 4, (1, 1, 64, 64)).copy()
    bent = warp(ramp, (64, 64), maps.radial((64, 64), np.array([-0.3]), np.array([0.1])), "bilinear")[0, 0]
    across, down = np.meshgrid(np.arange(64) - 31.5, np.arange(64) - 31.5)
    r = np.hypot(across, down) / np.hypot(32, 32)
    assert np.abs(bent - 4 * (31.5 + across * (1 - 0.3 * r**2 + 0.1 * r**4))).max() < 0.6


def test_pca_color():
    flat = np.full((4000, 3, 2, 2), 128, np.uint8)
    offsets = A.PCAColor(1.0)(flat, rng())[:, :, 0, 0].astype(float) - 128
    values, vectors = np.array(A.PCAColor().eigenvalues), A.PCAColor().eigenvectors
    expected = vectors @ np.diag(values**2) @ vectors.T
    assert np.allclose(np.cov(offsets.T), expected, rtol=0.1)
    fitted = A.PCAColor.fit(X)
    pixels = X.swapaxes(0, 1).reshape(3, -1).astype(float)
    rebuilt = fitted.eigenvectors @ np.diag(fitted.eigenvalues**2) @ fitted.eigenvectors.T
    assert np.allclose(rebuilt, np.cov(pixels))


def test_no_images():
    for transform in (A.RandomApply([A.RandomInvert()]), A.RandomChoice([A.RandomInvert(), A.RandomEqualize()])):
        assert transform(X[:0], rng()).shape == (0, 3, 24, 30)


def test_erased_boxes():
    bright = np.full((300, 3, 32, 32), 200, np.uint8)
    share = (A.RandomErasing(1.0)(bright, rng()) == 0).all(axis=1).mean(axis=(1, 2))
    assert 0.015 < share.min() < 0.04 and 0.25 < share.max() < 0.35
    holes = (A.Cutout(8)(bright, rng()) == 0).all(axis=1).sum(axis=(1, 2))
    assert holes.max() == 64 and holes.min() >= 16
    assert abs((A.RandomErasing(0.3)(bright, rng()) == 0).any(axis=(1, 2, 3)).mean() - 0.3) < 0.08


def test_erasing_in_place():
    for value in (0, "random"):
        given, once = X.copy(), A.RandomErasing(0.6, value=value)(X, rng())
        assert A.RandomErasing(0.6, value=value, inplace=True)(given, rng()) is given
        np.testing.assert_array_equal(given, once)
    frozen = X.copy()
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only; leave it out"):
        A.RandomErasing(1.0, inplace=True)(frozen, rng())


def test_tables_of_policies():
    for policy in policies.POLICIES:
        assert len(list(policies._parsed(policy))) == 25
    assert policies.magnitudes("Posterize", 10, (32, 32)).tolist() == [8, 8, 7, 7, 6, 6, 5, 5, 4, 4]
    assert policies.magnitudes("TranslateX", 31, (20, 331))[-1] == 150


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: A.ColorJitter(hue=0.6), ValueError, "between -0.5 and 0.5, got 0.6"),
        (lambda: A.ColorJitter(brightness=-1), ValueError, "must be >= 0, got -1"),
        (lambda: A.ColorJitter(contrast=(2, 1)), ValueError, "smallest, largest"),
        (lambda: A.ColorJitter(hue=0.1)(X[:, :1], rng()), ValueError, "3 channels, got 1"),
        (lambda: A.PCAColor()(X[:, :1], rng()), ValueError, "3 channels .* got 1"),
        (lambda: A.RandomAffine(-5), ValueError, "must be >= 0, got -5"),
        (lambda: A.RandomAffine(5, translate=(2, 0)), ValueError, r"shares of the image from 0 to 1, .*got \(2, 0\)"),
        (lambda: A.RandomRotation(5, "bicubic"), ValueError, "one of nearest, bilinear"),
        (lambda: A.RandomPerspective(1.5), ValueError, "distortion_scale must be from 0 to 1"),
        (lambda: A.RandomLensDistortion(3), ValueError, "between -1 and 1"),
        (lambda: A.GaussianBlur(4), ValueError, "must be odd"),
        (lambda: A.GaussianBlur(61)(X, rng()), ValueError, "smaller kernel_size"),
        (lambda: A.RandomErasing(scale=(0.1, 2)), ValueError, "at most 1"),
        (lambda: A.AutoAugment("mnist"), ValueError, "one of imagenet, cifar10, svhn"),
        (lambda: A.RandAugment(magnitude=31), ValueError, "below num_magnitude_bins"),
        (lambda: A.TrivialAugmentWide()(X[:, :2], rng()), ValueError, "1 or 3 channels"),
        (lambda: A.RandomPosterize(9), ValueError, "0 to 8"),
        (lambda: A.RandomInvert()(X, 0), TypeError, "such as np.random.default_rng.0., got 0"),
        (lambda: A.RandomInvert()(X / 255, rng()), TypeError, "images of bytes, a uint8 array .*, got float64"),
        (lambda: A.AutoAugment(fill=300), ValueError, "AutoAugment: fill must be between 0 and 255"),
        (lambda: A.PCAColor.fit(X / 255), ValueError, "must be bytes, uint8 .* got float64"),
        (lambda: A.PCAColor.fit(X[:1, :, :1, :1]), ValueError, "at least two pixels"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
