"""Functions on the backend "cupy": what comes in as NumPy's goes out as NumPy's, arrays of the device stay there."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from cuda.surface import IMAGES, X, Y, alike, network, same
from test_functional import OPS

import fastnet as fn
from fastnet import backends, gradients, initializers, layout, losses
from fastnet import functional as F

rng = np.random.default_rng(1)
SCORES = rng.standard_normal((6, 4)).astype(np.float32)
NUMBERS, SOFT = np.arange(6) % 4, np.eye(4, dtype=np.float32)[np.arange(6) % 4]


@pytest.mark.parametrize("name", OPS)
def test_results_follow_their_arguments(name, device):
    function, arrays = OPS[name]
    arrays = [array.astype(np.float32) for array in arrays]
    y, backward = function(*arrays)
    dy = np.cos(np.arange(y.size, dtype=np.float32)).reshape(y.shape)
    found = backward(dy)
    there, backward = function(*map(device.xp.asarray, arrays))
    assert type(there) is device.xp.ndarray
    moved = backward(device.xp.asarray(dy))
    for one, other in zip(_listed(found), _listed(moved), strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert type(other) is device.xp.ndarray
            np.testing.assert_array_equal(one, other.get())
    with backends.use_backend("reference"):
        expected, backward = function(*arrays)
        alike([y, _listed(found)], [np.asarray(expected), _listed(backward(dy))], 1e-4)


def _listed(found):
    return list(found) if isinstance(found, tuple) else [found]


LOSSES = {
    "softmax": (losses.softmax_cross_entropy, NUMBERS),
    "soft labels": (losses.softmax_cross_entropy, SOFT),
    "weights": (partial(losses.softmax_cross_entropy, weight=[1, 2, 0.5, 1], label_smoothing=0.1), NUMBERS),
    "ignored": (partial(losses.softmax_cross_entropy, ignore_index=2), NUMBERS),
    "svm": (losses.svm, NUMBERS),
    "squared hinge": (losses.squared_hinge, NUMBERS),
    "mse": (losses.mse, SOFT),
    "l1": (losses.l1, SOFT),
    "huber": (losses.huber, SOFT),
    "bce": (losses.bce_with_logits, SOFT),
    "binary hinge": (losses.binary_hinge, SOFT),
    "distillation": (fn.training.Distillation(2.0, 0.5), np.concatenate([SCORES + 1, NUMBERS[:, None]], 1)),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name, device):
    loss, labels = LOSSES[name]
    value, gradient = loss(SCORES, labels)
    assert type(value) is float and type(gradient) is np.ndarray
    there, moved = loss(device.xp.asarray(SCORES), labels)
    again, other = loss(device.xp.asarray(SCORES), device.xp.asarray(labels))
    assert {type(moved), type(other)} == {device.xp.ndarray} and there == value == again
    measured = losses.measure(loss, device.xp.asarray(SCORES), labels)
    assert type(measured) is float
    with backends.use_backend("reference"):
        alike([value, gradient, measured], [*loss(SCORES, labels), losses.measure(loss, SCORES, labels)], 1e-5)


@pytest.mark.parametrize("labels", [np.array([0, 1, 2, 4, 0, 1]), SOFT * 2, np.zeros((6, 1), np.float32)])
def test_labels_that_do_not_fit_are_told(labels, device):
    for place in (np.asarray, device.xp.asarray):
        with pytest.raises((ValueError, TypeError), match="cross_entropy"):
            losses.softmax_cross_entropy(SCORES, place(labels))


def test_gradients_of_kept_arguments():
    x, w = IMAGES, rng.standard_normal((2, 1, 3, 3)).astype(np.float32)
    dy = rng.standard_normal((5, 2, 4, 4)).astype(np.float32)
    same(lambda: gradients.conv2d(dy, x, w))
    for ties in ("first", "split", "all"):
        same(partial(gradients.max_pool2d, dy[:, :1, :3, :3], x, 2, ties=ties))
    same(lambda: gradients.avg_pool2d(dy[:, :1, :3, :3], x.shape, 2))


def test_statistics_of_numpy_are_updated_in_place(device):
    mean, var = np.zeros(1, np.float32), np.ones(1, np.float32)
    F.batch_norm(IMAGES, running_mean=mean, running_var=var, training=True)
    np.testing.assert_allclose(mean, 0.1 * IMAGES.mean(), 1e-5)
    assert var[0] != 1


def test_memory_orders(device):
    assert type(layout.channels_last(IMAGES)) is type(layout.contiguous(IMAGES)) is np.ndarray
    there = layout.channels_last(device.xp.asarray(IMAGES.repeat(2, 1)))
    assert there.transpose(0, 2, 3, 1).flags.c_contiguous
    assert layout.contiguous(there).flags.c_contiguous


@pytest.mark.parametrize("fitted", ["lsuv", "data_dependent"])
def test_initial_values_that_are_fitted_to_data(fitted):
    def found():
        model = network(0)
        return getattr(initializers, fitted)(model, IMAGES), model.state_dict()

    same(found, 1e-3)


def test_initial_values_of_whole_models():
    def found():
        model = network(0)
        residual = fn.Sequential(fn.Residual(fn.Sequential(fn.Conv2d(1, 3, padding=1), fn.Conv2d(1, 3, padding=1))))
        residual = fn.Sequential(*residual, fn.Flatten(), fn.Linear(2))
        residual.build((1, 6, 6), seed=0)
        return [
            initializers.initialize(model, "xavier_uniform", 0.01, seed=3),
            model.state_dict(),
            initializers.fixup(residual),
            residual.state_dict(),
        ]

    same(found, 0)


def test_gradcheck_of_functions_and_models(device):
    assert fn.gradcheck(network(0), IMAGES[:2], Y[:2], samples=3).ok
    assert fn.gradcheck(lambda x: F.tanh(x), IMAGES, samples=3).ok


def test_loaders_and_preprocessing_stay_with_numpy(device):
    prepare = fn.data.Standardize.fit(device.xp.asarray(X))
    x, y = next(fn.data.Loader(device.xp.asarray(X), device.xp.asarray(Y), 4, preprocess=prepare).batches(0))
    assert type(x) is type(y) is np.ndarray
