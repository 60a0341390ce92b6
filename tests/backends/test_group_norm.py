"""Group, layer and instance norm of every backend and instruction set against loops over values in float64."""

from __future__ import annotations

import itertools

import cases
import numpy as np
import pytest
from proof import check

from fastnet import backends

UNIT = {np.dtype(np.float32): 2.0**-24, np.dtype(np.float64): 2.0**-53}
EPS = 1e-5
RELU = ("relu", {})

GROUPED = [
    *(((3, 12, 5, 4), 3), ((2, 64, 7, 9), 8), ((2, 33, 4, 3), 11), ((4, 6), 2), ((1, 1, 1, 1), 1)),
    *(((2, 130, 3, 3), 1), ((2, 700, 2, 1), 7), ((3, 10, 13), 5), ((2, 5, 40, 30), 1)),
]
LAYERS = [
    *(((5, 7), 1), ((70, 100), 1), ((3, 4099), 1), ((130, 64), 1), ((2, 1), 1)),
    *(((3, 6, 20), 1), ((3, 6, 20), 2), ((2, 70, 3), 1)),
    *(((3, 5, 4, 6), 1), ((3, 5, 4, 6), 2), ((3, 5, 4, 6), 3), ((70, 3, 2, 3), 3), ((2, 17, 9, 11), 3)),
]
INSTANCES = [(3, 5, 4, 6), (2, 64, 6, 5), (2, 3, 40), (1, 200, 2, 1)]


def of_groups(shape, groups):
    """The attributes of group_norm, the shape of gamma, and two functions of a value's index: the set that it is
    normalised with, and its element of gamma."""
    return {"groups": groups}, shape[1:2], lambda i: (i[0], i[1] * groups // shape[1]), lambda i: i[1:2]


def of_layer(shape, count):
    first = len(shape) - count
    return {"normalized_shape": shape[first:]}, shape[first:], lambda i: i[:first], lambda i: i[first:]


CASES = [
    *(("group_norm", shape, *of_groups(shape, groups)) for shape, groups in GROUPED),
    *(("layer_norm", shape, *of_layer(shape, count)) for shape, count in LAYERS),
    *(("instance_norm", shape, {}, *of_groups(shape, shape[1])[1:]) for shape in INSTANCES),
]
CASE = pytest.mark.parametrize("case", CASES, ids=[f"{op} {shape} {gamma}" for op, shape, _, gamma, *_ in CASES])


def expected(case, x, dy, gamma, beta, relu=False):
    """(y, dx, dgamma, dbeta) from the definition in float64, the size of the terms that dx is a sum of, and how
    much the rounding of the mean may add to errors."""
    x, dy, gamma, beta = (np.asarray(array, np.float64) for array in (x, dy, gamma, beta))
    together = {}
    for index in np.ndindex(x.shape):
        together.setdefault(case[4](index), []).append(index)
    y, dx, size, moved, dgamma, dbeta = (np.zeros(a.shape) for a in (x, x, x, x, gamma, gamma))
    for indices in together.values():
        at = tuple(np.array(indices).T)
        by = tuple(np.array([case[5](index) for index in indices]).T)
        inverse = 1 / np.sqrt(x[at].var() + EPS)
        xhat = (x[at] - x[at].mean()) * inverse
        y[at] = xhat * gamma[by] + beta[by]
        g = dy[at] * (y[at] > 0) if relu else dy[at]
        np.add.at(dgamma, by, g * xhat)
        np.add.at(dbeta, by, g)
        g = g * gamma[by]
        dx[at] = inverse * (g - g.mean() - xhat * (g * xhat).mean())
        size[at] = inverse * (abs(g) + abs(g).mean() + (1 + abs(xhat)) * abs(g * xhat).mean())
        moved[at] = 1 + inverse * abs(x[at]).max() / 4
    return np.maximum(y, 0) if relu else y, dx, dgamma, dbeta, size, moved


def problem(case, dtype):
    _, shape, _, gamma, *_ = case
    arrays = [cases.normal(s, dtype, seed) for seed, s in enumerate((shape, shape, gamma, gamma))]
    return arrays[0] * dtype.type(2) + dtype.type(3), *arrays[1:]


def run(ops, case, x, dy, gamma, beta, **more):
    op, _, attributes, *_ = case
    running = (None, None) if op == "instance_norm" else ()
    y, saved = getattr(ops, op)(x, gamma, beta, *running, **attributes, **more)
    return y, *getattr(ops, f"{op}_backward")(dy, saved)


def compare(got, wanted, dtype, count):
    *wanted, size, moved = wanted
    unit, sizes = UNIT[dtype], ((1 + abs(wanted[0])) * moved, size * moved, None, None)
    for one, other, scale in zip(got, wanted, sizes, strict=True):
        if one is None:
            continue
        assert one.dtype == dtype and one.shape == other.shape
        bound = 32 * unit * scale if scale is not None else 16 * unit * np.sqrt(count) * (1 + abs(other))
        np.testing.assert_array_less(abs(one - other), bound + 1e-300)


@CASE
@pytest.mark.parametrize("relu", [False, True])
def test_definition(ops, dtype, case, relu):
    arrays = problem(case, dtype)
    more = {"activation": RELU} if relu else {}
    compare(run(ops, case, *arrays, **more), expected(case, *arrays, relu), dtype, arrays[0].size)


@CASE
@pytest.mark.parametrize("with_gamma, with_beta", [(False, False), (True, False), (False, True)])
def test_without_gamma_or_beta(best_native, dtype, case, with_gamma, with_beta):
    x, dy, gamma, beta = problem(case, dtype)
    wanted = expected(case, x, dy, gamma if with_gamma else np.ones_like(gamma), beta if with_beta else 0 * beta)
    got = run(best_native, case, x, dy, gamma if with_gamma else None, beta if with_beta else None)
    assert [g is not None for g in got[2:]] == [with_gamma, with_beta]
    compare(got, wanted, dtype, x.size)


@CASE
def test_only_the_gradients_that_are_needed(best_native, dtype, case):
    x, dy, gamma, beta = problem(case, dtype)
    op, _, attributes, *_ = case
    running = (None, None) if op == "instance_norm" else ()
    y, saved = getattr(best_native, op)(x, gamma, beta, *running, **attributes)
    backward = getattr(best_native, f"{op}_backward")
    whole = backward(dy, saved)
    for needs in itertools.product((False, True), repeat=3):
        for need, one, all_of_it in zip(needs, backward(dy, saved, needs), whole, strict=True):
            assert (one is not None) == need
            if need:
                np.testing.assert_array_equal(one, all_of_it)


@pytest.mark.parametrize("how", cases.HOSTILE)
@pytest.mark.parametrize("case", [CASES[0], CASES[17], CASES[18], CASES[19], CASES[22]], ids=lambda case: case[0])
def test_hostile_arrays(ops, how, case):
    dtype = np.dtype(np.float32)
    arrays = problem(case, dtype)
    odd = [cases.HOSTILE[how](array) for array in arrays]
    if how == "byte-swapped":
        with pytest.raises(TypeError, match="float32"):
            run(ops, case, *odd)
        return
    compare(run(ops, case, *odd), expected(case, *arrays), dtype, arrays[0].size)
    for one, array in zip(odd, arrays, strict=True):
        np.testing.assert_array_equal(one, array)


@CASE
@pytest.mark.parametrize("mean, std", [(1e4, 1e-2), (-3e3, 1.0), (1e-3, 1e3)])
def test_float32_does_not_lose_the_moments(native, case, mean, std):
    """Mean 1e4 and standard deviation 1e-2: a variance by E[x^2] - E[x]^2 in float32 would be noise."""
    dtype = np.dtype(np.float32)
    x = (mean + std * np.random.default_rng(0).normal(size=case[1])).astype(dtype)
    _, dy, gamma, beta = problem(case, dtype)
    got, wanted = run(native, case, x, dy, gamma, beta), expected(case, x, dy, gamma, beta)
    np.testing.assert_array_less(abs(got[0] - wanted[0]), 32 * UNIT[dtype] * (1 + abs(wanted[0])))
    np.testing.assert_array_less(abs(got[1] - wanted[1]), 64 * UNIT[dtype] * wanted[-2] + 1e-300)


@CASE
def test_constant_values_have_variance_zero(ops, dtype, case):
    x, dy, gamma, beta = problem(case, dtype)
    y, dx, dgamma, _ = run(ops, case, np.full_like(x, 3), dy, gamma, beta)
    for index in np.ndindex(x.shape):
        assert y[index] == beta[case[5](index)]
    assert np.isfinite(dx).all() and not dgamma.any()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@CASE
def test_nan_and_infinity_stay_in_their_group(ops, dtype, case, bad):
    x, _, gamma, beta = problem(case, dtype)
    at = tuple(size // 2 for size in x.shape)
    x[at] = bad
    with np.errstate(invalid="ignore"):
        y = run(ops, case, x, np.ones_like(x), gamma, beta)[0]
    for index in np.ndindex(x.shape):
        assert np.isnan(y[index]) == (case[4](index) == case[4](at)), index


@pytest.mark.parametrize("dtype", [np.dtype(np.float32)])
@pytest.mark.parametrize("count", [1, 129, 300])
def test_many_examples(best_native, dtype, count):
    """Gradients of elementwise parameters are summed in parts, of at most 64 examples."""
    case = ("layer_norm", (count, 40), *of_layer((count, 40), 1))
    arrays = problem(case, dtype)
    compare(run(best_native, case, *arrays), expected(case, *arrays), dtype, count)


@pytest.mark.parametrize("shape", [(0, 4, 3, 3), (2, 0, 3, 3), (2, 4, 0, 3)])
def test_empty_arrays(ops, dtype, shape):
    x, one = np.ones(shape, dtype), np.ones(shape[1], dtype)
    if shape[1]:
        y, saved = ops.group_norm(x, one, one, 2)
        dx, dgamma, dbeta = ops.group_norm_backward(x, saved)
        assert y.shape == dx.shape == shape and not dgamma.any() and not dbeta.any()
    one = np.ones(shape[1:], dtype)
    y, saved = ops.layer_norm(x, one, one, shape[1:])
    dx, dgamma, dbeta = ops.layer_norm_backward(x, saved)
    assert y.shape == dx.shape == shape and not dgamma.any() and not dbeta.any()


@pytest.mark.parametrize("momentum", [0.1, 1.0])
def test_running_statistics_of_instance_norm(ops, dtype, momentum):
    """They move towards the means over the images of the mean and the unbiased variance."""
    x = cases.normal((4, 6, 5, 3), dtype) * 3 + 1
    mean, var = cases.normal((6,), dtype, 1), abs(cases.normal((6,), dtype, 2))
    old = mean.copy(), var.copy()
    ops.instance_norm(x, None, None, mean, var, momentum)
    wide = x.astype(np.float64)
    for running, before, statistic in zip(
        (mean, var), old, (wide.mean(axis=(0, 2, 3)), wide.var(axis=(2, 3), ddof=1).mean(axis=0)), strict=True
    ):
        wanted = (1 - momentum) * before + momentum * statistic
        np.testing.assert_allclose(running, wanted, rtol=16 * UNIT[dtype], atol=16 * UNIT[dtype])


def test_wrong_arguments_are_refused(ops):
    x, one = np.ones((3, 6, 5, 4), np.float32), np.ones(6, np.float32)
    for groups in (0, 4, 7):
        with pytest.raises(ValueError, match=f"groups must divide the 6 channels of x, got {groups}"):
            ops.group_norm(x, one, one, groups)
    with pytest.raises(ValueError, match=r"group_norm: gamma must have shape \(6,\), got \(5,\)"):
        ops.group_norm(x, one[:5], None, 2)
    for shape in ((), (6,), (5, 5), (3, 6, 5, 4)):
        with pytest.raises(ValueError, match="normalized_shape must be the last sizes of x, without its first axis"):
            ops.layer_norm(x, None, None, shape)
    with pytest.raises(ValueError, match=r"layer_norm: beta must have shape \(5, 4\), got \(6,\)"):
        ops.layer_norm(x, None, one, (5, 4))
    with pytest.raises(ValueError, match="instance_norm: needs more than one value in each channel"):
        ops.instance_norm(x[:, :, :1, :1], None, None, None, None)
    with pytest.raises(ValueError, match="instance_norm: give both"):
        ops.instance_norm(x, None, None, one, None)
    with pytest.raises(TypeError, match="arrays must have one dtype, got x float32, gamma float64"):
        ops.group_norm(x, one.astype(np.float64), None, 2)


LONE = (1, 40, 41, 40)  # large enough that 7 threads share it


@pytest.mark.parametrize("end", [None, RELU, ("silu", {})], ids=["plain", "relu", "silu"])
@pytest.mark.parametrize(
    "op, attributes, affine",
    [
        ("group_norm", {"groups": 4}, LONE[1:2]),
        ("layer_norm", {"normalized_shape": LONE[1:]}, LONE[1:]),
        ("instance_norm", {}, LONE[1:2]),
    ],
)
def test_threads_share_an_image_if_there_are_few(op, attributes, affine, end):
    """The bits are those of one thread, and of the image among others, which has a thread to itself."""
    dtype = np.dtype(np.float32)
    x, dy, gamma, beta = (cases.normal(s, dtype, seed) for seed, s in enumerate((LONE, LONE, affine, affine)))
    case = (op, LONE, attributes)

    def compute(ops, *arrays):
        return dict(zip(("y", "dx", "dgamma", "dbeta"), run(ops, case, *arrays, activation=end), strict=True))

    check(compute, (x, dy, gamma, beta), "channels-last")
    native = backends.NativeOps()
    alone = run(native, case, x, dy, gamma, beta, activation=end)
    among = run(native, case, np.repeat(x, 9, 0), np.repeat(dy, 9, 0), gamma, beta, activation=end)
    for one, several in zip(alone[:2], among[:2], strict=True):
        np.testing.assert_array_equal(one[0], several[5])
