"""Gradients of mini-batches are noisy: their variance falls as 1 / batch size.

The gradient of the loss over all N images is the mean of N gradients.  A batch of B of them, drawn without replacement,
estimates it with the variance tr(S) / B * (N - B) / (N - 1), where tr(S) is the variance of a single image's gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.lectures.report import Report

if TYPE_CHECKING:
    from fastnet.layers import Model
    from fastnet.types import Array

DATA = True


def options(parser: Any) -> None:
    parser.add_argument("--draws", type="several", default=300, metavar="N", help="batches of each size (default: 300)")


def run(report: Report) -> None:
    import fastnet as fn

    data, count = report.data(), None if report.full else 512
    X = fn.data.Standardize.fit(data.X_train)(data.X_train[:count], "float64")
    y, N = data.y_train[:count], len(data.X_train[:count])
    model = fn.Sequential(fn.Flatten(), fn.Linear(16), fn.ReLU(), fn.Linear(len(data.classes)))
    model.build(data.image_shape, seed=report.seed, dtype="float64")
    whole, rng = _gradient(model, X, y), np.random.default_rng(report.seed)
    each = [_gradient(model, X[i : i + 1], y[i : i + 1]) for i in range(N)]
    report.say("CS231n 2017, lecture 7, says and draws that gradients of mini-batches are noisy; it prints no numbers.")
    report.compare(
        "full gradient - mean of the N gradients, largest difference",
        np.abs(np.mean(each, axis=0) - whole).max(),
        high=1e-12,
        digits=2,
    )
    trace = float(np.mean([((g - whole) ** 2).sum() for g in each]))
    rows: list[list[float]] = []
    for size in (*(size for size in (1, 4, 16, 64, 256) if size < N), N):
        squares, cosines = [], []
        for _ in range(report.args.draws if size < N else 1):
            index = rng.choice(N, size, replace=False)
            g = _gradient(model, X[index], y[index])
            squares.append(float(((g - whole) ** 2).sum()))
            cosines.append(float(g @ whole / np.linalg.norm(g) / np.linalg.norm(whole)))
        theory = trace / size * (N - size) / (N - 1)
        rows.append([size, float(np.mean(squares)), theory, float(np.mean(cosines))])
    report.table(["batch size", "mean |g_B - g|^2", "theory", "mean cosine of g_B and g"], rows)
    for row in rows[:-1]:
        report.compare(f"batch size {row[0]:g}: variance / theory", row[1] / row[2], low=0.8, high=1.25, digits=3)
    report.compare("full batch: variance", rows[-1][1], high=1e-20, digits=2)
    report.claim("the larger the batch, the better its direction", bool((np.diff([row[3] for row in rows]) > 0).all()))

    _, axes = report.figure(1, 2)
    sizes, measured, expected, directions = (np.array(column) for column in zip(*rows[:-1], strict=True))
    axes[0].loglog(sizes, measured, "o", label=f"{report.args.draws} batches")
    axes[0].loglog(sizes, expected, color="black", linewidth=1, label="tr(S)/B (N - B)/(N - 1)")
    axes[0].set(xlabel="batch size", ylabel="mean |g_B - g|^2", title="Variance of the gradient")
    axes[0].legend()
    axes[1].semilogx(sizes, directions, "o-")
    axes[1].set(xlabel="batch size", ylabel="cosine of g_B and g", ylim=(0, 1.05), title="Direction of the gradient")
    for ax in axes:
        ax.grid(True, alpha=0.3)


def _gradient(model: Model, X: Array, y: Array) -> Array:
    """The gradient of the mean loss over a batch, flat."""
    from fastnet import losses

    model.zero_grad()
    scores, backward = model.forward(X, training=True)
    backward(losses.softmax_cross_entropy(scores, y)[1], input_gradient=False)
    flat: Array = np.concatenate(
        [parameter.grad.ravel() for parameter in model.parameters() if parameter.grad is not None]
    )
    return flat
