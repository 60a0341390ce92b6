"""Activations against the formulas in Python's own mathematics, at their edges, in every instruction set."""

from __future__ import annotations

import math

import numpy as np
import pytest
from isas import ISAS, kernels

from fastnet import functional as F
from fastnet.backends import use_backend

INF = math.inf


def gelu(x):
    return x * 0.5 * (1 + math.erf(x / math.sqrt(2))) if abs(x) < INF else max(x, 0.0)


def gelu_slope(x):
    return 0.5 * (1 + math.erf(x / math.sqrt(2))) + x * math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def elu(x, alpha=1.0):
    return x if x > 0 else alpha * math.expm1(x)


def elu_slope(x, alpha=1.0):
    return 1.0 if x > 0 else alpha * math.exp(x)


def softplus(x, beta=1.0, threshold=20.0):
    return x if beta * x > threshold else math.log1p(math.exp(beta * x)) / beta


def softplus_slope(x, beta=1.0, threshold=20.0):
    return 1.0 if beta * x > threshold else 1 / (1 + math.exp(-beta * x))


def relu6(x):
    return min(max(x, 0.0), 6.0)


def hardsigmoid(x):
    return relu6(x + 3) / 6


def hardswish(x):
    return x * relu6(x + 3) / 6


def hardswish_slope(x):
    return 0.0 if x <= -3 else 1.0 if x >= 3 else (2 * x + 3) / 6


SCALE, ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def selu(x):
    return SCALE * (x if x > 0 else ALPHA * math.expm1(x))


def selu_slope(x):
    return SCALE * (1.0 if x > 0 else ALPHA * math.exp(x))


def gelu_tanh(x):
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gelu_tanh_slope(x):
    t = math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def silu(x):
    return x * sigmoid(x)


def silu_slope(x):
    return sigmoid(x) * (1 + x * (1 - sigmoid(x)))


CASES = {
    "selu": (F.selu, selu, selu_slope, {}),
    "gelu_tanh": (F.gelu_tanh, gelu_tanh, gelu_tanh_slope, {}),
    "silu": (F.silu, silu, silu_slope, {}),
    "relu6": (F.relu6, relu6, lambda x: float(0 < x < 6), {}),
    "hardsigmoid": (F.hardsigmoid, hardsigmoid, lambda x: float(-3 < x < 3) / 6, {}),
    "hardswish": (F.hardswish, hardswish, hardswish_slope, {}),
    "gelu": (F.gelu, gelu, gelu_slope, {}),
    "elu": (F.elu, elu, elu_slope, {}),
    "elu of another alpha": (F.elu, elu, elu_slope, {"alpha": -0.75}),
    "softplus": (F.softplus, softplus, softplus_slope, {}),
    "softplus, steeper": (F.softplus, softplus, softplus_slope, {"beta": 3.0, "threshold": 5.0}),
}
POINTS = np.concatenate(
    [np.linspace(-45, 45, 4001), np.linspace(-1e-3, 1e-3, 101), [0.0, -0.0, 1e-30, -1e-30, 80, -80, -3, 3, 6]]
)


def backend(isa):
    return use_backend("reference") if isa == "reference" else kernels(isa)


@pytest.mark.parametrize("isa", [*ISAS, "reference"])
@pytest.mark.parametrize("case", CASES)
def test_values_and_slopes(case, isa, dtype):
    function, formula, slope, settings = CASES[case]
    x = POINTS.astype(dtype)
    with backend(isa):
        y, backward = function(x, **settings)
        dx = backward(np.ones_like(x))
    eps = np.finfo(dtype).eps
    for got, exact in ((y, formula), (dx, slope)):
        expected = np.array([exact(float(value), **settings) for value in x])
        assert got.dtype == dtype
        np.testing.assert_allclose(got, expected, rtol=8 * eps, atol=8 * eps * (1 if exact is elu_slope else 3))


@pytest.mark.parametrize("isa", [*ISAS, "reference"])
@pytest.mark.parametrize("case", CASES)
def test_what_is_not_finite(case, isa, dtype):
    function, _, _, settings = CASES[case]
    alpha = settings.get("alpha", 1.0)
    known = {"elu": -alpha, "elu of another alpha": -alpha, "selu": np.dtype(dtype).type(-SCALE * ALPHA)}
    low = None if case in ("gelu", "gelu_tanh", "silu", "hardswish") else known.get(case, 0.0)
    x = np.array([np.nan, np.inf, -np.inf][: 2 if low is None else 3], dtype)  # x times 0: NaN
    with backend(isa), np.errstate(invalid="ignore"):  # gelu's slope at infinity is infinity * 0
        y, backward = function(x, **settings)
        dx = backward(np.ones_like(x))
    top = {"relu6": 6, "hardsigmoid": 1}.get(case, np.inf)
    assert np.isnan(y[0]) and y[1] == top
    if top == np.inf:  # the others are flat outside an interval, and NaN is not inside
        assert np.isnan(dx[0])
    if low is not None:
        assert y[2] == low and dx[2] == 0


def test_small_values_keep_their_digits(dtype):
    """elu(x) = x near 0, where exp(x) - 1 would lose all precision."""
    x = -np.logspace(-30, -8, 40).astype(dtype)
    for isa in [*ISAS, "reference"]:
        with backend(isa):
            y, _ = F.elu(x)
        np.testing.assert_allclose(y, np.expm1(x.astype(np.float64)), rtol=4 * np.finfo(dtype).eps)
