"""Batch norm of every backend, dtype and instruction set against the oracle."""

from __future__ import annotations

import cases
import numpy as np
import oracle
import pytest

from fastnet import functional
from fastnet.backends import available_backends, use_backend

UNIT = {np.dtype(np.float32): 2.0**-24, np.dtype(np.float64): 2.0**-53}
EPS = 1e-5


def problem(shape, dtype, seed=0):
    C = shape[1]
    x, dy = cases.normal(shape, dtype, seed), cases.normal(shape, dtype, seed + 1)
    gamma, beta = cases.normal((C,), dtype, seed + 2), cases.normal((C,), dtype, seed + 3)
    mean, var = cases.normal((C,), dtype, seed + 4), abs(cases.normal((C,), dtype, seed + 5)) + dtype.type(0.1)
    return x, dy, gamma, beta, mean, var


def per_channel(array, x):
    return np.asarray(array, np.float64).reshape((1, -1) + (1,) * (x.ndim - 2))


def check(got, expected, bound):
    np.testing.assert_array_less(abs(got - expected), bound + 1e-300)


def check_forward(y, x, gamma, beta, mean, var, dtype, slack=0.0):
    expected = oracle.batch_norm(x, gamma, beta, mean, var, EPS)
    weight = per_channel(np.ones(len(mean)) if gamma is None else abs(gamma), x)
    # x - mean is off by u standard deviations at most, however large the mean
    size = abs(expected) + weight * (1 + abs(oracle.batch_norm(x, None, None, mean, var, EPS))) + per_channel(slack, x)
    assert y.dtype == dtype and y.shape == x.shape
    check(y, expected, 8 * UNIT[dtype] * size)


def check_backward(gradients, dy, x, gamma, mean, var, training, dtype):
    dx, dgamma, dbeta = gradients
    expected = oracle.batch_norm_backward(dy, x, gamma, mean, var, training, EPS)
    xhat = oracle.batch_norm(x, None, None, mean, var, EPS)
    axes = (0, *range(2, x.ndim))
    wide = dy.astype(np.float64)
    scale = abs(per_channel(np.ones(len(mean)) if gamma is None else gamma, x)) / np.sqrt(per_channel(var, x) + EPS)
    size = abs(wide)
    if training:
        size = size + abs(wide).mean(axis=axes, keepdims=True)
        size = size + (1 + abs(xhat)) * abs(wide * xhat).mean(axis=axes, keepdims=True)
    check(dx, expected[0], 16 * UNIT[dtype] * scale * size)
    check(dgamma, expected[1], 8 * UNIT[dtype] * abs(wide * (1 + abs(xhat))).sum(axis=axes))
    check(dbeta, expected[2], 8 * UNIT[dtype] * abs(wide).sum(axis=axes))
    assert dx.dtype == dgamma.dtype == dbeta.dtype == dtype


@pytest.mark.parametrize("shape", cases.NORM_SHAPES, ids=str)
def test_training(ops, dtype, shape):
    x, dy, gamma, beta, running_mean, running_var = problem(shape, dtype)
    mean, var, unbiased = oracle.moments(x)
    old_mean, old_var = running_mean.copy(), running_var.copy()
    y, saved = ops.batch_norm(x, gamma, beta, running_mean, running_var, True, 0.3, EPS)
    check_forward(y, x, gamma, beta, mean, var, dtype)
    sizes = abs(x.astype(np.float64)).mean(axis=(0, *range(2, x.ndim)))
    check(running_mean, 0.7 * old_mean + 0.3 * mean, 8 * UNIT[dtype] * (abs(old_mean) + sizes))
    check(running_var, 0.7 * old_var + 0.3 * unbiased, 8 * UNIT[dtype] * (old_var + unbiased))
    check_backward(ops.batch_norm_backward(dy, saved), dy, x, gamma, mean, var, True, dtype)


@pytest.mark.parametrize(
    "shape", [*cases.NORM_SHAPES, (1, 4), (1, 3, 1, 1), (0, 3, 4, 4), (0, 5), (2, 3, 0, 4)], ids=str
)
def test_inference(ops, dtype, shape):
    x, dy, gamma, beta, mean, var = problem(shape, dtype)
    kept = mean.copy(), var.copy()
    y, saved = ops.batch_norm(x, gamma, beta, mean, var, False, eps=EPS)
    np.testing.assert_array_equal((mean, var), kept)
    # x - mean cancels: the error is relative to them both
    slack = abs(gamma) * (abs(mean) + (abs(x).max() if x.size else 0)) / np.sqrt(var + EPS)
    check_forward(y, x, gamma, beta, mean, var, dtype, slack)
    gradients = ops.batch_norm_backward(dy, saved)
    if x.size:
        check_backward(gradients, dy, x, gamma, mean, var, False, dtype)
    else:
        assert gradients[0].shape == shape and not gradients[1].any() and not gradients[2].any()


@pytest.mark.parametrize("with_gamma, with_beta", [(False, False), (True, False), (False, True)])
def test_without_gamma_or_beta(ops, dtype, with_gamma, with_beta):
    x, dy, gamma, beta, *_ = problem((3, 17, 4, 3), dtype)
    gamma, beta = gamma if with_gamma else None, beta if with_beta else None
    mean, var, _ = oracle.moments(x)
    y, saved = ops.batch_norm(x, gamma, beta, None, None, True)
    check_forward(y, x, gamma, beta, mean, var, dtype)
    check_backward(ops.batch_norm_backward(dy, saved, (True, True, True)), dy, x, gamma, mean, var, True, dtype)
    assert [g is not None for g in ops.batch_norm_backward(dy, saved)] == [True, with_gamma, with_beta]
    for needs in np.ndindex(2, 2, 2):
        gradients = ops.batch_norm_backward(dy, saved, tuple(map(bool, needs)))
        assert [g is not None for g in gradients] == list(map(bool, needs))


@pytest.mark.parametrize("shape", [(4000, 3), (64, 17, 8, 8)], ids=str)
@pytest.mark.parametrize("mean, std", [(1e4, 1e-2), (-3e3, 1.0), (1e-3, 1e3)])
def test_float32_does_not_lose_the_moments(ops, shape, mean, std):
    """Mean 1e4 and standard deviation 1e-2: a variance by E[x^2] - E[x]^2 in float32 would be noise."""
    dtype = np.dtype(np.float32)
    x = (mean + std * np.random.default_rng(0).normal(size=shape)).astype(dtype)
    dy = cases.normal(shape, dtype, 1)
    exact_mean, var, unbiased = oracle.moments(x)
    running_mean, running_var = np.zeros(shape[1], dtype), np.zeros(shape[1], dtype)
    y, saved = ops.batch_norm(x, None, None, running_mean, running_var, True, 1.0, 1e-12)
    expected = oracle.batch_norm(x, None, None, exact_mean, var, 1e-12)
    check(y, expected, 8 * UNIT[dtype] * (abs(expected) + 1))
    # the sum needs double: a float32 sum would be off by many u standard deviations
    check(running_mean, exact_mean, UNIT[dtype] * (2 * abs(exact_mean) + 0.1 * np.sqrt(var)))
    check(running_var, unbiased, 4 * UNIT[dtype] * unbiased)
    dx, dgamma, _ = ops.batch_norm_backward(dy, saved, (True, True, False))
    expected = oracle.batch_norm_backward(dy, x, None, exact_mean, var, True, 1e-12)
    check(dx, expected[0], 32 * UNIT[dtype] * (abs(dy) + abs(y) + 1) / np.sqrt(per_channel(var, x)))
    check(dgamma, expected[1], 64 * UNIT[dtype] * abs(dy * y).sum(axis=(0, *range(2, x.ndim))))


def test_constant_channels_have_variance_zero(ops, dtype):
    x = np.full((4, 5, 3, 3), 3.0, dtype)
    beta = np.arange(5, dtype=dtype)
    y, saved = ops.batch_norm(x, np.ones(5, dtype), beta, None, None, True)
    np.testing.assert_array_equal(y, np.broadcast_to(beta[:, None, None], x.shape))
    dx, dgamma, dbeta = ops.batch_norm_backward(np.ones_like(x), saved)
    assert np.isfinite(dx).all()
    np.testing.assert_array_equal(dgamma, 0)
    np.testing.assert_array_equal(dbeta, 36)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_stay_in_their_channel(ops, dtype, bad):
    x = cases.normal((3, 20, 4, 4), dtype)
    x[1, 7, 2, 2] = bad
    with np.errstate(invalid="ignore"):
        y, _ = ops.batch_norm(x, None, None, None, None, True)
    broken = np.isnan(y).any(axis=(0, 2, 3))
    np.testing.assert_array_equal(np.flatnonzero(broken), [7])
    y, _ = ops.batch_norm(x, None, None, np.zeros(20, dtype), np.ones(20, dtype), False)
    np.testing.assert_array_equal(np.isfinite(y), np.isfinite(x))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("how", cases.HOSTILE)
def test_hostile_arrays(ops, how, training):
    dtype = np.dtype(np.float32)
    x, dy, gamma, beta, mean, var = problem((3, 6, 5, 4), dtype)
    odd_x, odd_dy, odd_gamma, odd_beta = (cases.HOSTILE[how](array) for array in (x, dy, gamma, beta))
    statistics = (None, None) if training else (cases.HOSTILE[how](mean), cases.HOSTILE[how](var))
    if how == "byte-swapped":
        with pytest.raises(TypeError, match="float32"):
            ops.batch_norm(odd_x, odd_gamma, odd_beta, *statistics, training)
        return
    y, saved = ops.batch_norm(odd_x, odd_gamma, odd_beta, *statistics, training)
    if training:
        mean, var, _ = oracle.moments(x)
    slack = abs(gamma) * (abs(mean) + abs(x).max()) / np.sqrt(var + EPS)
    check_forward(y, x, gamma, beta, mean, var, dtype, slack)
    check_backward(ops.batch_norm_backward(odd_dy, saved), dy, x, gamma, mean, var, training, dtype)
    for odd, array in ((odd_x, x), (odd_dy, dy), (odd_gamma, gamma), (odd_beta, beta)):
        np.testing.assert_array_equal(odd, array)


@pytest.mark.parametrize("how", ["negative-strides", "every-other", "unaligned", "offset", "subclass"])
def test_running_statistics_move_in_place_wherever_they_lie(ops, how):
    dtype = np.dtype(np.float32)
    x, _, _, _, mean, var = problem((3, 6, 5, 4), dtype)
    odd_mean, odd_var = cases.HOSTILE[how](mean), cases.HOSTILE[how](var)
    ops.batch_norm(x, None, None, odd_mean, odd_var, True, 0.5)
    exact, _, unbiased = oracle.moments(x)
    np.testing.assert_allclose(odd_mean, 0.5 * mean + 0.5 * exact, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(odd_var, 0.5 * var + 0.5 * unbiased, rtol=1e-5)


@pytest.mark.parametrize("backend", available_backends())
def test_functional_moves_running_statistics(backend, dtype):
    x, _, gamma, beta, mean, var = problem((3, 6, 5, 4), dtype)
    expected, _, unbiased = oracle.moments(x)
    expected, unbiased = 0.9 * mean + 0.1 * expected, 0.9 * var + 0.1 * unbiased
    with use_backend(backend):
        given = {"gamma": gamma, "beta": beta, "running_mean": mean, "running_var": var}
        functional.batch_norm(x, **given, training=True)
    np.testing.assert_allclose(mean, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(var, unbiased, rtol=1e-5)


def test_read_only_statistics_are_refused(ops):
    if ops.name == "cupy":
        pytest.skip("CuPy's arrays are never read-only")
    x, _, _, _, mean, var = problem((3, 6, 5, 4), np.dtype(np.float32))
    mean.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        ops.batch_norm(x, None, None, mean, var, True)


def test_wrong_arguments_are_refused(ops):
    x, one = np.ones((3, 6, 5, 4), np.float32), np.ones(6, np.float32)
    with pytest.raises(ValueError, match=r"gamma must have shape \(6,\), got \(5,\)"):
        ops.batch_norm(x, one[:5], None, None, None, True)
    with pytest.raises(ValueError, match=r"beta must have shape \(6,\), got \(1, 6\)"):
        ops.batch_norm(x, one, one[None], None, None, True)
    with pytest.raises(ValueError, match="running_mean and running_var are needed when training=False"):
        ops.batch_norm(x, one, one, None, None, False)
    with pytest.raises(ValueError, match="give both"):
        ops.batch_norm(x, one, one, one, None, True)
    with pytest.raises(ValueError, match=r"shape \(N, C\), \(N, C, L\) or \(N, C, H, W\), got \(3,\)"):
        ops.batch_norm(x[:, 0, 0, 0], one, one, None, None, True)
    for shape in ((1, 6), (1, 6, 1, 1), (0, 6), (0, 6, 4, 4), (2, 6, 0, 4)):
        with pytest.raises(ValueError, match="more than one value per channel"):
            ops.batch_norm(np.ones(shape, np.float32), None, None, None, None, True)
    with pytest.raises(TypeError, match="batch_norm: arrays must have one dtype, got x float32, gamma float64"):
        ops.batch_norm(x, one.astype(np.float64), None, None, None, True)
    with pytest.raises(TypeError, match="running_var float64"):
        ops.batch_norm(x, None, None, one, one.astype(np.float64), True)
    _, saved = ops.batch_norm(x, one, one, None, None, True)
    with pytest.raises(ValueError, match="dy must have shape"):
        ops.batch_norm_backward(x[:2], saved)
    with pytest.raises(
        TypeError, match="batch_norm_backward: dy must have the forward pass's dtype float32, got float64"
    ):
        ops.batch_norm_backward(x.astype(np.float64), saved)


@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("training", [True, False])
def test_relu6_behind_the_norm(ops, dtype, training, added):
    """The bits of the separate ops: also at the kinks, 0 and 6, and for NaN."""
    x, dy, gamma, beta, mean, var = problem((5, 9, 6, 7), dtype)
    add = 3 * cases.normal(x.shape, dtype, 9) if added else None
    gamma, beta = 4 * gamma, beta + 3
    gamma[:3], beta[:3] = 0, (0, 6, np.nan)
    if added:
        add[:, :3] = 0
    running = gamma, beta, mean, var
    y, saved = ops.batch_norm_activation(x, *map(np.copy, running), add, training, activation=("relu6", {}))
    dx, dgamma, dbeta, *gated = ops.batch_norm_activation_backward(dy, saved)
    before, separate = ops.batch_norm(x, *map(np.copy, running), training)
    if added:
        before = before + add
    expected, kept = ops.relu6(before)
    assert (0 < expected[:, 3:]).any() and (expected[:, 3:] < 6).any() and (expected[:, 3:] == 6).any()
    np.testing.assert_array_equal(y, expected)
    masked = ops.relu6_backward(dy, kept)
    for got, wanted in zip((dx, dgamma, dbeta), ops.batch_norm_backward(masked, separate), strict=True):
        np.testing.assert_array_equal(got, wanted)
    if added:
        np.testing.assert_array_equal(gated[0], masked)
