"""Padding of every backend, dtype and instruction set against NumPy's."""

from __future__ import annotations

import cases
import numpy as np
import pytest

NUMPY = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
SHAPES = [(1, 1, 4, 5), (2, 3, 5, 4), (1, 17, 4, 4), (2, 33, 5, 6), (1, 64, 4, 7), (1, 150, 4, 4), (0, 3, 4, 4)]
SIDES = [(0, 0, 0, 0), (1, 1, 1, 1), (3, 0, 1, 2), (0, 2, 3, 3)]


def framed(x, sides, mode):
    top, bottom, left, right = sides
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), NUMPY[mode])


def adjoint(ops, op, x, dy, saved, y):
    """sum(y * dy) == sum(x * dx), exactly: the operands are small integers."""
    dx = getattr(ops, f"{op}_backward")(dy, saved)
    assert dx.dtype == x.dtype and dx.shape == x.shape
    assert float((y * dy).sum()) == float((x * dx).sum())
    return dx


@pytest.mark.parametrize("mode", NUMPY)
@pytest.mark.parametrize("sides", SIDES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_pad(ops, dtype, shape, sides, mode):
    x = cases.integers(shape, dtype)
    x[x == 1] = -0.0
    y, saved = ops.pad(x, sides, mode)
    expected = framed(x, sides, mode)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(np.signbit(y), np.signbit(expected))
    adjoint(ops, "pad", x, cases.integers(y.shape, dtype, 1), saved, y)


@pytest.mark.parametrize("mode", NUMPY)
def test_negative_sides_remove_pixels(ops, dtype, mode):
    x = cases.integers((2, 5, 7, 8), dtype)
    y, saved = ops.pad(x, (-2, 1, 3, -4), mode)
    expected = framed(x, (0, 1, 3, 0), mode)[:, :, 2:, :-4]
    if mode == "circular":  # PyTorch repeats what is left
        expected = framed(x[:, :, 2:, :-4], (0, 1, 3, 0), mode)
    np.testing.assert_array_equal(y, expected)
    adjoint(ops, "pad", x, cases.integers(y.shape, dtype, 1), saved, y)
    y, saved = ops.pad(x, (-3, -3, -4, -3), mode)
    np.testing.assert_array_equal(y, x[:, :, 3:4, 4:5])


def test_what_is_outside(ops, dtype):
    x = cases.integers((2, 3, 2, 2), dtype)
    y, _ = ops.pad(x, (1, 0, 0, 2), value=-1.5)
    assert (y[:, :, 0] == -1.5).all() and (y[:, :, :, 2:] == -1.5).all()
    np.testing.assert_array_equal(y[:, :, 1:, :2], x)


@pytest.mark.parametrize("mode", NUMPY)
def test_padding_copies_what_is_not_finite(ops, dtype, mode):
    x = cases.normal((2, 3, 4, 5), dtype)
    x[0, 0, 1, 1], x[0, 1, 2, 2], x[1, 2, 3, 4] = np.nan, np.inf, -np.inf
    np.testing.assert_array_equal(ops.pad(x, (1, 2, 3, 0), mode)[0], framed(x, (1, 2, 3, 0), mode))


@pytest.mark.parametrize("mode", NUMPY)
def test_signals_are_padded(ops, dtype, mode):
    x = cases.integers((2, 19, 8), dtype)
    y, saved = ops.pad(x, (0, 0, 4, 3), mode)
    np.testing.assert_array_equal(y, framed(x[:, :, None], (0, 0, 4, 3), mode)[:, :, 0])
    adjoint(ops, "pad", x, cases.integers(y.shape, dtype, 1), saved, y)


def test_rows_of_signals_and_unbatched_images_are_refused(ops):
    x = np.ones((2, 3, 8), np.float32)
    with pytest.raises(ValueError, match=r"pad: signals \(N, C, L\), as x of shape \(2, 3, 8\), have one row, not 2"):
        ops.pad(x, (1, 0, 2, 2))
    with pytest.raises(ValueError, match=r"interpolate: x must have shape \(N, C, H, W\)"):
        ops.interpolate(x, (1, 4))
    with pytest.raises(ValueError, match=r"adaptive_avg_pool2d: x must have shape \(N, C, H, W\)"):
        ops.adaptive_avg_pool2d(x, (1, 4))


@pytest.mark.parametrize("how", cases.HOSTILE)
def test_hostile_arrays(ops, how):
    x, dy = cases.normal((2, 5, 4, 6), np.float32), cases.normal((2, 5, 6, 9), np.float32, 1)
    if how == "byte-swapped":
        with pytest.raises(TypeError, match="float32"):
            ops.pad(cases.HOSTILE[how](x), (1, 1, 1, 2))
        return
    y, saved = ops.pad(x, (1, 1, 1, 2), "reflect")
    odd, odd_saved = ops.pad(cases.HOSTILE[how](x), (1, 1, 1, 2), "reflect")
    np.testing.assert_array_equal(odd, y)
    np.testing.assert_array_equal(
        ops.pad_backward(cases.HOSTILE[how](dy), odd_saved), ops.pad_backward(dy.copy(), saved)
    )


@pytest.mark.parametrize(
    ("sides", "mode", "message"),
    [
        (
            (1, 1, 1, 1),
            "mirror",
            "pad: mode must be one of 'constant', 'reflect', .*, got 'mirror'",
        ),
        ((4, 0, 0, 0), "reflect", "pad: mode='reflect' can add at most 3 to H=4, got 4 and 0"),
        ((0, 0, 0, 6), "circular", "pad: mode='circular' can add at most 5 to W=5, got 0 and 6"),
        ((-2, -2, 0, 0), "constant", "pad: -2 and -2 leave nothing of H=4"),
    ],
)
def test_wrong_sides_are_refused(ops, sides, mode, message):
    with pytest.raises(ValueError, match=message):
        ops.pad(np.ones((1, 2, 4, 5), np.float32), sides, mode)
    with pytest.raises(ValueError, match=r"pad: x must have shape \(N, C, H, W\)"):
        ops.pad(np.ones((2, 4), np.float32), (0, 0, 0, 0))
    with pytest.raises(ValueError, match="pad: value is for mode='constant'"):
        ops.pad(np.ones((1, 2, 4, 5), np.float32), (1, 1, 1, 1), "reflect", 2.0)
