"""Batch norm: accuracy after a few steps, over initial scales and rates, with and without it.

A network of five layers learns for the same few steps from every pair of an initial scale of the weights (1 is
Kaiming's) and a learning rate.  That batch norm makes a network less dependent on its initial weights and allows higher
rates, as lectures say, are then areas of a map.
"""

from __future__ import annotations

import numpy as np

from fastnet.lectures.report import Report
from fastnet.types import Array

DATA = True
GOOD = 0.8  # accuracy
HIDDEN, BATCH = 48, 64


def run(report: Report) -> None:
    dataset = report.data()
    train, test = (_flat(x) for x in (dataset.X_train, dataset.X_test))
    mean, std = train.mean(0), train.std() + 1e-6
    train, test = (((x - mean) / std).astype(np.float32) for x in (train, test))
    steps = 300 if report.full else 60
    scales, rates = np.logspace(-2, 2, 20), np.logspace(-3, 0.5, 8)
    report.say(
        f"Five layers of {HIDDEN} units with ReLU, SGD, {steps} steps of {BATCH} images, {len(scales)} initial scales "
        f"x {len(rates)} rates, without batch norm and with it before each ReLU. Accuracy is that on test images."
    )
    maps = {}
    for norm in (False, True):
        maps[norm] = np.array(
            [[_accuracy(dataset, train, test, norm, s, r, steps, report.seed) for s in scales] for r in rates]
        )
    good = {norm: maps[norm] >= GOOD for norm in maps}
    share = {norm: float(good[norm].mean()) for norm in good}
    best = {norm: maps[norm].max(0) for norm in maps}  # of each scale's rates
    wide = {norm: int((best[norm] >= GOOD).sum()) for norm in maps}
    fast = {norm: float(rates[good[norm].any(1)].max(initial=0)) for norm in maps}
    report.table(
        ["", "without", "with batch norm"],
        [
            [f"share of pairs that reach {GOOD:.0%}", share[False], share[True]],
            [f"scales (of {len(scales)}) with a rate that does", wide[False], wide[True]],
            ["largest rate that does at any scale", fast[False], fast[True]],
            ["best accuracy", float(maps[False].max()), float(maps[True].max())],
        ],
    )
    report.compare("pairs that learn: with / without", share[True] / max(share[False], 1e-9), low=1.3, digits=3)
    report.compare("initial scales that learn: with / without", wide[True] / max(wide[False], 1), low=1.3, digits=3)
    report.claim(
        "with batch norm, higher rates still learn", fast[True] >= fast[False], f"{fast[True]:.3g}, {fast[False]:.3g}"
    )
    for name, norm in (("without", False), ("with", True)):
        report.keep(name, maps[norm])
    report.keep("scales", scales)
    report.keep("rates", rates)

    figure, axes = report.figure(1, 3, size=(15, 4))
    for ax, norm, title in zip(axes, (False, True), ("without batch norm", "with batch norm"), strict=False):
        image = ax.pcolormesh(scales, rates, maps[norm], vmin=0, vmax=1, shading="nearest", cmap="viridis")
        ax.set(xscale="log", yscale="log", xlabel="initial scale (1: Kaiming)", ylabel="learning rate", title=title)
    figure.colorbar(image, ax=axes[1], label=f"test accuracy after {steps} steps")
    for norm, label in ((False, "without"), (True, "with batch norm")):
        axes[2].plot(scales, best[norm], marker="o", label=label)
    axes[2].axhline(GOOD, color="black", linewidth=0.6, linestyle="--")
    axes[2].set(xscale="log", ylim=(0, 1.02), xlabel="initial scale (1: Kaiming)", ylabel="accuracy at the best rate")
    axes[2].set_title("the best rate of each scale")
    axes[2].legend(loc="lower center", bbox_to_anchor=(0.52, 0.12))


def _flat(x: Array) -> Array:
    return np.asarray(x, np.float32).reshape(len(x), -1)


def _accuracy(
    dataset: object, train: Array, test: Array, norm: bool, scale: float, rate: float, steps: int, seed: int
) -> float:
    """The test accuracy of one network; a network that has diverged answers the first class."""
    import fastnet as fn

    y_train, y_test = (np.asarray(getattr(dataset, name)) for name in ("y_train", "y_test"))
    layers: list[fn.Layer] = []
    for _ in range(4):
        layers += [fn.Linear(HIDDEN), *([fn.BatchNorm1d()] if norm else []), fn.ReLU()]
    model = fn.Sequential(*layers, fn.Linear(int(y_train.max()) + 1))
    model.build(train.shape[1:], seed)
    for layer in model:
        if isinstance(layer, fn.Linear):
            layer.weight.value *= np.float32(scale)
    plan, optimizer, rng = fn.TrainingPlan(model), fn.optim.SGD(rate), np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        for _ in range(steps):
            pick = rng.integers(0, len(train), BATCH)
            model.zero_grad()
            plan(train[pick], y_train[pick])
            optimizer.step(model.parameters())
        return float((model(test).argmax(1) == y_test).mean())
