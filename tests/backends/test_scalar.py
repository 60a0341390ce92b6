"""The affine map with two numbers, against NumPy in float64 and against itself at other numbers of threads."""

import numpy as np
import pytest

SIZES = [(1, 1), (3, 7), (2, 3, 5, 4), (5, 33, 31, 17)]


@pytest.mark.parametrize("shape", SIZES)
def test_values_and_sums(ops, dtype, shape):
    rng = np.random.default_rng(0)
    x, dy = (ops.asarray(rng.integers(-8, 9, shape), dtype) for _ in range(2))
    w, b = np.array([0.5], dtype), np.array([-3], dtype)
    y, saved = ops.scalar_affine(x, w, b)
    np.testing.assert_array_equal(y, 0.5 * np.asarray(x) - 3)
    dx, dw, db = ops.scalar_affine_backward(dy, saved, (True, True, True))
    np.testing.assert_array_equal(dx, 0.5 * np.asarray(dy))
    assert dw.tolist() == [(np.asarray(x) * dy).sum()] and db.tolist() == [np.asarray(dy).sum()]  # integers: exact
    y, saved = ops.scalar_affine(x, None, b)
    np.testing.assert_array_equal(y, np.asarray(x) - 3)
    dx, dw, db = ops.scalar_affine_backward(dy, saved, (True, False, True))
    np.testing.assert_array_equal(dx, dy)
    assert dw is None and db.tolist() == [np.asarray(dy).sum()]


def test_sums_are_in_double(native):
    x = native.asarray(np.full((100, 1000), 0.1), "float32")
    _, saved = native.scalar_affine(x, np.ones(1, "float32"), None)
    _, dw, db = native.scalar_affine_backward(x, saved, (False, True, True))
    assert db[0] == pytest.approx(1e5 * np.float64(np.float32(0.1)), rel=1e-7)
    assert dw[0] == pytest.approx(1e5 * np.float64(np.float32(0.1)) ** 2, rel=1e-7)


def test_shapes_are_checked(ops):
    with pytest.raises(ValueError, match=r"scalar_affine: w must have shape \(1,\), got \(3,\)"):
        ops.scalar_affine(np.ones((2, 3)), np.ones(3), None)
