"""What the experiments on normalisation claim, in few numbers."""

from __future__ import annotations

import numpy as np
import pytest

import fastnet as fn
from fastnet import functional as F


@pytest.mark.parametrize("dtype, tolerance", [("float32", 2e-6), ("float64", 1e-6)])
def test_batch_norm_can_be_the_identity(dtype, tolerance):
    x = np.random.default_rng(0).normal(2, [[[1.0]], [[0.01]], [[30.0]]], (20, 3, 5, 5)).astype(dtype)
    mean, var = x.mean((0, 2, 3), dtype=np.float64), x.var((0, 2, 3), dtype=np.float64)
    layer = fn.BatchNorm2d()
    layer.build(x.shape[1:], dtype=dtype)
    layer.weight.value[...], layer.bias.value[...] = np.sqrt(var + layer.eps), mean
    y, _ = layer.forward(x, training=True)
    np.testing.assert_array_less(abs(y - x).max((0, 2, 3)), tolerance * (np.sqrt(var) + abs(mean)))


def test_an_image_s_output_does_not_depend_on_the_batch_at_test_time():
    x = np.random.default_rng(0).normal(size=(20, 3, 5, 5)).astype(np.float32)
    model = fn.Sequential(fn.BatchNorm2d(), fn.ReLU())
    model.forward(x, training=True)
    for count in (2, 7, 20):
        alone = model(x[:1])
        np.testing.assert_array_equal(model(x[:count])[:1], alone)
        assert (model.forward(x[:count], training=True)[0][:1] != alone).any()


def test_group_norm_lies_between_layer_norm_and_instance_norm():
    x = np.random.default_rng(0).normal(size=(3, 6, 4, 5))
    np.testing.assert_allclose(F.group_norm(x, 1)[0], F.layer_norm(x, x.shape[1:])[0], atol=1e-13)
    np.testing.assert_allclose(F.group_norm(x, 6)[0], F.instance_norm(x)[0], atol=1e-13)
