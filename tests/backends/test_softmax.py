"""Softmax and its logarithm of every backend, dtype and instruction set against exact sums."""

from __future__ import annotations

import math

import cases
import numpy as np
import pytest

SHAPES = [(1, 1), (5, 3), (4, 10), (7, 17), (130, 8), (2, 1000), (2, 3, 4, 5), (1, 21, 3, 2), (3, 1, 2, 2)]


def exact(x, logarithm):
    """The definition on exact sums, along axis 1."""
    rows = np.moveaxis(x.astype(np.float64), 1, -1)
    y = np.empty(rows.shape)
    for at in np.ndindex(rows.shape[:-1]):
        top = rows[at].max()
        total = math.fsum(math.exp(value - top) for value in rows[at])
        y[at] = [value - top - math.log(total) if logarithm else math.exp(value - top) / total for value in rows[at]]
    return np.moveaxis(y, -1, 1)


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
@pytest.mark.parametrize("spread", [1e-3, 3.0, 30.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients(ops, dtype, shape, spread, op):
    x, dy = (spread * cases.normal(shape, np.float64)).astype(dtype), cases.normal(shape, dtype, 1)
    y, saved = getattr(ops, op)(x)
    dx = getattr(ops, f"{op}_backward")(dy, saved)
    expected, p = exact(x, op == "log_softmax"), exact(x, False)
    wide = dy.astype(np.float64)
    slope = (
        p * (wide - (p * wide).sum(axis=1, keepdims=True))
        if op == "softmax"
        else wide - p * wide.sum(axis=1, keepdims=True)
    )
    assert y.dtype == dx.dtype == dtype and y.shape == dx.shape == shape
    eps = float(np.finfo(dtype).eps)
    scale = 1 + abs(expected).max() if op == "log_softmax" else 1 + float(np.ptp(x))  # half a unit of the shift
    tiny = 4 * eps * scale if op == "log_softmax" else float(np.finfo(dtype).tiny)  # kernels flush subnormals
    np.testing.assert_allclose(y, expected, rtol=4 * eps * scale, atol=tiny)
    np.testing.assert_allclose(dx, slope, rtol=0, atol=8 * eps * (1 + abs(wide).sum(axis=1).max()) * scale)


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
def test_extreme_scores(ops, dtype, op):
    huge, inf = np.finfo(dtype).max / 4, np.inf
    x = np.array([[huge, -huge, 0], [1000, 1000, -1000], [-inf, 0, 0], [200, 0, -inf]], dtype)
    p = np.array([[1, 0, 0], [0.5, 0.5, 0], [0, 0.5, 0.5], [1, math.exp(-200), 0]])
    y, saved = getattr(ops, op)(x)
    with np.errstate(divide="ignore"):
        expected = p if op == "softmax" else np.log(p)
    if op == "log_softmax":
        expected[0, 1:], expected[1, 2] = [-2 * huge, -huge], -2000 - math.log(2)
    np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-37)
    dx = getattr(ops, f"{op}_backward")(np.ones_like(x), saved)
    np.testing.assert_allclose(dx, 0 * p if op == "softmax" else 1 - 3 * p, atol=1e-6)


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
def test_nan_reaches_its_row_alone(ops, dtype, op):
    for column in range(11):
        x = cases.normal((3, 11), dtype)
        x[1, column] = np.nan
        y, _ = getattr(ops, op)(x)
        assert np.isnan(y[1]).all() and np.isfinite(y[::2]).all()


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
@pytest.mark.parametrize("shape", [(9, 5), (2, 5, 3, 4)])
def test_hostile_arrays(ops, op, shape):
    x = cases.normal(shape, np.float32)
    expected = getattr(ops, op)(x)[0]
    for name, array in cases.hostile(x):
        if name != "byte-swapped":
            np.testing.assert_array_equal(getattr(ops, op)(array)[0], expected, err_msg=name)


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
def test_empty_batches_and_wrong_shapes(ops, op):
    assert getattr(ops, op)(np.ones((0, 4), np.float32))[0].shape == (0, 4)
    with pytest.raises(ValueError, match=f"{op}: arrays must have shape"):
        getattr(ops, op)(np.ones(4, np.float32))
    with pytest.raises(ValueError, match=f"{op}: x must have at least one channel"):
        getattr(ops, op)(np.ones((4, 0), np.float32))
