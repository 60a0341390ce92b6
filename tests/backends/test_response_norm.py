"""Local response norm of every backend and instruction set against loops in float64."""

from __future__ import annotations

import cases
import numpy as np
import pytest

from fastnet import functional

UNIT = {np.dtype(np.float32): 2.0**-24, np.dtype(np.float64): 2.0**-53}
SHAPES = [(3, 7, 4, 5), (2, 64, 3, 2), (5, 33), (2, 96, 7), (1, 1, 2, 2), (2, 130, 1, 1)]
NUMBERS = [(5, 5e-4, 0.75, 2.0), (4, 2.0, 0.6, 1.0), (1, 1.0, 0.75, 0.01), (9, 30.0, 1.3, 3.0), (257, 1.0, 0.5, 1.0)]


def expected(x, dy, size, alpha, beta, k):
    """y and dx by the definition, channel by channel, in float64."""
    x, dy = np.moveaxis(x.astype(np.float64), 1, 0), np.moveaxis(dy.astype(np.float64), 1, 0)
    C = len(x)
    windows = [range(max(0, c - size // 2), min(C, c - size // 2 + size)) for c in range(C)]
    divisor = np.stack([k + alpha / size * sum(x[j] ** 2 for j in window) for window in windows])
    dx = dy * divisor**-beta
    for c, window in enumerate(windows):
        for j in window:
            dx[j] -= dy[c] * x[c] * beta * divisor[c] ** (-beta - 1) * alpha / size * 2 * x[j]
    return np.moveaxis(x * divisor**-beta, 0, 1), np.moveaxis(dx, 0, 1)


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_definition(ops, dtype, shape, numbers):
    x, dy = 3 * cases.normal(shape, dtype), cases.normal(shape, dtype, 1)
    y, saved = ops.local_response_norm(x, *numbers)
    dx = ops.local_response_norm_backward(dy, saved)
    for got, wanted in zip((y, dx), expected(x, dy, *numbers), strict=True):
        assert got.dtype == dtype and got.shape == shape
        np.testing.assert_allclose(got, wanted, rtol=64 * UNIT[dtype], atol=64 * UNIT[dtype] * abs(wanted).max())


@pytest.mark.parametrize("how", cases.HOSTILE)
def test_hostile_arrays(ops, how):
    dtype = np.dtype(np.float32)
    x, dy = cases.normal((3, 7, 4, 5), dtype), cases.normal((3, 7, 4, 5), dtype, 1)
    odd_x, odd_dy = cases.HOSTILE[how](x), cases.HOSTILE[how](dy)
    if how == "byte-swapped":
        with pytest.raises(TypeError, match="float32"):
            ops.local_response_norm(odd_x, 5)
        return
    y, saved = ops.local_response_norm(odd_x, 5, 1.0)
    for got, wanted in zip(
        (y, ops.local_response_norm_backward(odd_dy, saved)), expected(x, dy, 5, 1.0, 0.75, 1.0), strict=True
    ):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_stay_in_their_window(native, dtype, bad):
    """Lanes beyond the last channel hold none of it, either."""
    for channel in (0, 17, 32):
        x = cases.normal((2, 33, 2, 2), dtype)
        x[1, channel, 0, 1] = bad
        dy = cases.normal(x.shape, dtype, 1)
        y, saved = native.local_response_norm(x, 5, 1.0)
        dx = native.local_response_norm_backward(dy, saved)
        clean = np.ones(x.shape, bool)
        clean[1, max(0, channel - 4) : channel + 5, 0, 1] = False
        assert np.isfinite(y[clean]).all() and np.isfinite(dx[clean]).all()
        assert np.isnan(y[1, channel, 0, 1])


def test_the_paper_s_constants():
    """AlexNet: b = a / (k + alpha * sum)^beta with n=5, k=2, alpha=1e-4, beta=0.75; here alpha is 5 times that."""
    a = 50 * cases.normal((1, 96, 2, 2), np.dtype(np.float64))
    y, _ = functional.local_response_norm(a, 5, 5e-4, 0.75, 2.0)
    for i in (0, 1, 40, 95):
        window = a[0, max(0, i - 2) : min(95, i + 2) + 1]
        np.testing.assert_allclose(y[0, i], a[0, i] / (2 + 1e-4 * (window**2).sum(axis=0)) ** 0.75, rtol=1e-13)


def test_wrong_arguments_are_refused(ops):
    x = np.ones((2, 3, 4, 4), np.float32)
    for numbers in ((0,), (5, -1.0), (5, 1.0, 0.75, 0.0)):
        with pytest.raises(ValueError, match="needs size >= 1, alpha >= 0 and k > 0"):
            ops.local_response_norm(x, *numbers)
