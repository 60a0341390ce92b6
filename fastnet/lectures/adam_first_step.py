"""Adam's first step: without bias correction 3.16 times the rate, with it the rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastnet.lectures.report import Report

if TYPE_CHECKING:
    from fastnet.types import Array

SIZES = (1e-3, 1.0, 1e3)  # of the gradient
EPS = 1e-7


def run(report: Report) -> None:
    report.say(
        'CS231n 2017, lecture 7, asks of Adam "(almost)", without bias correction: "What happens at first timestep?" '
        "Both "
        f"moments start at 0 and are too small at first: m = 0.1 g, v = 0.001 g^2. beta = (0.9, 0.999), eps {EPS:g}."
    )
    steps = 20_000 if report.full else 3000
    almost, full = (sizes_of_steps(steps, corrected) for corrected in (False, True))
    for i, size in enumerate(SIZES):
        tolerance = EPS / (size * 0.001**0.5)  # eps beside the root of v
        least = 10**0.5 * (1 - 2 * tolerance) - 1e-4
        report.compare(f"gradient {size:g}: first step / rate, almost", almost[0, i], low=least, high=3.1624)
        report.compare(f"gradient {size:g}: first step / rate, corrected", full[0, i], low=0.999, high=1.0001)
    worst = int(np.argmax(almost[:, 1])) + 1
    report.say(
        f"Without correction the steps even grow until step {worst}, to {almost[:, 1].max():.2f} times the rate: m "
        f"reaches g "
        f"in tens of steps, v reaches g^2 in thousands. After {steps} steps they are {almost[-1, 1]:.3f} times the "
        f"rate."
    )
    report.claim("corrected: every step under a constant gradient is the rate", np.ptp(full[:, 1]) < 1e-3)
    report.compare("almost: largest step / rate", almost[:, 1].max(), low=5, high=10, digits=4)
    report.keep("almost", almost[:, 1])

    _, ax = report.figure(size=(7, 4.2))
    t = np.arange(1, steps + 1)
    ax.semilogx(t, almost[:, 1], label='Adam "(almost)": no bias correction')
    ax.semilogx(t, full[:, 1], label="Adam (full form)")
    ax.plot(1, almost[0, 1], "o", color="C0")
    ax.annotate("0.1 / sqrt(0.001) = 3.16", (1, almost[0, 1]), (1.5, almost[0, 1]), va="center")
    ax.set(title="Adam under a constant gradient", xlabel="step t", ylabel="size of the step / learning rate")
    ax.set_ylim(0, None)
    ax.legend()


def sizes_of_steps(steps: int, corrected: bool) -> Array:
    """How far each step moves under constant gradients, over the rate; (steps, len(SIZES)), in float64."""
    from fastnet.layers import Parameter
    from fastnet.optim import Adam

    p, adam, rate = Parameter(np.zeros(len(SIZES))), Adam(1e-3, eps=EPS, bias_correction=corrected), 1e-3
    moved = np.empty((steps, len(SIZES)))
    for row in moved:
        before, p.grad = p.value.copy(), np.array(SIZES)
        adam.step([p])
        row[:] = (before - p.value) / rate
    return moved
