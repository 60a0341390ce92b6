"""Batch norm on the device: the tests of all backends, on the emulator, and what is its own."""

from __future__ import annotations

import cases
import numpy as np
import oracle
import pytest
from backends import test_norm as norms
from cuda.devices import HostOps

from fastnet.backends import Ops

EMPTY = [(1, 4), (1, 3, 1, 1), (0, 3, 4, 4), (0, 5), (2, 3, 0, 4)]
WIDE = [(70, 300), (2, 257, 3, 2)]  # more columns than a block has threads
PARTS = [(4096, 1), (700, 33), (3, 5, 300)]  # sums of several parts


@pytest.fixture
def ops(device):
    return HostOps(device)


@pytest.mark.parametrize("shape", cases.NORM_SHAPES + WIDE + PARTS, ids=str)
def test_training(ops, dtype, shape):
    norms.test_training(ops, dtype, shape)


@pytest.mark.parametrize("shape", [*cases.NORM_SHAPES[::2], *EMPTY, *WIDE], ids=str)
def test_inference(ops, dtype, shape):
    norms.test_inference(ops, dtype, shape)


@pytest.mark.parametrize("with_gamma, with_beta", [(False, False), (True, False), (False, True)])
def test_without_gamma_or_beta(ops, dtype, with_gamma, with_beta):
    norms.test_without_gamma_or_beta(ops, dtype, with_gamma, with_beta)


@pytest.mark.parametrize("mean, std", [(1e4, 1e-2), (-3e3, 1.0), (1e-3, 1e3)])
def test_float32_does_not_lose_the_moments(ops, mean, std):
    norms.test_float32_does_not_lose_the_moments(ops, (1000, 3), mean, std)


def test_an_outlier_as_the_first_value_costs_no_precision(ops, dtype):
    x = cases.normal((500, 3), dtype)
    x[0] = 1e6
    mean, var, _ = oracle.moments(x)
    y, _ = ops.batch_norm(x, None, None, None, None, True)
    norms.check_forward(y, x, None, None, mean, var, dtype)


def test_constant_channels_have_variance_zero(ops, dtype):
    norms.test_constant_channels_have_variance_zero(ops, dtype)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_stay_in_their_channel(ops, dtype, bad):
    norms.test_nan_and_infinity_stay_in_their_channel(ops, dtype, bad)


@pytest.mark.parametrize("how", ["every-other", "offset"])
def test_running_statistics_move_in_place_wherever_they_lie(ops, how):
    norms.test_running_statistics_move_in_place_wherever_they_lie(ops, how)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("with_add", [True, False])
@pytest.mark.parametrize("activation", [None, ("relu", {}), ("elu", {"alpha": 0.5}), ("gelu", {})], ids=str)
def test_sums_and_activations(ops, dtype, training, with_add, activation):
    shape = (3, 17, 4, 5)
    x, dy, gamma, beta, mean, var = norms.problem(shape, dtype)
    add = cases.normal(shape, dtype, 9) if with_add else None
    results = []
    for each in (ops, Ops()):
        running = mean.copy(), var.copy()
        y, saved = each.batch_norm_activation(x, gamma, beta, *running, add, training, activation=activation)
        results.append([y, *each.batch_norm_activation_backward(dy, saved), *running])
    for got, expected in zip(*results, strict=True):
        assert (got is None) == (expected is None)
        if got is not None:
            scale = 256 * norms.UNIT[dtype]
            np.testing.assert_allclose(got, expected, scale, scale * abs(expected).max())


def test_integers_have_the_cpus_sums(ops, dtype):
    """x has mean 0 and variance 1, so every value is exact."""
    x = np.tile(np.array([1, -1], dtype)[:, None], (300, 5))
    dy = cases.integers(x.shape, dtype)
    y, saved = ops.batch_norm(x, None, None, None, None, True, 0.1, 0.0)
    np.testing.assert_array_equal(y, x)
    _, dgamma, dbeta = ops.batch_norm_backward(dy, saved, (True, True, True))
    np.testing.assert_array_equal(dgamma, (dy * x).sum(axis=0))
    np.testing.assert_array_equal(dbeta, dy.sum(axis=0))


@pytest.mark.parametrize("with_add", [True, False])
def test_a_relu_has_no_gradient_at_zero(ops, dtype, with_add):
    x, zeros = cases.normal((3, 4, 5), dtype), np.zeros(4, dtype)
    add = np.zeros_like(x) if with_add else None
    y, saved = ops.batch_norm_activation(x, zeros, zeros, None, None, add, True, activation=("relu", {}))
    for gradient in (y, *ops.batch_norm_activation_backward(np.ones_like(x), saved)):
        assert gradient is None or not gradient.any()
