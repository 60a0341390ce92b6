"""Max pooling of planes in C order, with a rule for ties, of every backend and dtype against the oracle."""

from __future__ import annotations

import cases
import numpy as np
import oracle
import pytest

from fastnet.geometry import Pool2dGeometry

TIES = ("split", "first", "all")
nan, inf = np.nan, np.inf
SIDE_BY_SIDE = [cases.Pool(2, 3, 2 * p, w, 2) for p, w in [(1, 2), (1, 5), (2, 15), (2, 16), (1, 17), (3, 34), (1, 67)]]
WIDE = [cases.Pool(3, 5, 19, 18, 2), cases.Pool(2, 3, 17, 73, 3, 2, 1), cases.Pool(1, 5, 70, 66, 3, 3, 1, True)]


def make(case):
    geometry = Pool2dGeometry.make(case.x_shape, **case.arguments)
    return geometry, ((geometry.R, geometry.S), geometry.stride, geometry.padding, case.ceil_mode)


def few_values(shape, dtype, low=-2, high=1):
    """Few different integers, so that most windows hold ties; -0.0 among them."""
    x = cases.integers(shape, dtype, 0, low, high)
    x[(x == 0) & (np.random.default_rng(1).random(shape) < 0.5)] = -0.0
    return x


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("case", cases.POOL + SIDE_BY_SIDE + WIDE + cases.DILATED, ids=str)
def test_against_the_oracle(ops, dtype, case, ties):
    geometry, arguments = make(case)
    x = few_values(case.x_shape, dtype)
    y, saved = ops.max_pool2d_planes(x, geometry, ties)
    assert y.dtype == dtype and y.flags.c_contiguous
    np.testing.assert_array_equal(y, oracle.max_pool2d(x, *arguments, geometry.dilation)[0])
    dy = cases.integers(y.shape, dtype, 2, 1, 9)
    dx = ops.max_pool2d_planes_backward(dy, saved)
    expected = oracle.tied_max_pool2d_backward(dy, x, *arguments, ties, geometry.dilation)
    assert dx.dtype == dtype
    if ties == "split":  # a division a window, a few sums
        np.testing.assert_allclose(dx, expected, rtol=64 * np.finfo(dtype).eps, atol=0)
    else:
        np.testing.assert_array_equal(dx, expected)


TABLE = [  # a window of four, rows first, and which of its pixels are the largest
    ([1, 2, 3, 4], [3]),
    ([4, 3, 2, 1], [0]),
    ([2, 7, 7, 2], [1, 2]),
    ([7, 2, 2, 7], [0, 3]),
    ([2, 7, 2, 7], [1, 3]),
    ([7, 7, 2, 7], [0, 1, 3]),
    ([1, 2, 7, 7], [2, 3]),
    ([0.0, -0.0, -0.0, 0.0], [0, 1, 2, 3]),
    ([nan, 1, 2, 3], [0]),
    ([1, 2, nan, 3], [2]),
    ([nan, inf, 2, nan], [0, 3]),
    ([nan, nan, nan, nan], [0, 1, 2, 3]),
    ([-inf, -inf, -inf, -inf], [0, 1, 2, 3]),
    ([-inf, -inf, -inf, -1], [3]),
    ([-inf, nan, -inf, -inf], [1]),
    ([inf, inf, 1, 2], [0, 1]),
]


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("stride", [2, 3])
def test_table_of_ties_nan_and_infinity(ops, dtype, ties, stride):
    """All windows in one row of pixels; at stride 3 a column of larger values separates them."""
    x = np.full((1, 2, 2, stride * len(TABLE)), 9e9, dtype)
    expected = np.zeros(x.shape)
    for i, (window, most) in enumerate(TABLE):
        x[:, :, :, stride * i : stride * i + 2] = np.reshape(window, (2, 2))
        for at in most[:1] if ties == "first" else most:
            expected[:, :, at // 2, stride * i + at % 2] = 12 / len(most) if ties == "split" else 12
    geometry = Pool2dGeometry.make(x.shape, 2, stride)
    y, saved = ops.max_pool2d_planes(x, geometry, ties)
    np.testing.assert_array_equal(y[0, 0, 0], [window[most[0]] for window, most in TABLE])
    np.testing.assert_array_equal(ops.max_pool2d_planes_backward(np.full(y.shape, 12, dtype), saved), expected)


@pytest.mark.parametrize("how", cases.HOSTILE)
def test_hostile_arrays(ops, how):
    case = cases.Pool(2, 5, 6, 7, 2)
    geometry, arguments = make(case)
    x = few_values(case.x_shape, np.float32)
    odd = cases.HOSTILE[how](x)
    if how == "byte-swapped":
        with pytest.raises(TypeError, match="float32"):
            ops.max_pool2d_planes(odd, geometry)
        return
    y, saved = ops.max_pool2d_planes(odd, geometry, "split")
    dy = 12 * cases.integers(y.shape, np.float32, 1)
    dx = ops.max_pool2d_planes_backward(cases.HOSTILE[how](dy), saved)
    np.testing.assert_array_equal(y, oracle.max_pool2d(x, *arguments)[0])
    np.testing.assert_array_equal(dx, oracle.tied_max_pool2d_backward(dy, x, *arguments, "split"))
    np.testing.assert_array_equal(odd, x)


def test_wrong_arguments_are_refused(ops):
    geometry = Pool2dGeometry.make((1, 3, 4, 4), 2)
    x = np.ones((1, 3, 4, 4), np.float32)
    with pytest.raises(ValueError, match="ties must be one of 'split', 'first', 'all', got 'last'"):
        ops.max_pool2d_planes(x, geometry, "last")
    with pytest.raises(ValueError, match=r"x must have shape \(1, 3, 4, 4\)"):
        ops.max_pool2d_planes(x[:, :2], geometry)
    _, saved = ops.max_pool2d_planes(x, geometry)
    with pytest.raises(ValueError, match="dy must have shape"):
        ops.max_pool2d_planes_backward(x, saved)
    with pytest.raises(TypeError, match="dy must .*float32.*, got float64"):
        ops.max_pool2d_planes_backward(np.ones((1, 3, 2, 2)), saved)


@pytest.mark.parametrize("shape", [(5,), (4, 6), (2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 4), (2, 3, 2, 2, 2)], ids=str)
@pytest.mark.parametrize("how", cases.HOSTILE)
def test_contiguous_takes_anything(ops, how, shape):
    x = cases.normal(shape, np.float32)
    odd = cases.HOSTILE[how](x)
    for dtype in (None, np.float32, np.float64):
        y = ops.contiguous(odd, dtype)
        assert y.dtype == (dtype or odd.dtype.type) and y.flags.c_contiguous
        np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(odd, x)
