"""Gradients from the arrays of a forward pass: the bits of ``functional``'s backward functions, and the errors."""

import numpy as np
import pytest

from fastnet import functional as F
from fastnet import gradients

RANDOM = np.random.default_rng(0)
X = np.rint(RANDOM.normal(size=(2, 4, 5, 6)) * 2)  # with ties
W, B = RANDOM.normal(size=(6, 2, 3, 3)), RANDOM.normal(size=6)
CONV = {"stride": (1, 2), "padding": (1, 0, 2, 1), "dilation": (1, 2), "groups": 2}
POOL = {"kernel_size": (3, 2), "stride": 2, "padding": (1, 0), "ceil_mode": True}


@pytest.fixture(params=[np.float32, np.float64], ids=["f4", "f8"])
def dtype(request):
    return request.param


def gradient_of(y):
    return np.random.default_rng(1).normal(size=y.shape).astype(y.dtype)


@pytest.mark.parametrize("order", ["C", "F"])
def test_convolution(dtype, order):
    x, w = X.astype(dtype, order), W.astype(dtype, order)
    y, backward = F.conv2d(x, w, B.astype(dtype), **CONV)
    dy = gradient_of(y)
    expected = backward(dy)
    for needs in np.ndindex(2, 2, 2):
        found = gradients.conv2d(dy, x, w, **CONV, needs=needs)
        for needed, one, two in zip(needs, found, expected, strict=True):
            if needed:
                assert one.dtype == dtype
                np.testing.assert_array_equal(one, two)
            else:
                assert one is None


@pytest.mark.parametrize("ties", ["first", "split", "all"])
def test_max_pooling(dtype, ties):
    x = X.astype(dtype)
    y, backward = F.max_pool2d(x, **POOL, ties=ties)
    dx = gradients.max_pool2d(gradient_of(y), x, **POOL, ties=ties)
    assert dx.dtype == dtype and dx.flags.c_contiguous
    np.testing.assert_array_equal(dx, backward(gradient_of(y)))


def test_max_pooling_gives_the_first_of_equals_the_gradient_unless_told_otherwise():
    dx = gradients.max_pool2d([[[[6.0]]]], [[[[2.0, 1.0], [2.0, 2.0]]]], 2)
    assert dx.ravel().tolist() == [6, 0, 0, 0]


@pytest.mark.parametrize("count_include_pad", [True, False])
def test_average_pooling(dtype, count_include_pad):
    y, backward = F.avg_pool2d(X.astype(dtype), **POOL, count_include_pad=count_include_pad)
    dx = gradients.avg_pool2d(gradient_of(y), X.shape, **POOL, count_include_pad=count_include_pad)
    assert dx.dtype == dtype
    np.testing.assert_array_equal(dx, backward(gradient_of(y)))


def test_lists_and_integers_follow_the_other_arrays():
    dy, ones = np.ones((1, 1, 2, 2)), [[[[1]]]]
    assert gradients.conv2d(dy, dy.tolist(), ones)[1].dtype == np.float64
    assert gradients.conv2d(dy.astype(int), dy.astype(int), ones)[1].dtype == np.float32


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gradients.conv2d(X, X, W), ValueError, "weight expects 2 input channels, x has 4"),
        (
            lambda: gradients.conv2d(X, X, W, groups=2),
            ValueError,
            r"gradients.conv2d: dy must have shape \(2, 6, 3, 4\)",
        ),
        (lambda: gradients.conv2d(None, X, W), TypeError, "gradients.conv2d: dy must be an array .*, got None"),
        (lambda: gradients.conv2d(X.astype("f"), X, W), TypeError, "may not be mixed, got dy float32, x float64"),
        (lambda: gradients.max_pool2d(X, X, 9), ValueError, "gradients.max_pool2d: kernel 9x9 is larger"),
        (lambda: gradients.max_pool2d(X, X, 2), ValueError, r"gradients.max_pool2d: dy must have shape \(2, 4, 2, 3\)"),
        (lambda: gradients.max_pool2d(X, X, 1, ties="last"), ValueError, "'split', 'first', 'all', got 'last'"),
        (lambda: gradients.max_pool2d(X, X[0], 1), ValueError, r"leading batch axis: x\[None\]"),
        (lambda: gradients.avg_pool2d(X, X.shape, 2), ValueError, "gradients.avg_pool2d: dy must have shape"),
        (lambda: gradients.avg_pool2d(X, X.shape[1:], 2), ValueError, "gradients.avg_pool2d: x must have 4 axes"),
        (lambda: gradients.avg_pool2d(X + 1j, X.shape, 1), TypeError, "dy must hold real numbers"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
