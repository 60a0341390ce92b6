"""Activations and sums on the device: their numbers, edges and kinks, and sizes that leave threads without work."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from backends.test_activations import CASES, POINTS

from fastnet.backends import Ops
from fastnet.ops import REGISTRY
from fastnet.ops.elementwise import ELEMENTWISE

HEADER = Path(__file__).parents[2] / "csrc" / "cuda" / "activations.h"
SHAPES = [(1,), (0,), (257,), (5, 3), (2, 3, 5), (2, 7, 3, 5), (0, 3, 2, 2), (1, 1, 1, 1)]
PIECEWISE = {  # exact where the data are integers
    "relu": {},
    "leaky_relu": {"negative_slope": -0.25},
    "relu6": {},
    "hardsigmoid": {},
    "hardswish": {},
    "scale": {"factor": 3.0},
}


def run(ops, name, x, dy, **attributes):
    """(y, dx) as NumPy arrays."""
    y, saved = getattr(ops, name)(ops.asarray(x), **attributes)
    dx = getattr(ops, f"{name}_backward")(ops.asarray(dy), saved)
    return ops.to_numpy(y), ops.to_numpy(dx)


def test_one_list_numbers_the_activations(device):
    from fastnet.backends.device.elementwise import ACTIVATIONS, activation_code

    listed = re.search(r"enum \{\s*ACTIVATION_none = -1,(.*?)\}", HEADER.read_text(), re.S)
    assert tuple(re.findall(r"ACTIVATION_(\w+)", listed[1])) == ACTIVATIONS
    assert set(ACTIVATIONS) == set(ELEMENTWISE) and len(set(ACTIVATIONS)) == len(ACTIVATIONS)
    assert activation_code(None) == (-1, 0.0, 0.0)
    assert activation_code(("softplus", {"beta": 2, "threshold": 9.0})) == (ACTIVATIONS.index("softplus"), 2.0, 9.0)


@pytest.mark.parametrize("case", CASES)
def test_values_and_slopes(case, device, dtype):
    function, formula, slope, settings = CASES[case]
    name, x = function.__name__, POINTS.astype(dtype)
    y, dx = run(device, name, x, np.ones_like(x), **{**REGISTRY[name].attributes, **settings})
    eps = np.finfo(dtype).eps
    for got, exact in ((y, formula), (dx, slope)):
        expected = np.array([exact(float(value), **settings) for value in x])
        assert got.dtype == dtype
        np.testing.assert_allclose(got, expected, rtol=8 * eps, atol=24 * eps)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_what_is_not_finite(name, device, dtype):
    """NaN stays NaN, and infinity becomes what the definition makes of it."""
    x = np.array([np.nan, np.inf, -np.inf, np.finfo(dtype).max, -np.finfo(dtype).max, 0.0, -0.0], dtype)
    y, dx = run(device, name, x, np.ones_like(x))
    with np.errstate(all="ignore"):
        expected, slope = run(Ops(), name, x, np.ones_like(x))
    np.testing.assert_allclose(y, expected, rtol=8 * np.finfo(dtype).eps, atol=8 * np.finfo(dtype).eps)
    np.testing.assert_allclose(dx, slope, rtol=8 * np.finfo(dtype).eps, atol=8 * np.finfo(dtype).eps)
    assert np.isnan(y[0])


@pytest.mark.parametrize("name", PIECEWISE)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_integers_are_exact(name, shape, device, dtype):
    """Kinks are among them: the gradients there are the records'."""
    rng = np.random.default_rng(0)
    x, dy = (rng.integers(-8, 9, shape).astype(dtype) for _ in range(2))
    found, expected = run(device, name, x, dy, **PIECEWISE[name]), run(Ops(), name, x, dy, **PIECEWISE[name])
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, want)


def test_fewer_threads_than_elements(device, dtype, few_blocks):
    x = np.random.default_rng(0).normal(size=1601).astype(dtype)
    y, dx = run(device, "relu", x, x)
    np.testing.assert_array_equal(y, np.maximum(x, 0))
    np.testing.assert_array_equal(dx, np.where(x > 0, x, 0))
    np.testing.assert_array_equal(device.to_numpy(device.add(device.asarray(x), device.asarray(x))), x + x)


@pytest.mark.parametrize("offsets", [(0, 0), (1, 0), (0, 3), (4, 4)], ids=str)
def test_views_that_start_anywhere(offsets, device, dtype):
    """Four elements are read at once where all arrays allow it."""
    whole = np.random.default_rng(0).normal(size=(2, 60)).astype(dtype)
    for n in (1, 3, 4, 5, 41):
        a, b = (row[at : at + n] for row, at in zip(whole, offsets, strict=True))
        x, dy = (device.contiguous(device.xp.asarray(row))[at : at + n] for row, at in zip(whole, offsets, strict=True))
        y, saved = device.leaky_relu(x, -0.5)
        np.testing.assert_array_equal(device.to_numpy(y), np.where(a > 0, a, a * dtype.type(-0.5)))
        dx = device.leaky_relu_backward(dy, saved)
        np.testing.assert_array_equal(device.to_numpy(dx), np.where(a > 0, b, b * dtype.type(-0.5)))
        np.testing.assert_array_equal(device.to_numpy(device.add(x, dy)), a + b)
        device.accumulate(x, dy)
        np.testing.assert_array_equal(device.to_numpy(x), a + b)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums(shape, device, dtype):
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=shape).astype(dtype) for _ in range(2))
    np.testing.assert_array_equal(device.to_numpy(device.add(device.asarray(a), device.asarray(b))), a + b)
    total, x = device.contiguous(device.asarray(a)), device.contiguous(device.asarray(b))
    device.accumulate(total, x)
    np.testing.assert_array_equal(device.to_numpy(total), a + b)
    device.accumulate(total, total)
    np.testing.assert_array_equal(device.to_numpy(total), 2 * (a + b))
    np.testing.assert_array_equal(device.to_numpy(x), b)


@pytest.mark.parametrize("name", [None, "tanh", "silu"])
def test_the_gradient_before_a_fused_activation(name, device):
    from fastnet.backends.device.elementwise import activation_gradient

    x = np.linspace(-2, 2, 9)
    activation = name and (name, {})
    kept = device.to_numpy(device.tanh(device.asarray(x))[0]) if name == "tanh" else x
    dx = activation_gradient(device.asarray(np.ones_like(x)), device.asarray(kept), activation)
    expected = run(Ops(), name, x, np.ones_like(x))[1] if name else np.ones_like(x)
    np.testing.assert_allclose(device.to_numpy(dx), expected, rtol=1e-14)
