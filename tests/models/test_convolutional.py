"""Classifiers turned into fully convolutional networks: the same scores, and maps of them."""

from __future__ import annotations

import numpy as np
import pytest

import fastnet as fn
from fastnet import models


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("backend", fn.available_backends())
def test_the_original_size_has_the_same_scores(dtype, backend):
    with fn.use_backend(backend):
        net = models.pattern("(CONV-BN-RELU-POOL)*2-FC-BN-RELU-DROPOUT-FC", 7, (3, 16, 16), 8, 20, dtype=dtype)
        x = np.random.default_rng(0).normal(size=(5, 3, 16, 16)).astype(dtype)
        net.forward(x, training=True)  # moves the running statistics
        turned = models.fully_convolutional(net)
        assert turned.output_shape == (7, 1, 1)
        tolerance = 1e-5 if dtype == "float32" else 1e-12
        np.testing.assert_allclose(turned(x)[:, :, 0, 0], net(x), rtol=tolerance, atol=tolerance)


def test_a_larger_image_has_a_map_of_scores():
    """Each score is the classifier's on the window at that place, here without padding, so exactly that."""
    net = fn.Sequential(
        fn.Sequential(fn.Conv2d(6, 3), fn.ReLU(), fn.MaxPool2d(2)),
        fn.Flatten(),
        fn.Sequential(fn.Linear(9), fn.Tanh(), fn.Linear(4)),
    )
    net.build((2, 12, 12), dtype="float64")
    net.class_names = ("a", "b", "c", "d")
    x = np.random.default_rng(0).normal(size=(2, 2, 18, 20))
    turned = models.fully_convolutional(net)
    scores = turned(x)
    assert scores.shape == (2, 4, 4, 5) and turned.class_names == net.class_names
    for p in range(4):
        for q in range(5):
            window = x[:, :, 2 * p : 2 * p + 12, 2 * q : 2 * q + 12]
            np.testing.assert_allclose(scores[:, :, p, q], net(window), rtol=1e-10, atol=1e-12)
    assert turned.predict_classes(x).shape == (2, 4, 5)


def test_the_original_stays_as_it_is():
    net = models.lenet5()
    before = {name: value.copy() for name, value in net.state_dict().items()}
    turned = models.fully_convolutional(net)
    assert list(turned.state_dict()) == list(before)
    for parameter in turned.parameters():
        parameter.value[...] = 0
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_vgg_of_384_pixels_gives_6_by_6_scores(monkeypatch):
    monkeypatch.setattr(fn.initializers, "draw", lambda initializer, rng, shape: np.zeros(shape, np.float32))
    turned = models.fully_convolutional(models.vgg16())
    assert turned.output_shape == (1000, 1, 1)
    assert turned.shape_of((3, 384, 384)) == (1000, 6, 6)
    assert turned.summary().parameters == 138_357_544


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        ([fn.Conv2d(4, 3), fn.ReLU()], TypeError, "no Flatten"),
        (
            [fn.Conv2d(4, 3), fn.GlobalAvgPool2d(), fn.Flatten(), fn.Linear(2)],
            ValueError,
            "the same size for every",
        ),
        (
            [fn.Conv2d(4, 3), fn.Flatten(), fn.BatchNorm1d(), fn.Linear(2)],
            TypeError,
            "BatchNorm1d.* no form",
        ),
        ([fn.Conv2d(4, 3), fn.Flatten(), fn.Residual(fn.ReLU())], TypeError, "no form for images"),
    ],
)
def test_what_cannot_be_turned_is_said(layers, error, message):
    net = fn.Sequential(*layers)
    net.build((1, 8, 8))
    with pytest.raises(error, match=message):
        models.fully_convolutional(net)


def test_what_is_no_built_sequential_is_refused():
    with pytest.raises(TypeError, match="must be a Sequential, got Residual"):
        models.fully_convolutional(fn.Residual(fn.ReLU()))
    with pytest.raises(ValueError, match="build the model first"):
        models.fully_convolutional(fn.Sequential(fn.Flatten(), fn.Linear(2)))
