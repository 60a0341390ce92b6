"""Batch norm can be the identity, and at test time no image changes another's output."""

from __future__ import annotations

import numpy as np

from fastnet.lectures.report import Report
from fastnet.types import Array

SOURCE = "WWU CSCI 497P"


def run(report: Report) -> None:
    import fastnet.functional as F

    rng = np.random.default_rng(report.seed)
    N, C, H, W = 64, 8, 16, 16
    spread = np.logspace(-2, 1, C)  # standard deviations of the channels
    x = rng.normal(0, spread[:, None, None], (N, C, H, W)) + rng.uniform(-3, 3, (C, 1, 1))
    mean, var, eps = x.mean((0, 2, 3)), x.var((0, 2, 3)), 1e-5

    def error(gamma: Array) -> Array:
        """The largest error of each channel, in units of its standard deviation."""
        y, _ = F.batch_norm(x, gamma=gamma, beta=mean, training=True, eps=eps)
        worst: Array = np.abs(y - x).max((0, 2, 3)) / np.sqrt(var)
        return worst

    right, slide = error(np.sqrt(var + eps)), error(np.sqrt(var))
    report.say(
        f"{N} x {C} x {H} x {W} numbers, whose channels have standard deviations from {spread[0]} to {spread[-1]}."
    )
    report.compare(
        "gamma = sqrt(Var + eps), beta = mean: error, in standard deviations", right.max(), "0", high=1e-6, digits=3
    )
    report.compare(
        "gamma = sqrt(Var), as printed: error where Var is 10 eps", slide.max(), "0", low=1e-2, high=1, digits=3
    )
    report.say("As printed, the identity is exact only without eps: where the variance is as small as eps, it is not.")

    running = {"running_mean": mean, "running_var": var}
    batches = [np.concatenate([x[:1], rng.permutation(x[1:])[:k]]) for k in (1, 2, 5, 10, 20, 40, 63)]
    alone, _ = F.batch_norm(x[:1], **running)
    test = [F.batch_norm(batch, **running)[0][:1] for batch in batches]
    train = [F.batch_norm(batch, training=True)[0][:1] for batch in batches]
    same = all(np.array_equal(y, alone) for y in test)
    report.claim("test: one image's output is the same to the bit in every batch", same, "identical" if same else "")
    moved = float(np.mean([np.abs(y - alone).max() for y in train]))
    report.compare("training: its output depends on the batch (mean change)", moved, low=1e-2, digits=3)

    _, axes = report.figure(1, 2)
    axes[0].loglog(spread, slide, "o-", label="gamma = sqrt(Var), as printed")
    axes[0].loglog(spread, np.maximum(right, 1e-17), "s-", label="gamma = sqrt(Var + eps)")
    axes[0].axhline(1e-6, color="black", linewidth=0.6, linestyle="--")
    axes[0].set(xlabel="standard deviation of the channel", ylabel="largest |y - x| / standard deviation")
    axes[0].set_title("batch norm as the identity, eps = 1e-5")
    axes[0].legend()
    sizes = [len(batch) for batch in batches]
    for outputs, label, style in (
        (train, "training: the batch's moments", "o-"),
        (test, "test: running moments", "s-"),
    ):
        axes[1].semilogx(sizes, [float(y[0, 3, 4, 4]) for y in outputs], style, label=label, base=2)
    axes[1].set(xlabel="images in the batch", ylabel="one output of the first image", title="one image in many batches")
    axes[1].legend()
