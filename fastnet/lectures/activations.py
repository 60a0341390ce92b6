"""All activations and their slopes in one picture, with the three problems of the sigmoid.

For inputs of mean 0 and variance 1 a table shows the mean of each activation (is it zero-centred?), the share of inputs
at which it is nearly flat (does it saturate?), and what it costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnet.lectures.report import Report


def _functions() -> dict[str, Callable[[Any], Any]]:
    from fastnet import functional as F

    return {
        "sigmoid": F.sigmoid,
        "tanh": F.tanh,
        "ReLU": F.relu,
        "leaky ReLU, 0.1": lambda x: F.leaky_relu(x, 0.1),
        "PReLU, a = 0.25": lambda x: _prelu(x, 0.25),
        "ELU": F.elu,
        "SELU": F.selu,
        "GELU": F.gelu,
        "GELU, tanh": F.gelu_tanh,
        "SiLU (swish)": F.silu,
        "softplus": F.softplus,
        "ReLU6": F.relu6,
        "hardsigmoid": F.hardsigmoid,
        "hardswish": F.hardswish,
        "maxout of x and -x/2": lambda x: _maxout(x, -0.5),
    }


def _prelu(x: Any, slope: float) -> Any:
    """PReLU of one channel."""
    from fastnet import functional as F

    y, backward = F.prelu(x.reshape(-1, 1), np.array([slope], x.dtype))
    return y.reshape(-1), lambda dy: backward(dy.reshape(-1, 1))[0].reshape(-1)


def _maxout(x: Any, factor: float) -> Any:
    """max(x, factor*x), a maxout unit of two pieces."""
    from fastnet import functional as F

    y, backward = F.maxout(np.stack([x, factor * x], axis=1))
    return y.reshape(-1), lambda dy: backward(dy.reshape(-1, 1)) @ np.array([1, factor], x.dtype)


def _milliseconds(function: Callable[[Any], Any], x: Any) -> float:
    """The best of several calls."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        function(x)
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def run(report: Report) -> None:
    functions = _functions()
    x = np.linspace(-6, 6, 1202)
    x = x[np.abs(x - np.rint(x)) > 1e-4]  # no kink is among these
    drawn = {}
    worst = 0.0
    for name, function in functions.items():
        y, backward = function(x)
        slope = backward(np.ones_like(x))
        h = 1e-6
        numerical = (function(x + h)[0] - function(x - h)[0]) / (2 * h)
        worst = max(worst, float(np.abs(numerical - slope).max()))
        drawn[name] = y, slope
    report.compare("largest difference of a slope and a centred difference", worst, high=1e-8, digits=2)
    apart = float(np.abs(drawn["GELU"][0] - drawn["GELU, tanh"][0]).max())
    report.compare("GELU's tanh form: largest difference", apart, high=5e-4, digits=2)

    grid = np.linspace(-12, 12, 200_001)
    density = np.exp(-grid * grid / 2) / np.sqrt(2 * np.pi) * (grid[1] - grid[0])
    selu = functions["SELU"](grid)[0]
    report.compare("SELU of a normal variable: mean", float(selu @ density), low=-1e-6, high=1e-6, digits=2)
    report.compare("SELU of a normal variable: variance", float(selu**2 @ density), low=1 - 1e-6, high=1 + 1e-6)
    mean = float(functions["sigmoid"](grid)[0] @ density)
    report.compare("sigmoid of a normal variable: not zero-centred", mean, low=0.5 - 1e-9, high=0.5 + 1e-9)

    rng = np.random.default_rng(report.seed)
    sample = rng.normal(size=1_000_000).astype(np.float32)
    rows = []
    for name, function in functions.items():
        y, backward = function(sample)
        slope = np.abs(backward(np.ones_like(sample)))
        cost = "-" if "maxout" in name else f"{_milliseconds(function, sample):.2f}"  # its pieces would be copied first
        rows.append((name, float(y.mean()), float(y.std()), float((slope < 0.05).mean()), cost))
    report.table(["activation", "mean", "std", "share of slopes < 0.05", "ms for 10^6 values"], rows, digits=2)

    columns = 5
    _, axes = report.figure(3, columns, size=(16, 8.5))
    for ax, (name, (y, slope)) in zip(axes.flat, drawn.items(), strict=True):
        ax.plot(x, y, label="value")
        ax.plot(x, slope, label="slope", linestyle="--")
        ax.axhline(0, color="black", linewidth=0.5)
        ax.axvline(0, color="black", linewidth=0.5)
        ax.set(title=name, xlim=(-6, 6), ylim=(-2.2, 4))
    for ax in axes[-1]:
        ax.set_xlabel("x")
    axes[0, 0].legend()
