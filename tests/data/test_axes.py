"""The order of axes of images: told from the shape, or asked for."""

import warnings

import numpy as np
import pytest

import fastnet as fn
from fastnet.data import npz
from fastnet.data.axes import lies_channels_last


@pytest.mark.parametrize(
    "shape",
    [(3, 32, 32), (1, 28, 28), (4, 100, 60), (13, 64, 64), (2, 48, 64), (64, 8, 8), (512, 7, 7), (1, 4, 4), (3, 8, 6)],
)
def test_one_order_fits(shape):
    assert lies_channels_last((9, *shape)) is False
    assert lies_channels_last((9, *shape[1:], shape[0])) is True


@pytest.mark.parametrize(
    "shape", [(3, 32, 3), (32, 32, 32), (3, 3, 3), (1, 28, 1), (4, 64, 4), (64, 4, 4), (100, 3, 100), (30, 40, 20)]
)
def test_both_or_none_fit(shape, tmp_path):
    assert lies_channels_last((9, *shape)) is None
    X = np.arange(9 * np.prod(shape)).reshape(9, *shape)
    np.savez(tmp_path / "a.npz", X=X, y=np.arange(9) % 2)
    with pytest.raises(ValueError, match=r"could be \(N, C, H, W\) or \(N, H, W, C\); use channels_last=False or"):
        npz(tmp_path / "a.npz")
    assert npz(tmp_path / "a.npz", channels_last=False).image_shape == shape
    assert npz(tmp_path / "a.npz", channels_last=True).image_shape == (shape[2], *shape[:2])


def test_multispectral_images(tmp_path):
    X = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 13), np.uint8)
    np.savez(tmp_path / "eurosat.npz", X=X, y=np.arange(20) % 2)
    data = npz(tmp_path / "eurosat.npz", test="all")
    np.testing.assert_array_equal(data.X_test, X.transpose(0, 3, 1, 2))


def test_images_along_the_last_axis(tmp_path):
    np.savez(tmp_path / "svhn.npz", X=np.zeros((32, 32, 3, 50), np.uint8), y=np.arange(50) % 10)
    with pytest.raises(ValueError, match=r"50 images lie along the last axis of \(32, 32, 3, 50\); save np.moveaxis"):
        npz(tmp_path / "svhn.npz")


@pytest.mark.parametrize("shape", [(32, 32, 3), (28, 28, 1), (64, 64, 13)])
def test_arrays_that_seem_to_be_channels_last_are_told(shape):
    X, y = np.zeros((9, *shape), np.uint8), np.arange(9) % 3
    with pytest.warns(
        UserWarning, match=r"set: images of shape \(9, .*seem to be \(N, H, W, C\).*X.transpose\(0, 3, 1, 2\)"
    ):
        fn.data.Dataset(X, y, X, y, tuple("abc"), "set")
    model = fn.Sequential(fn.Flatten(), fn.Linear(3))
    with pytest.warns(UserWarning, match=r"Solver: images of shape \(9, .*seem to be \(N, H, W, C\)"):
        fn.Solver(model, (X, y), verbose=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        X = X.transpose(0, 3, 1, 2)
        fn.data.Dataset(X, y, X, y, tuple("abc"), "set")
        fn.Solver(fn.Sequential(fn.Flatten(), fn.Linear(3)), (X, y), verbose=False)
