"""A sigmoid's gradient at -10, 0 and 10: it passes a gradient only near 0."""

from __future__ import annotations

import numpy as np

from fastnet.lectures.report import Report

SOURCE = 'CS231n 2024, "Training neural networks"'


def run(report: Report) -> None:
    from fastnet import functional as F

    x = np.array([-10.0, 0.0, 10.0])
    y, backward = F.sigmoid(x)
    slopes = backward(np.ones(3))
    report.say(
        "The gate is sigma(x) = 1 / (1 + exp(-x)), and what flows back through it is multiplied by sigma (1 - sigma). "
        "The slide prints sigma(10) = -1; no sigmoid is negative."
    )
    for at, value, slide in zip(x, y, ("about 0", None, "-1"), strict=True):
        exact = 1 / (1 + np.exp(-at))
        report.compare(f"sigma({at:g})", value, slide, low=exact - 1e-12, high=exact + 1e-12, digits=5)
    for at, slope, slide, exact in zip(x, slopes, ("about 0", None, "0"), (4.5396e-5, 0.25, 4.5396e-5), strict=True):
        report.compare(f"its slope at {at:g}", slope, slide, low=exact - 1e-9, high=exact + 1e-9, digits=5)

    deep = np.linspace(-10, 10, 401)
    values, back = F.sigmoid(deep)
    derivative = back(np.ones_like(deep))
    report.compare("the largest slope: every gate keeps at most a quarter", derivative.max(), high=0.25)
    kept, value = np.ones(101), np.linspace(-10, 10, 101)
    for _ in range(10):
        value, back = F.sigmoid(value)
        kept = back(kept)
    report.compare("ten gates in a row: the most that is kept", kept.max(), high=0.25**10, digits=3)

    _, (left, right) = report.figure(1, 2)
    left.plot(deep, values, label="sigma(x)")
    left.plot(deep, derivative, label="slope, sigma (1 - sigma)")
    left.plot(x, y, "o", color="C0")
    left.plot(x, slopes, "o", color="C1")
    for at, slope in zip(x, slopes, strict=True):
        left.annotate(f"{slope:.2g}", (at, slope), (0, 8), textcoords="offset points", ha="center", color="C1")
    left.axvspan(-10, -5, alpha=0.1, color="red")
    left.axvspan(5, 10, alpha=0.1, color="red")
    left.text(-7.5, 0.5, "saturated", ha="center", color="darkred")
    left.text(7.5, 0.5, "saturated", ha="center", color="darkred")
    left.set(title="A sigmoid gate", xlabel="x", ylabel="value", xlim=(-11.5, 11.5))
    left.legend()
    right.semilogy(deep, derivative, color="C1")
    right.set(title="Its slope on a logarithmic scale", xlabel="x", ylabel="slope")
    right.grid(alpha=0.3)
