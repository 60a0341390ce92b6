"""Clipping of gradients: limits, ties, NaN, None, frozen parameters, bits."""

import numpy as np
import pytest
from isas import ISAS, kernels, needs_kernels

import fastnet as fn
from fastnet.backends import current
from fastnet.optim import clip_grad_norm, clip_grad_value


def parameters(*gradients, dtype=np.float64):
    made = [fn.Parameter(np.zeros(np.shape(g), dtype), f"p{i}") for i, g in enumerate(gradients)]
    for p, g in zip(made, gradients, strict=True):
        p.grad = np.array(g, dtype)
    return made


@pytest.fixture(autouse=True, params=fn.available_backends())
def backend(request):
    with fn.use_backend(request.param):
        yield


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_norm_of_all_gradients_is_limited(dtype):
    made = parameters([3.0, 0.0], [[4.0]], dtype=dtype)
    assert clip_grad_norm(made, 1.0) == 5.0
    np.testing.assert_allclose([*made[0].grad, made[1].grad[0, 0]], [0.6, 0.0, 0.8], rtol=1e-6)
    assert clip_grad_norm(made, 10.0) == pytest.approx(1.0, rel=1e-6)


def test_a_norm_at_the_limit_or_below_keeps_its_bits():
    for limit in (5.0, 5.1):
        made = parameters([3.0], [4.0])
        assert clip_grad_norm(made, limit) == 5.0
        assert made[0].grad[0] == 3.0 and made[1].grad[0] == 4.0
    assert clip_grad_norm(parameters([0.0]), 1.0) == 0.0


def test_values_are_limited_and_nan_stays():
    (p,) = parameters([-3.0, -0.5, 0.5, 3.0, np.inf, np.nan])
    clip_grad_value([p], 0.5)
    np.testing.assert_array_equal(p.grad, [-0.5, -0.5, 0.5, 0.5, 0.5, np.nan])


def test_frozen_and_idle_parameters_are_passed_over():
    moves, frozen, idle = parameters([3.0], [4.0], [0.0])
    frozen.requires_grad, idle.grad = False, None
    assert clip_grad_norm([moves, frozen, idle], 1.0) == 3.0
    clip_grad_value([moves, frozen, idle], 0.25)
    assert moves.grad[0] == 0.25 and frozen.grad[0] == 4.0 and idle.grad is None
    assert clip_grad_norm([frozen, idle], 1.0) == 0.0
    clip_grad_value([frozen, idle], 1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_is_named(bad):
    made = parameters([3.0], [4.0, bad])
    with pytest.raises(FloatingPointError, match="the squared gradient of 'p1' is not finite"):
        clip_grad_norm(made, 1.0)
    assert made[0].grad[0] == 3.0


def test_a_norm_beyond_the_range_of_doubles_is_refused():
    made = parameters([1.2e154], [1.2e154])
    with pytest.raises(FloatingPointError, match="the squared gradient of all parameters together is not finite"):
        clip_grad_norm(made, 1.0)
    assert made[0].grad[0] == 1.2e154


@pytest.mark.parametrize("clip", [clip_grad_norm, clip_grad_value])
def test_argument_errors(clip):
    for wrong in (0, -1.0):
        with pytest.raises(ValueError, match=rf"{clip.__name__}: max_(norm|value) must be > 0, got {wrong}"):
            clip([], wrong)
    with pytest.raises(TypeError, match="must be a finite number"):
        clip([], "1")


@needs_kernels
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0, 1, 7, 8193, 300_001])
def test_the_norm_has_the_same_bits_everywhere(size, dtype):
    x = np.random.default_rng(size).standard_normal(size).astype(dtype)
    found, before = set(), fn.get_num_threads()
    for isa in ISAS:
        with kernels(isa, "auto") as ops:
            for threads in (1, 2, 3):
                fn.set_num_threads(threads)
                try:
                    found.update([ops.power_sums(x), *ops.power_sums_each([x, x])])
                finally:
                    fn.set_num_threads(before)
    if dtype == np.float64 and "portable" in ISAS:  # without FMA, a product of doubles is rounded before it is added
        assert len(found) <= 2
    else:
        assert len(found) == 1
    wide = x.astype(np.longdouble)
    expected = abs(wide).sum().astype(float), np.square(wide).sum().astype(float)
    np.testing.assert_allclose(list(found), [expected] * len(found), rtol=1e-13)


def test_hostile_gradients():
    (p,) = parameters(np.ones((4, 6)))
    p.grad = np.asfortranarray(p.grad)
    assert clip_grad_norm([p], 2.0) == pytest.approx(24**0.5)
    np.testing.assert_allclose(p.grad, 2 / 24**0.5, rtol=1e-6)
    p.grad = np.ones((4, 12))[:, ::2]
    clip_grad_value([p], 0.5)
    np.testing.assert_array_equal(p.grad, 0.5)
    assert current().power_sums(p.grad) == (12.0, 6.0)
