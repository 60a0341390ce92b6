"""Normalised data: the loss changes less when the weights of a classifier change a little."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.lectures.report import Report


def run(report: Report) -> None:
    import fastnet as fn

    rng, n = np.random.default_rng(report.seed), 500
    y = np.arange(n) % 2
    cloud = rng.standard_normal((n, 2)) * 0.8 + np.where(y[:, None] == 0, [-1.0, 1.0], [1.0, -1.0])
    raw = cloud * [2.0, 1.0] + [12.0, 15.0]
    scaled = (raw - raw.mean(axis=0)) / raw.std(axis=0)
    report.say(
        "CS231n 2017, lecture 7, says that before normalization the loss is very sensitive to changes of the weights, "
        "and after it less; it prints no numbers.  Two classes of points, as they come (far from 0) and normalised "
        "(mean 0, deviation 1).  On each a linear "
        "classifier is fitted; then its line is turned by a small angle about the origin of its coordinates."
    )
    angles = np.radians([-4, -3, -2, -1, -0.5, 0.5, 1, 2, 3, 4])
    curves: dict[str, list[float]] = {}
    fitted: dict[str, Any] = {}
    for name, x in (("raw", raw), ("normalised", scaled)):
        weights, bias = fit(x, y)
        fitted[name] = x, weights, bias
        losses = []
        for angle in [0.0, *angles]:
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            scores = x @ (turn @ weights) + bias
            losses.append(fn.losses.bce_with_logits(scores[:, None], y[:, None].astype(float))[0])
        curves[name] = losses
    rows = [(f"{np.degrees(a):+.1f}", curves["raw"][i + 1], curves["normalised"][i + 1]) for i, a in enumerate(angles)]
    report.table(
        ["angle in degrees", "loss, raw", "loss, normalised"], [("none", *(c[0] for c in curves.values())), *rows]
    )
    change = {name: [loss - losses[0] for loss in losses[1:]] for name, losses in curves.items()}
    ratios = [a / b for a, b in zip(change["raw"], change["normalised"], strict=True)]
    report.compare("change of the loss, raw against normalised, smallest ratio", min(ratios), low=1)
    report.compare("at 1 degree", ratios[6], low=2, digits=3)
    report.keep("changes", change)

    _, (left, middle, right) = report.figure(1, 3)
    for axes, (name, (x, weights, bias)) in zip((left, middle), fitted.items(), strict=True):
        for label in (0, 1):
            axes.plot(*x[y == label].T, ".", markersize=4, label=f"class {label}")
        for angle, style in ((0.0, "k-"), (np.radians(4), "k--")):
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            a, b = turn @ weights
            ends = np.array([x[:, 0].min(), x[:, 0].max()])
            axes.plot(ends, -(a * ends + bias) / b, style, label="its line" if angle == 0 else "turned by 4 degrees")
        low, high = x[:, 1].min(), x[:, 1].max()
        axes.set_ylim(low - 0.2 * (high - low), high + 0.2 * (high - low))
        axes.set(title=f"{name.capitalize()} data", xlabel="x1", ylabel="x2")
        axes.legend(fontsize=8)
    for name, losses in curves.items():
        order = np.argsort([0.0, *angles])
        right.plot(np.degrees(np.array([0.0, *angles])[order]), np.array(losses)[order], "o-", markersize=3, label=name)
    right.set(xlabel="angle in degrees", ylabel="loss", title="Loss of the turned classifier")
    right.grid(alpha=0.3)
    right.legend()


def fit(x: Any, y: Any) -> tuple[Any, float]:
    """The weights of the logistic regression, and its bias: Newton's method, with a small penalty."""
    design, weights = np.column_stack([x, np.ones(len(x))]), np.zeros(3)
    for _ in range(30):
        p = 1 / (1 + np.exp(-design @ weights))
        gradient = design.T @ (p - y) / len(x) + 1e-3 * weights
        curvature = (design * (p * (1 - p))[:, None]).T @ design / len(x) + 1e-3 * np.eye(3)
        weights -= np.linalg.solve(curvature, gradient)
    return weights[:2], float(weights[2])
