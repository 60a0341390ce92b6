"""AdaGrad's steps shrink as 1/sqrt(t); RMSProp's keep the learning rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.lectures.report import Report

if TYPE_CHECKING:
    from fastnet.types import Array

RATE = 0.01


def run(report: Report) -> None:
    from fastnet.optim import Adagrad, RMSprop

    steps = 100_000 if report.full else 5000
    report.say(
        'CS231n 2017, lecture 7, asks of AdaGrad: "What happens to the step size over long time?" Here under a '
        "constant "
        f"gradient of 1 and under gradients from a normal distribution, {steps} steps."
    )
    rng, t = np.random.default_rng(report.seed), np.arange(1, steps + 1)
    gradients = {"constant": np.ones(steps), "normal": rng.standard_normal(steps)}
    makers: dict[str, Callable[[], Any]] = {
        "AdaGrad": lambda: Adagrad(RATE, eps=1e-12),
        "RMSProp": lambda: RMSprop(RATE, 0.99, eps=1e-12),
    }
    found = {(kind, name): sizes(make(), g) for kind, g in gradients.items() for name, make in makers.items()}
    error = np.abs(found["constant", "AdaGrad"] * np.sqrt(t) / RATE - 1).max()
    report.compare("constant gradient: AdaGrad's step t against rate / sqrt(t)", error, high=1e-6, digits=2)
    last = found["constant", "RMSProp"][-1] / RATE
    report.compare("constant gradient: RMSProp's last step / rate", last, low=1 - 1e-6, high=1 + 1e-6)
    first, final = (found["normal", "AdaGrad"][part].mean() for part in (slice(100), slice(-100, None)))
    report.compare("normal gradients: AdaGrad's last 100 steps / first 100", final / first, high=0.4, digits=3)
    first, final = (found["normal", "RMSProp"][part].mean() for part in (slice(500, 1000), slice(-500, None)))
    report.compare(
        "normal gradients: RMSProp's last steps / those after 500", final / first, low=0.7, high=1.4, digits=3
    )

    _, axes = report.figure(1, 2, size=(11, 4.2))
    for ax, kind in zip(axes, gradients, strict=True):
        for name in makers:
            size = found[kind, name]
            when = t
            if kind == "normal":  # a single step can be as small as it likes: means of 51 around each
                size, when = np.convolve(size, np.ones(51) / 51, "valid"), t[25:-25]
            ax.loglog(when, size / RATE, label=name)
        ax.loglog(t, 1 / np.sqrt(t), "k:", label="1 / sqrt(t)")
        ax.set(title=f"{kind} gradients" + ("" if kind == "constant" else ": mean of 51 steps"))
        ax.set(xlabel="step t", ylabel="size of the step / learning rate")
        ax.legend()


def sizes(optimizer: Any, gradients: Array) -> Array:
    """How far each step moves one parameter, in float64."""
    from fastnet.layers import Parameter

    p, moved = Parameter(np.zeros(1)), np.empty(len(gradients))
    for i, g in enumerate(gradients):
        before, p.grad = p.value.copy(), np.array([g])
        optimizer.step([p])
        moved[i] = abs(p.value[0] - before[0])
    return moved
