"""Pooling of every backend, dtype and instruction set against the oracle."""

from __future__ import annotations

import cases
import numpy as np
import oracle
import pytest

from fastnet.geometry import Pool2dGeometry

UNIT = {np.dtype(np.float32): 2.0**-24, np.dtype(np.float64): 2.0**-53}
WIDE = [cases.Pool(3, 70, 19, 18, 2), cases.Pool(2, 40, 17, 23, 3, 2, 1), cases.Pool(1, 5, 70, 66, 3, 3, 1, True)]


def make(case, **more):
    geometry = Pool2dGeometry.make(case.x_shape, **case.arguments, **more)
    kernel = case.kernel if isinstance(case.kernel, tuple) else (case.kernel, case.kernel)
    return geometry, (kernel, geometry.stride, geometry.padding, case.ceil_mode)


def ties(shape, dtype):
    """Few different integers, so that most windows hold ties; -0.0 among them."""
    x = cases.integers(shape, dtype, 0, -2, 1)
    x[(x == 0) & (np.random.default_rng(1).random(shape) < 0.5)] = -0.0
    return x


@pytest.mark.parametrize("case", cases.POOL + WIDE + cases.DILATED, ids=str)
def test_max_pool(ops, dtype, case):
    geometry, arguments = make(case)
    x = ties(case.x_shape, dtype)
    y, saved = ops.max_pool2d(x, geometry)
    expected, winners = oracle.max_pool2d(x, *arguments, geometry.dilation)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, expected)
    dy = cases.integers(y.shape, dtype, 2, 1, 9)
    np.testing.assert_array_equal(
        ops.max_pool2d_backward(dy, saved), oracle.max_pool2d_backward(dy, winners, case.x_shape)
    )


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("case", cases.POOL + WIDE, ids=str)
def test_avg_pool(ops, dtype, case, include):
    geometry, arguments = make(case, count_include_pad=include)
    x = cases.integers(case.x_shape, dtype)
    y, saved = ops.avg_pool2d(x, geometry)
    expected = oracle.avg_pool2d(x, *arguments, include)
    size = oracle.avg_pool2d(abs(x), *arguments, include)
    assert y.dtype == dtype and y.shape == expected.shape
    # a sum of integers is exact: one rounding of the divisor's inverse, one of the product
    assert (abs(y - expected) <= 3 * UNIT[dtype] * size).all()
    dy = cases.integers(y.shape, dtype, 1)
    dx = ops.avg_pool2d_backward(dy, saved)
    expected = oracle.avg_pool2d_backward(dy, case.x_shape, *arguments, include)
    size = oracle.avg_pool2d_backward(abs(dy), case.x_shape, *arguments, include)
    assert dx.dtype == dtype and dx.shape == case.x_shape
    assert (abs(dx - expected) <= 6 * UNIT[dtype] * size).all()


@pytest.mark.parametrize("case", cases.POOL[::3], ids=str)
def test_an_average_with_a_divisor_is_a_sum(ops, dtype, case):
    geometry, arguments = make(case, divisor=4)
    x, dy = cases.integers(case.x_shape, dtype), cases.integers(geometry.y_shape, dtype, 1)
    y, saved = ops.avg_pool2d(x, geometry)
    np.testing.assert_array_equal(y, oracle.avg_pool2d(x, *arguments, divisor=4))
    np.testing.assert_array_equal(
        ops.avg_pool2d_backward(dy, saved), oracle.avg_pool2d_backward(dy, case.x_shape, *arguments, divisor=4)
    )


@pytest.mark.parametrize("case", [c for c in cases.POOL if c.kernel in (1, 2, (1, 2))], ids=str)
def test_averages_of_powers_of_two_are_exact(ops, dtype, case):
    geometry, arguments = make(case)
    x = cases.integers(case.x_shape, dtype)
    y, saved = ops.avg_pool2d(x, geometry)
    np.testing.assert_array_equal(y, oracle.avg_pool2d(x, *arguments))
    np.testing.assert_array_equal(
        ops.avg_pool2d_backward(y, saved), oracle.avg_pool2d_backward(y, case.x_shape, *arguments)
    )


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (2, 3, 4, 4), (3, 17, 5, 3), (2, 64, 8, 8), (0, 3, 4, 4), (1, 3, 70, 66)]
)
def test_global_avg_pool(ops, dtype, shape):
    x = cases.normal(shape, dtype)
    y, saved = ops.global_avg_pool2d(x)
    expected, size = oracle.global_avg_pool2d(x), oracle.global_avg_pool2d(abs(x))
    assert y.dtype == dtype and y.shape == (*shape[:2], 1, 1)
    assert (abs(y - expected) <= 8 * UNIT[dtype] * size).all()
    dy = cases.integers(y.shape, dtype, 1)
    dx = ops.global_avg_pool2d_backward(dy, saved)
    expected = np.broadcast_to(dy.astype(np.float64) / (shape[2] * shape[3]), shape)
    assert dx.dtype == dtype and dx.shape == shape
    assert (abs(dx - expected) <= 2 * UNIT[dtype] * abs(expected)).all()


def adaptive(x, size):
    """(y, winners) by plain loops: the pixel (h, w) of each maximum; NaN wins, then the first of equals."""
    N, C, H, W = x.shape
    y, winners = np.empty((N, C, *size), x.dtype), {}
    for n, c, p, q in np.ndindex(y.shape):
        best = None
        for h in range(p * H // size[0], -(-(p + 1) * H // size[0])):
            for w in range(q * W // size[1], -(-(q + 1) * W // size[1])):
                value = x[n, c, h, w]
                old = None if best is None else x[n, c, best[0], best[1]]
                if old is None or value > old or (np.isnan(value) and not np.isnan(old)):
                    best, y[n, c, p, q] = (h, w), value
        winners[n, c, p, q] = best
    return y, winners


ADAPTIVE = [
    *(((2, 5, 7, 6), size) for size in ((3, 4), (1, 1), (7, 6), (9, 20), (2, 3))),
    *(((1, C, 5, 4), (2, 3)) for C in (1, 16, 33, 70)),
    ((3, 2, 1, 17), (1, 5)),
    ((0, 3, 5, 5), (2, 2)),
]


@pytest.mark.parametrize(("shape", "size"), ADAPTIVE, ids=str)
def test_adaptive_max_pool(ops, dtype, shape, size):
    x = ties(shape, dtype)
    y, saved = ops.adaptive_max_pool2d(x, size)
    expected, winners = adaptive(x, size)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, expected)
    dy, wanted = cases.integers(y.shape, dtype, 2, 1, 9), np.zeros(shape)
    for (n, c, p, q), (h, w) in winners.items():
        wanted[n, c, h, w] += dy[n, c, p, q]
    dx = ops.adaptive_max_pool2d_backward(dy, saved)
    assert dx.dtype == dtype
    np.testing.assert_array_equal(dx, wanted)


def test_adaptive_max_pool_of_what_is_not_finite(ops, dtype):
    """The first NaN wins; a window of -inf alone has its first pixel as maximum."""
    x = cases.normal((2, 19, 7, 5), dtype)
    x[:, :, 1, 1] = x[0, 3, 4, 2] = x[0, 3, 5, 2] = np.nan
    x[1, :, :3, 3:], x[1, 2] = np.inf, -np.inf
    y, saved = ops.adaptive_max_pool2d(x, (3, 2))
    expected, winners = adaptive(x, (3, 2))
    np.testing.assert_array_equal(y, expected)
    dx, wanted = ops.adaptive_max_pool2d_backward(np.ones_like(y), saved), np.zeros(x.shape)
    for (n, c, _, _), (h, w) in winners.items():
        wanted[n, c, h, w] += 1
    np.testing.assert_array_equal(dx, wanted)


nan, inf = np.nan, np.inf
TABLE = [  # a window of four, rows first, and which of them wins
    ([1, 2, 3, 4], 3),
    ([4, 3, 2, 1], 0),
    ([2, 7, 7, 2], 1),
    ([0.0, -0.0, -0.0, 0.0], 0),
    ([-0.0, 0.0, 0.0, -0.0], 0),
    ([nan, 1, 2, 3], 0),
    ([1, nan, 2, 3], 1),
    ([1, 2, 3, nan], 3),
    ([inf, nan, inf, 3], 1),
    ([nan, inf, nan, inf], 0),
    ([nan, nan, nan, nan], 0),
    ([-inf, -inf, -inf, -inf], 0),
    ([-inf, -inf, -inf, -1], 3),
    ([-inf, nan, -inf, -inf], 1),
    ([inf, inf, 1, 2], 0),
    ([-3, inf, -inf, inf], 1),
]


@pytest.mark.parametrize("channels", [1, 3, 16, 33])
def test_max_pool_table_of_nan_infinity_and_ties(ops, dtype, channels):
    windows = np.array([window for window, _ in TABLE], dtype)
    x = np.repeat(windows.reshape(-1, 1, 2, 2), channels, axis=1)
    y, saved = ops.max_pool2d(x, Pool2dGeometry.make(x.shape, 2))
    winners = np.array([winner for _, winner in TABLE])
    np.testing.assert_array_equal(
        y[:, :, 0, 0], np.repeat(windows[np.arange(len(TABLE)), winners][:, None], channels, 1)
    )
    dx = ops.max_pool2d_backward(np.full(y.shape, 5, dtype), saved)
    expected = 5 * (np.arange(4) == winners[:, None]).reshape(-1, 1, 2, 2)
    np.testing.assert_array_equal(dx, np.repeat(expected, channels, axis=1))


def test_padding_never_wins(ops, dtype):
    for fill in (-inf, -5.0, np.finfo(dtype).min):
        x = np.full((1, 3, 4, 4), fill, dtype)
        y, saved = ops.max_pool2d(x, Pool2dGeometry.make(x.shape, 3, 2, 1))
        assert (y == dtype.type(fill)).all()
        dx = ops.max_pool2d_backward(np.ones(y.shape, dtype), saved)
        assert dx.sum() == y.size


@pytest.mark.parametrize("kernel", [15, 16, 17, (1, 256), (1, 257), (257, 1)])
def test_windows_on_both_sides_of_what_a_byte_can_index(ops, dtype, kernel):
    shape = (1, 3, 20, 19) if isinstance(kernel, int) else (1, 3, kernel[0] + 2, kernel[1] + 3)
    x = np.random.default_rng(0).permutation(np.prod(shape)).reshape(shape).astype(dtype)
    case = cases.Pool(*shape, kernel, 1)
    geometry, arguments = make(case)
    y, saved = ops.max_pool2d(x, geometry)
    expected, winners = oracle.max_pool2d(x, *arguments)
    np.testing.assert_array_equal(y, expected)
    dy = cases.integers(y.shape, dtype, 1)
    np.testing.assert_array_equal(ops.max_pool2d_backward(dy, saved), oracle.max_pool2d_backward(dy, winners, shape))


def test_nan_and_infinity_in_averages(ops, dtype):
    x = np.ones((1, 5, 4, 4), dtype)
    x[0, 2, 1, 1], x[0, 3, 2, 2] = nan, inf
    y, _ = ops.avg_pool2d(x, Pool2dGeometry.make(x.shape, 2))
    expected = np.ones((1, 5, 2, 2))
    expected[0, 2, 0, 0], expected[0, 3, 1, 1] = nan, inf
    np.testing.assert_array_equal(y, expected)
    y, _ = ops.global_avg_pool2d(x)
    np.testing.assert_array_equal(y.ravel(), [1, 1, nan, inf, 1])


@pytest.mark.parametrize("how", cases.HOSTILE)
@pytest.mark.parametrize("op", ["max", "avg"])
def test_hostile_arrays(ops, op, how):
    case = cases.Pool(2, 5, 6, 7, 2, 2, 0)
    geometry, arguments = make(case)
    forward, backward = (
        (ops.max_pool2d, ops.max_pool2d_backward) if op == "max" else (ops.avg_pool2d, ops.avg_pool2d_backward)
    )
    x = cases.integers(case.x_shape, np.float32)
    odd = cases.HOSTILE[how](x)
    if how == "byte-swapped":
        with pytest.raises(TypeError, match="float32"):
            forward(odd, geometry)
        return
    y, saved = forward(odd, geometry)
    dy = 4 * cases.integers(y.shape, np.float32, 1)
    odd_dy = cases.HOSTILE[how](dy)
    dx = backward(odd_dy, saved)
    if op == "max":
        expected, winners = oracle.max_pool2d(x, *arguments)
        gradient = oracle.max_pool2d_backward(dy, winners, x.shape)
    else:
        expected, gradient = oracle.avg_pool2d(x, *arguments), oracle.avg_pool2d_backward(dy, x.shape, *arguments)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(dx, gradient)
    np.testing.assert_array_equal(odd, x)
    np.testing.assert_array_equal(odd_dy, dy)


def test_broadcast_arrays(ops, dtype):
    x = cases.broadcast((3, 4, 6, 6), dtype)
    geometry, arguments = make(cases.Pool(3, 4, 6, 6, 3, 2, 1))
    y, saved = ops.max_pool2d(x, geometry)
    expected, winners = oracle.max_pool2d(x, *arguments)
    np.testing.assert_array_equal(y, expected)
    dy = cases.broadcast(y.shape, dtype, 1)
    np.testing.assert_array_equal(ops.max_pool2d_backward(dy, saved), oracle.max_pool2d_backward(dy, winners, x.shape))


def test_wrong_shapes_and_dtypes_are_refused(ops):
    geometry = Pool2dGeometry.make((1, 3, 4, 4), 2)
    x = np.ones((1, 3, 4, 4), np.float32)
    for op in ("max_pool2d", "avg_pool2d"):
        forward, backward = getattr(ops, op), getattr(ops, op + "_backward")
        with pytest.raises(ValueError, match=rf"{op}: x must have shape \(1, 3, 4, 4\), got \(1, 3, 4, 5\)"):
            forward(np.ones((1, 3, 4, 5), np.float32), geometry)
        with pytest.raises(TypeError, match=f"{op}: arrays must be float32 or float64, got int64"):
            forward(x.astype(np.int64), geometry)
        _, saved = forward(x, geometry)
        with pytest.raises(ValueError, match="dy must have shape"):
            backward(np.ones((1, 3, 4, 4), np.float32), saved)
        with pytest.raises(TypeError, match="float32"):
            backward(np.ones((1, 3, 2, 2), np.int32), saved)
        with pytest.raises(TypeError, match="dy must .*float32.*, got float64"):
            backward(np.ones((1, 3, 2, 2), np.float64), saved)
    for shape in ((1, 3, 4), (1, 3, 0, 4), (1, 3, 4, 0)):
        with pytest.raises(ValueError, match="global_avg_pool2d: x must have shape"):
            ops.global_avg_pool2d(np.ones(shape, np.float32))
    _, saved = ops.global_avg_pool2d(x)
    with pytest.raises(ValueError, match="dy must have shape"):
        ops.global_avg_pool2d_backward(np.ones((1, 3), np.float32), saved)
