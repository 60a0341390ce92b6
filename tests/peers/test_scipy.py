"""SciPy's correlation in float64."""

from __future__ import annotations

import cases
import numpy as np
import pytest

import fastnet as fn
from fastnet import functional

signal = pytest.importorskip("scipy.signal")
special = pytest.importorskip("scipy.special")
pytestmark = pytest.mark.peers


@pytest.fixture(autouse=True, params=fn.available_backends())
def backend(request):
    with fn.use_backend(request.param):
        yield request.param


def correlate(x, w, mode):
    """(N, C, H, W) with (K, C, R, S): the sum over channels of 2-d correlations."""
    return np.array(
        [[sum(map(lambda a, b: signal.correlate2d(a, b, mode), image, kernel)) for kernel in w] for image in x]
    )


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (5, 2), (7, 7), (8, 9)])
@pytest.mark.parametrize("mode", ["valid", "full"])
def test_convolution_is_correlation(kernel, mode):
    x, w = cases.normal((2, 3, 8, 9), np.float64), cases.normal((4, 3, *kernel), np.float64, 1)
    padding = (0, 0) if mode == "valid" else (kernel[0] - 1, kernel[1] - 1)
    y, backward = functional.conv2d(x, w, padding=padding)
    np.testing.assert_allclose(y, correlate(x, w, mode), rtol=1e-11, atol=1e-11)
    if mode == "valid":
        dy = cases.normal(y.shape, np.float64, 2)
        dx, dw, _ = backward(dy)
        turned = w.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
        np.testing.assert_allclose(dx, correlate(dy, turned, "full"), rtol=1e-11, atol=1e-11)
        swapped = correlate(x.transpose(1, 0, 2, 3), dy.transpose(1, 0, 2, 3), "valid")
        np.testing.assert_allclose(dw, swapped.transpose(1, 0, 2, 3), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (5, 2), (4, 7)])
@pytest.mark.parametrize("mode", ["valid", "same", "full"])
def test_a_flipped_kernel_makes_it_convolution(kernel, mode):
    x, w = cases.normal((2, 3, 8, 9), np.float64), cases.normal((4, 3, *kernel), np.float64, 1)
    expected = np.array(
        [[sum(map(lambda a, b: signal.convolve2d(a, b, mode), image, each)) for each in w] for image in x]
    )
    R, S = kernel  # for "same" SciPy takes the middle of "full", the later one of two for an even kernel
    sides = {"valid": 0, "same": (R // 2, (R - 1) // 2, S // 2, (S - 1) // 2), "full": (R - 1, S - 1)}
    y, backward = functional.conv2d(x, w, padding=sides[mode], flip=True)
    np.testing.assert_allclose(y, expected, rtol=1e-11, atol=1e-11)
    dy = cases.normal(y.shape, np.float64, 2)
    dx, dw, _ = backward(dy)
    other, there = functional.conv2d(x, w[:, :, ::-1, ::-1], padding=sides[mode])
    np.testing.assert_array_equal(other, y)
    np.testing.assert_array_equal(there(dy)[0], dx)
    np.testing.assert_array_equal(there(dy)[1], dw[:, :, ::-1, ::-1])


@pytest.mark.parametrize("kernel", [(3, 3), (5, 3), (1, 7)])
def test_same_padding(kernel):
    x, w = cases.normal((1, 2, 8, 9), np.float64), cases.normal((3, 2, *kernel), np.float64, 1)
    y, _ = functional.conv2d(x, w, padding="same")
    np.testing.assert_allclose(y, correlate(x, w, "same"), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("stride", [(2, 3), (1, 4)])
def test_strides_keep_every_nth_position(stride):
    x, w = cases.normal((2, 3, 11, 12), np.float64), cases.normal((4, 3, 3, 4), np.float64, 1)
    y, _ = functional.conv2d(x, w, stride=stride)
    np.testing.assert_allclose(y, correlate(x, w, "valid")[:, :, :: stride[0], :: stride[1]], rtol=1e-11, atol=1e-11)


def test_sigmoid_and_softmax():
    x = np.linspace(-40, 40, 1001)
    np.testing.assert_allclose(functional.sigmoid(x)[0], special.expit(x), rtol=1e-13)
    scores = 10 * cases.normal((20, 7), np.float64)
    labels = np.arange(20) % 7
    loss, gradient = fn.losses.softmax_cross_entropy(scores, labels)
    rows = np.arange(20)
    np.testing.assert_allclose(loss, -special.log_softmax(scores, axis=1)[rows, labels].mean(), rtol=1e-12)
    expected = special.softmax(scores, axis=1)
    expected[rows, labels] -= 1
    np.testing.assert_allclose(gradient, expected / 20, rtol=1e-9, atol=1e-14)
