"""Convolution and pooling of NumPy arrays: any array in, C order and the promoted dtype out, no state in between."""

from __future__ import annotations

import itertools

import cases
import numpy as np
import oracle
import pytest

from fastnet import backends
from fastnet.compat import kernels
from fastnet.geometry import Conv2dGeometry

DTYPES = [np.float32, np.float64, np.int64, np.uint8, np.bool_, np.float16]
CONVS = [  # x, w, stride, pad
    ((2, 3, 8, 8), (4, 3, 3, 3), 1, 1),
    ((2, 3, 8, 8), (4, 3, 3, 3), 2, 1),  # does not divide evenly
    ((3, 2, 7, 9), (5, 2, 2, 4), 3, 0),
    ((1, 1, 5, 5), (1, 1, 5, 5), 1, 0),
    ((2, 3, 9, 6), (2, 3, 1, 3), (2, 1), (0, 2)),
    ((2, 7, 6, 6), (7, 7, 3, 3), 1, (0, 2, 2, 0)),
    ((2, 4, 1, 1), (3, 4, 1, 1), 1, 0),
    ((0, 3, 5, 5), (2, 3, 3, 3), 1, 1),
]
POOLS = [  # x, kernel, stride
    ((2, 3, 8, 8), 2, None),
    ((2, 3, 7, 9), 2, 2),
    ((2, 3, 7, 8), 3, 2),
    ((1, 2, 6, 9), (2, 3), None),
    ((3, 1, 9, 9), (3, 1), (1, 4)),
    ((1, 1, 1, 1), 1, 1),
    ((0, 3, 4, 4), 2, 2),
]


@pytest.fixture(params=backends.available_backends(), autouse=True)
def backend(request):
    """Every test here runs on each backend."""
    with backends.use_backend(request.param):
        yield request.param


def integers(shape, seed, dtype=np.float64, low=-3, high=4):
    return np.random.default_rng(seed).integers(low, high, shape).astype(dtype)


def tuples(stride, pad):
    """stride and pad in the oracle's form."""
    geometry = Conv2dGeometry.make((1, 1, 50, 50), (1, 1, 1, 1), stride, pad)
    return geometry.stride, geometry.padding


def windows(x, kernel, stride):
    kernel = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    stride = kernel if stride is None else stride if isinstance(stride, tuple) else (stride, stride)
    return kernel, stride


def check(result, expected, dtype):
    assert type(result) is np.ndarray and result.dtype == dtype and result.flags.c_contiguous and result.flags.writeable
    np.testing.assert_array_equal(result, expected)


# ---------------------------------------------------------------- convolution


@pytest.mark.parametrize("x_shape, w_shape, stride, pad", CONVS, ids=str)
def test_convolution(dtype, x_shape, w_shape, stride, pad):
    x, w, b = integers(x_shape, 0, dtype), integers(w_shape, 1, dtype), integers(w_shape[:1], 2, dtype)
    y, saved = kernels.conv_forward(x, w, b, stride, pad)
    check(y, oracle.conv2d(x, w, b, *tuples(stride, pad)), dtype)
    dy = integers(y.shape, 3, dtype)
    for result, expected in zip(
        kernels.conv_backward(dy, saved, w), oracle.conv2d_backward(dy, x, w, *tuples(stride, pad)), strict=True
    ):
        check(result, expected, dtype)


def test_only_needed_gradients_are_computed():
    x, w = integers((2, 3, 6, 6), 0), integers((4, 3, 3, 3), 1)
    y, saved = kernels.conv_forward(x, w, stride=1, pad=1)
    check(y, oracle.conv2d(x, w, None, *tuples(1, 1)), np.float64)
    dy = integers(y.shape, 2)
    expected = oracle.conv2d_backward(dy, x, w, *tuples(1, 1))
    for i, wanted in enumerate(np.eye(3, dtype=bool)):
        results = kernels.conv_backward(dy, saved, w, tuple(wanted))
        check(results[i], expected[i], np.float64)
        assert [result is None for result in results] == [not want for want in wanted]


@pytest.mark.parametrize("x_dtype, w_dtype, b_dtype", list(itertools.product(DTYPES, DTYPES[:4], DTYPES[:3])))
def test_dtypes_are_promoted_as_numpy_does(x_dtype, w_dtype, b_dtype):
    x, w, b = (
        integers((2, 2, 5, 5), 0, x_dtype, 0, 2),
        integers((3, 2, 3, 3), 1, w_dtype, 0, 2),
        integers(3, 2, b_dtype),
    )
    expected = np.result_type(x, w, b, np.float32)
    expected = np.dtype(np.float64) if np.result_type(x, w, b).kind != "f" else expected
    y, saved = kernels.conv_forward(x, w, b, 1, 1)
    check(y, oracle.conv2d(x, w, b, *tuples(1, 1)), expected)
    for dy_dtype in (np.float32, np.float64, np.int32):
        dy = integers(y.shape, 3, dy_dtype)
        for result, gradient in zip(
            kernels.conv_backward(dy, saved, w), oracle.conv2d_backward(dy, x, w, *tuples(1, 1)), strict=True
        ):
            check(result, gradient, np.result_type(expected, dy_dtype))


@pytest.mark.parametrize("how", cases.HOSTILE)
def test_any_memory_order(how):
    make = cases.HOSTILE[how]
    x, w, b = integers((2, 3, 6, 7), 0), integers((4, 3, 3, 2), 1), integers(4, 2)
    expected = oracle.conv2d(x, w, b, *tuples(2, 1))
    y, saved = kernels.conv_forward(make(x), make(w), make(b), 2, 1)
    check(y, expected, np.float64)
    dy = integers(y.shape, 3)
    gradients = oracle.conv2d_backward(dy, x, w, *tuples(2, 1))
    for result, gradient in zip(kernels.conv_backward(make(dy), saved, make(w)), gradients, strict=True):
        check(result, gradient, np.float64)
    check(kernels.max_pool_forward(make(x), 2), oracle.max_pool2d(x, (2, 2), (2, 2))[0], np.float64)
    dy = integers((2, 3, 3, 3), 4)
    for ties in ("split", "first", "all"):
        gradient = oracle.tied_max_pool2d_backward(12 * dy, x, (2, 2), (2, 2), ties=ties)
        check(kernels.max_pool_backward(make(12 * dy), make(x), 2, ties=ties), gradient, np.float64)
    check(kernels.avg_pool_forward(make(x), 2), oracle.avg_pool2d(x, (2, 2), (2, 2)), np.float64)
    gradient = oracle.avg_pool2d_backward(dy, x.shape, (2, 2), (2, 2))
    check(kernels.avg_pool_backward(make(dy), x.shape, 2), gradient, np.float64)


def test_broadcast_arrays_and_lists():
    x, w = cases.broadcast((3, 2, 6, 6), np.float64), cases.broadcast((4, 2, 3, 3), np.float64, 1)
    b = [[1], [2], [3], [4]]
    y, saved = kernels.conv_forward(x, w, b, 1, 1)
    check(y, oracle.conv2d(x, w, np.ravel(b), *tuples(1, 1)), np.float64)
    dy = cases.broadcast(y.shape, np.float64, 2)
    gradients = oracle.conv2d_backward(dy, x, w, *tuples(1, 1))
    for result, gradient in zip(kernels.conv_backward(dy, saved, w), gradients, strict=True):
        check(result, gradient, np.float64)
    check(kernels.max_pool_forward(x.tolist(), 2), oracle.max_pool2d(x, (2, 2), (2, 2))[0], np.float64)


@pytest.mark.parametrize("order", ["c-order", "channels-last", "fortran"])
@pytest.mark.parametrize("shape", [(2, 3, 6, 6), (2, 1, 6, 6), (2, 3, 1, 1), (1, 1, 1, 1)], ids=str)
def test_arrays_changed_in_place_between_calls(order, shape):
    """Gradients use x as it was in the forward call, and the current weights; earlier results do not change."""
    make = cases.HOSTILE[order]
    x, w, b = integers(shape, 0), integers((4, shape[1], 1, 1), 1), integers(4, 2)
    given_x, given_w, given_b = make(x.copy()), make(w.copy()), make(b.copy())
    y, saved = kernels.conv_forward(given_x, given_w, given_b, 1, 1)
    before = y.copy()
    given_x += 1
    given_w *= -2
    given_b[:] = 7
    again, _ = kernels.conv_forward(given_x, given_w, given_b, 1, 1)
    check(again, oracle.conv2d(x + 1, -2 * w, 0 * b + 7, *tuples(1, 1)), np.float64)
    np.testing.assert_array_equal(y, before)
    dy = integers(y.shape, 3)
    given_dy = make(dy.copy())
    gradients = kernels.conv_backward(given_dy, saved, given_w)
    given_dy[:] = 0
    kernels.conv_backward(given_dy, saved, given_w)
    for result, expected in zip(gradients, oracle.conv2d_backward(dy, x, -2 * w, *tuples(1, 1)), strict=True):
        check(result, expected, np.float64)


def test_results_are_new_arrays():
    """Each belongs to the caller: writing to one affects nothing else."""
    x, w, b = integers((2, 3, 4, 4), 0), integers((3, 3, 1, 1), 1), integers(3, 2)
    dy = integers((2, 3, 4, 4), 3)
    y, saved = kernels.conv_forward(x, w, b)
    results = [y, *kernels.conv_backward(dy, saved, w), kernels.conv_forward(x, w, b)[0]]
    results += [kernels.max_pool_forward(x, 1), kernels.max_pool_backward(dy, x, 1)]
    results += [kernels.avg_pool_forward(x, 1), kernels.avg_pool_backward(dy, x.shape, 1)]
    for i, array in enumerate(results):
        for other in [x, w, b, dy, saved.image, *results[:i]]:
            assert not np.shares_memory(array, other)


def test_saved_from_x_alone():
    x, w = integers((2, 3, 7, 6), 0), integers((4, 3, 3, 2), 1)
    dy = integers(oracle.conv2d(x, w, None, *tuples(2, 1)).shape, 2)
    results = kernels.conv_backward(dy, kernels.Saved.of(x.astype(np.float32), w.shape, 2, 1), w)
    for result, expected in zip(results, oracle.conv2d_backward(dy, x, w, *tuples(2, 1)), strict=True):
        check(result, expected, np.float64)


# ---------------------------------------------------------------- pooling


@pytest.mark.parametrize("ties", ["split", "first", "all"])
@pytest.mark.parametrize("shape, kernel, stride", POOLS, ids=str)
def test_max_pooling(dtype, shape, kernel, stride, ties):
    x = integers(shape, 0, dtype, 0, 3)
    y = kernels.max_pool_forward(x, kernel, stride)
    check(y, oracle.max_pool2d(x, *windows(x, kernel, stride))[0], dtype)
    dy = integers(y.shape, 1, dtype)
    dx = kernels.max_pool_backward(dy, x, kernel, stride, ties)
    assert dx.dtype == dtype and dx.flags.c_contiguous
    expected = oracle.tied_max_pool2d_backward(dy, x, *windows(x, kernel, stride), ties=ties)
    np.testing.assert_allclose(dx, expected, rtol=64 * np.finfo(dtype).eps, atol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("x_dtype", DTYPES)
def test_pooling_promotes(x_dtype):
    x = integers((2, 3, 6, 6), 0, x_dtype, 0, 3)
    dtype = np.result_type(x_dtype, np.float32) if np.dtype(x_dtype).kind == "f" else np.float64
    check(kernels.max_pool_forward(x, 2), oracle.max_pool2d(x, (2, 2), (2, 2))[0], dtype)
    check(kernels.avg_pool_forward(x, 2), oracle.avg_pool2d(x, (2, 2), (2, 2)), dtype)
    dy = integers((2, 3, 3, 3), 1, np.float32)
    expected = oracle.tied_max_pool2d_backward(dy, x, (2, 2), (2, 2), ties="all")
    check(kernels.max_pool_backward(dy, x, 2, ties="all"), expected, np.result_type(x_dtype, np.float32))


@pytest.mark.parametrize("shape, kernel, stride", POOLS, ids=str)
def test_average_pooling(shape, kernel, stride):
    x = integers(shape, 0)
    y = kernels.avg_pool_forward(x, kernel, stride)
    expected = oracle.avg_pool2d(x, *windows(x, kernel, stride))
    np.testing.assert_allclose(y, expected, rtol=1e-15, atol=1e-15)
    dy = integers(y.shape, 1)
    dx = kernels.avg_pool_backward(dy, shape, kernel, stride)
    expected = oracle.avg_pool2d_backward(dy, shape, *windows(x, kernel, stride))
    np.testing.assert_allclose(dx, expected, rtol=1e-14, atol=1e-15)
    assert y.flags.c_contiguous and dx.flags.c_contiguous


# ---------------------------------------------------------------- errors

X, W = np.ones((2, 3, 6, 6)), np.ones((4, 3, 3, 3))


@pytest.mark.parametrize(
    "call, error, text",
    [
        (lambda: kernels.conv_forward(X, W[:, :2]), ValueError, "expects 2 input channels, x has 3"),
        (
            lambda: kernels.conv_forward(X, W, np.ones(3)),
            ValueError,
            r"bias must have shape \(4,\), one",
        ),
        (lambda: kernels.conv_forward(X, W, None, 0), ValueError, "stride must be an integer between 1"),
        (lambda: kernels.conv_forward(X, W, None, 1, 1.0), TypeError, "padding must be an integer, got 1.0"),
        (lambda: kernels.conv_forward(X[0], W), ValueError, "x must have 4 axes"),
        (lambda: kernels.conv_forward(X * 1j, W), TypeError, "real numbers of at most 64 bits, got x complex128"),
        (lambda: kernels.conv_forward(X.astype(object), W), TypeError, "real numbers"),
        (lambda: kernels.conv_backward(X, kernels.Saved.of(X, W.shape), W), ValueError, "dy must have shape"),
        (lambda: kernels.conv_backward(X, kernels.Saved.of(X, W.shape), W[:1]), ValueError, "forward pass's shape"),
        (lambda: kernels.max_pool_forward(X, 7), ValueError, "max_pool2d: kernel 7x7 is larger"),
        (lambda: kernels.max_pool_backward(X, X, 2), ValueError, r"dy must have shape \(2, 3, 3, 3\), got"),
        (lambda: kernels.max_pool_backward(X, X, 1, ties="last"), ValueError, "'split', 'first', 'all', got 'last'"),
        (lambda: kernels.avg_pool_backward(X, X.shape, 2), ValueError, "dy must have shape"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()
