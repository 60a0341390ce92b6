"""Learning-rate schedules (step, exponential, 1/t, linear, cosine, cyclic) against formulas.

Values over 30 epochs of 20 iterations, from a base rate of 0.1, and a picture of each.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from fastnet.lectures.report import Report

_EPOCHS, _PER_EPOCH, _RATE, _K = 30, 20, 0.1, 0.15


def run(report: Report) -> None:
    from fastnet import optim

    total = _EPOCHS * _PER_EPOCH
    k = _K / _PER_EPOCH

    def triangle(i: int) -> float:  # Smith's code: cycle, then the distance from its middle
        step = 5 * _PER_EPOCH
        cycle = math.floor(1 + i / (2 * step))
        return 0.1 + 0.9 * max(0.0, 1 - abs(i / step - 2 * cycle + 1))

    formulas: list[tuple[str, optim.Schedule, Callable[[int], float]]] = [
        ("step: half every 5 epochs", optim.StepDecay(5, 0.5), lambda i: 0.5 ** (i // _PER_EPOCH // 5)),
        ("exponential: exp(-k t)", optim.ExponentialDecay(k, per="iteration"), lambda i: math.exp(-k * i)),
        ("1/t: 1 / (1 + k t)", optim.InverseTimeDecay(k, per="iteration"), lambda i: 1 / (1 + k * i)),
        ("linear: 1 - t/T", optim.LinearDecay(), lambda i: 1 - i / total),
        ("cosine: (1 + cos(pi t/T)) / 2", optim.CosineDecay(), lambda i: (1 + math.cos(math.pi * i / total)) / 2),
        (
            "cyclic: cosine with warm restarts, T = 10",
            optim.CosineRestarts(10),
            lambda i: (1 + math.cos(math.pi * (i % (10 * _PER_EPOCH)) / (10 * _PER_EPOCH))) / 2,
        ),
        ("cyclic: triangles of 5 + 5 epochs", optim.CyclicRate(5, per="epoch"), triangle),
    ]
    report.say("The formulas are those of CS231n 2017, lecture 7, which prints no values, and of the papers.")
    for name, schedule, formula in formulas:
        worst = max(abs(schedule(i, total, _PER_EPOCH) - formula(i)) for i in range(total))
        report.compare(f"{name}, largest difference", worst, high=1e-12, digits=2)
    epochs = (0, 4, 5, 10, 15, 20, 29)
    report.table(
        ["factor at the start of epoch", *(str(epoch) for epoch in epochs)],
        [
            [name, *(schedule(epoch * _PER_EPOCH, total, _PER_EPOCH) for epoch in epochs)]
            for name, schedule, _ in formulas
        ],
    )
    one = optim.OneCycle(momentum=(0.85, 0.95))
    rates = [one(i, total) for i in range(total)]
    momenta = [one.momentum_at(i, total) or 0.0 for i in range(total)]
    against = all((b - a) * (d - c) <= 0 for a, b, c, d in zip(rates, rates[1:], momenta, momenta[1:], strict=False))
    report.claim("one cycle: the momentum falls while the rate rises, and rises while it falls", against)

    shown = [
        *((name, schedule) for name, schedule, _ in formulas),
        ("one cycle (dashed: momentum)", one),
        (
            "linear warm-up, then cosine",
            optim.SequentialSchedule([optim.LinearRamp(0.01, 1), optim.CosineDecay()], [5]),
        ),
    ]
    figure, axes = report.figure(3, 3, size=(13, 9))
    for ax, (name, schedule) in zip(axes.flat, shown, strict=True):
        schedule.plot(total, _PER_EPOCH, lr=_RATE, axes=ax)
        ax.set_title(name, fontsize="medium")
    figure.suptitle(f"Learning-rate schedules from a base rate of {_RATE}")
