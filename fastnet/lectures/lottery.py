"""Lottery tickets: pruned and rewound to the initial weights, against newly drawn ones.

A network is trained, its smallest weights are pruned, and what is left goes back to its first values, again and again
(Frankle & Carbin 2019).  The picture shows the accuracy on test images against the weights that are left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.lectures.report import Report

if TYPE_CHECKING:
    from fastnet import Sequential
    from fastnet.layers import Model
    from fastnet.training import Masks

DATA = True


def run(report: Report) -> None:
    from fastnet import Solver, models, optim
    from fastnet.training import find_ticket

    data = report.data()
    trials, rounds, epochs = (5, 8, 30) if report.full else (3, 5, 16)
    scale = 255 if data.X_train.dtype.kind == "u" else 1
    pixels = [np.asarray(images / scale, np.float32) for images in (data.X_train, data.X_test)]

    def network(seed: int) -> Sequential:
        return models.pattern("(FC-RELU)*2-FC", len(data.classes), data.image_shape, hidden=(100, 50), seed=seed)

    def train(model: Model, masks: Masks) -> float:
        options: Any = {"optimizer": optim.Adam(1.2e-3), "batch_size": 60, "verbose": False, "seed": report.seed}
        Solver(model, (pixels[0], data.y_train), epochs=epochs, callbacks=[masks], **options).train()
        return model.evaluate(pixels[1], data.y_test).accuracy

    rewound, drawn, left = [], [], []
    for trial in range(trials):
        fresh: list[float] = []

        def both(model: Model, masks: Masks, fresh: list[float] = fresh, trial: int = trial) -> float:
            other = network(report.seed + 1000 + trial)  # the same masks on weights drawn anew
            fresh.append(train(other, masks))
            return train(model, masks)

        model = network(report.seed + trial)
        ticket = find_ticket(model, both, rounds, 0.5)
        rewound.append([*(accuracy for _, accuracy in ticket.rounds), both(model, ticket.masks)])
        drawn.append(fresh)
        left = [*(remaining for remaining, _ in ticket.rounds), ticket.masks.remaining]
    a, b = np.array(rewound), np.array(drawn)
    report.say(f"{trials} networks of {data.image_shape}-100-50-{len(data.classes)}, {epochs} epochs in each round.")
    report.table(
        ["weights left", "rewound", "+-", "drawn anew", "+-"],
        [(f"{100 * w:.1f} %", *m) for w, *m in zip(left, a.mean(0), a.std(0), b.mean(0), b.std(0), strict=True)],
        digits=3,
    )
    chance = float(np.bincount(data.y_test).max() / len(data.y_test))
    report.compare("all weights: accuracy / guessing the commonest class", a[:, 0].mean() / chance, low=2, digits=4)
    sparse = slice(-3, None)
    gain = float((a[:, sparse] - b[:, sparse]).mean())
    report.compare(f"below {100 * left[-3]:.0f} %: rewound - drawn anew", gain, low=0, digits=3)
    small = left.index(min(left, key=lambda w: abs(w - 0.25)))
    report.compare(
        f"rewound at {100 * left[small]:.0f} % - all weights", (a[:, small] - a[:, 0]).mean(), low=-0.04, digits=3
    )

    _, axes = report.figure(size=(6.8, 4.6))
    for name, values, color in (("rewound to the initial weights", a, "C0"), ("drawn anew", b, "C1")):
        axes.errorbar(100 * np.array(left), values.mean(0), values.std(0), fmt="o-", capsize=3, color=color, label=name)
    axes.set(xscale="log", xlabel="weights left, %", ylabel="accuracy on test images", title="Lottery tickets")
    axes.set_xticks([100 * w for w in left], [f"{100 * w:.0f}" for w in left])
    axes.minorticks_off()
    axes.invert_xaxis()
    axes.legend()
