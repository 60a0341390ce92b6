"""Naive against fast: a convolution as loops, as im2col and a product, and as one kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from fastnet.lectures.report import Report

if TYPE_CHECKING:
    from fastnet.types import Array


def run(report: Report) -> None:
    import fastnet.functional as F
    from fastnet.bench import best_time

    N, C, H, W, K = (64, 3, 32, 32, 32) if report.full else (8, 3, 32, 32, 32)
    rng = np.random.default_rng(report.seed)
    x = rng.standard_normal((N, C, H, W)).astype(np.float32)
    weight = rng.standard_normal((K, C, 3, 3)).astype(np.float32)
    bias = rng.standard_normal(K).astype(np.float32)
    report.say(f"{N} images of {C} x {H} x {W}, {K} filters of {C} x 3 x 3, padding 1, float32, one forward pass.")

    forms: dict[str, tuple[Callable[[], Array], int]] = {
        "loops": (lambda: loops(x[:1], weight, bias), N),  # one image, and N times its time
        "im2col": (lambda: im2col(x, weight, bias), 1),
        "fastnet": (lambda: F.conv2d(x, weight, bias, padding=1)[0], 1),
    }
    expected = im2col(x.astype(np.float64), weight.astype(np.float64), bias.astype(np.float64))
    times = {}
    for name, (call, scale) in forms.items():
        y = call()
        error = np.abs(y - expected[: len(y)]).max() / np.abs(expected).max()
        report.compare(f"{name}: largest relative error, against float64", error, high=2e-6, digits=2)
        times[name] = best_time(call, 0.2, 1 if scale > 1 else 3) * scale
    report.table(
        ["form", "ms", "times faster than loops"], [(n, t * 1e3, times["loops"] / t) for n, t in times.items()]
    )
    report.compare("im2col: times faster than loops", times["loops"] / times["im2col"], low=2, digits=3)
    report.compare("fastnet: times faster than im2col", times["im2col"] / times["fastnet"], low=1, digits=3)

    _, axes = report.figure(size=(7, 2.6))
    bars = axes.barh(list(times), [1e3 * t for t in times.values()], color=["C3", "C1", "C2"])
    axes.bar_label(bars, fmt="%.3g ms", padding=4)
    axes.set(xscale="log", xlabel="milliseconds (logarithmic)", title="One convolution, three programs")
    axes.margins(x=0.2)
    axes.invert_yaxis()


def loops(x: Array, weight: Array, bias: Array) -> Array:
    """The definition, with padding 1: every output is the sum of a window times a filter."""
    (N, _, H, W), (K, _, R, S) = x.shape, weight.shape
    padded, y = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), np.empty((N, K, H, W), x.dtype)
    for n in range(N):
        for k in range(K):
            for p in range(H):
                for q in range(W):
                    y[n, k, p, q] = (padded[n, :, p : p + R, q : q + S] * weight[k]).sum() + bias[k]
    return y


def im2col(x: Array, weight: Array, bias: Array) -> Array:
    """All windows as columns of a matrix, times the filters as its rows."""
    (N, C, H, W), (K, _, R, S) = x.shape, weight.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (R, S), axis=(2, 3))  # (N, C, H, W, R, S)
    columns = windows.transpose(1, 4, 5, 0, 2, 3).reshape(C * R * S, N * H * W)
    y = weight.reshape(K, -1) @ columns + bias[:, None]
    return np.ascontiguousarray(y.reshape(K, N, H, W).transpose(1, 0, 2, 3))
