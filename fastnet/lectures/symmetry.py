"""Symmetry: hidden units that begin equal stay equal, and learn the same for ever."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.lectures.report import Report

SOURCE = "notes on CS231n"
DATA = True


def run(report: Report) -> None:
    dataset = report.data()
    mean, std = dataset.X_train.mean(), dataset.X_train.std()
    x = ((dataset.X_train[:1000] - mean) / std).astype(np.float32)
    y, classes = dataset.y_train[:1000], len(dataset.classes)
    report.say("A network of 8 hidden tanh units, 100 steps of SGD. The weights start at 0, at 0.1, or at random.")
    found: dict[str, Any] = {}
    for name in ("zeros", "constant 0.1", "random"):
        found[name] = train(name, x, y, classes, report.seed)
    rows = [(n, units, rank, spread, losses[-1]) for n, (units, rank, spread, losses) in found.items()]
    report.table(["start", "different units", "rank of W1", "largest difference", "loss after 100"], rows)
    for name in ("zeros", "constant 0.1"):
        units, rank, spread, _ = found[name]
        report.claim(f"{name}: all units are equal to the last bit", units == 1 and spread == 0, f"{units}", "the same")
        report.compare(f"{name}: rank of the hidden weights", rank, high=1)
    report.compare("random: different units of 8", found["random"][0], low=8, high=8)
    better = found["random"][3][-1] < 0.9 * found["constant 0.1"][3][-1]
    report.claim("random weights learn more", better, f"{found['random'][3][-1]:.3f}")
    _, axes = report.figure(size=(7, 4.2))
    for name, (_, _, _, losses) in found.items():
        axes.plot(range(1, 101), losses, label=name)
    axes.set(xlabel="iteration", ylabel="loss", title="8 hidden units: equal ones are worth a single one")
    axes.grid(alpha=0.3)
    axes.legend(title="initial weights")


def train(name: str, x: Any, y: Any, classes: int, seed: int) -> tuple[int, int, float, list[float]]:
    """The number of different hidden units after 100 steps, the rank of their weights, how far they are apart, and
    the losses."""
    import fastnet as fn

    model = fn.Sequential(fn.Flatten(), fn.Linear(8), fn.Tanh(), fn.Linear(classes))
    model.build(x.shape[1:], seed=seed)
    if name == "zeros":
        fn.initializers.initialize(model, "zeros")
    elif name == "constant 0.1":
        fn.initializers.initialize(model, lambda rng, shape: fn.initializers.constant(rng, shape, 0.1))
    plan, optimizer, losses = fn.TrainingPlan(model), fn.optim.SGD(0.1), []
    for _ in range(100):
        model.zero_grad()
        losses.append(plan(x, y)[0])
        optimizer.step(model.parameters())
    hidden = np.asarray(model[1].weight.value)
    spread = float(abs(hidden - hidden[:1]).max())
    return len(np.unique(hidden, axis=0)), int(np.linalg.matrix_rank(hidden)), spread, losses
