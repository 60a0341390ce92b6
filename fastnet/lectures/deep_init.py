"""Deep networks: orthogonal, random walk, LSUV, data-dependent and Fixup weights beside He's."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from fastnet.lectures.report import Report

DATA = True


def run(report: Report) -> None:
    _drift(report)
    dataset = report.data()
    mean, std = dataset.X_train.mean(), dataset.X_train.std()
    count = len(dataset.y_train) if report.full else 1000
    x = ((dataset.X_train[:count] - mean) / std).astype(np.float32)
    y, classes = dataset.y_train[:count], len(dataset.classes)
    plain = _plain(report, x, y, classes)
    fixed = _residual(report, x, y, classes)
    _, axes = report.figure(1, 2)
    for each, curves, title in zip(
        axes, (plain, fixed), ("20 linear layers, ReLU", "56 layers, residual, no normalization"), strict=True
    ):
        for name, losses in curves.items():
            values = np.minimum(np.nan_to_num(losses, nan=99, posinf=99), 99)
            window = min(8, len(values))
            smooth = np.convolve(values, np.ones(window) / window, "valid")
            ended = f" (NaN after {len(values)})" if not np.isfinite(losses[-1]) else ""
            each.plot(np.arange(window, len(values) + 1), smooth, label=name + ended)
        each.set(xlabel="iteration", ylabel="loss, mean of 8", title=title, ylim=(0, 1.6 * np.log(classes)))
        each.grid(alpha=0.3)
        each.legend(fontsize=8)


def _drift(report: Report) -> None:
    """How the length of a signal changes through 100 layers of 20 ReLUs, over many draws."""
    from fastnet import initializers

    rng = np.random.default_rng(report.seed)
    rules: dict[str, Any] = {
        "He": initializers.kaiming_normal,
        "random walk": initializers.random_walk,
        "orthogonal, gain sqrt(2)": partial(initializers.orthogonal, gain=2**0.5),
    }
    report.say(
        "The length of a signal after 100 layers of 20 ReLUs, log10, over 100 networks. He's variance keeps the mean "
        "of its *square*; its logarithm drifts downward, which is what the random walk's factor takes out."
    )
    rows, drifts = [], {}
    for name, rule in rules.items():
        logs = []
        for _ in range(100):
            h = np.maximum(rng.standard_normal(20), 0)
            start = np.linalg.norm(h)
            for _ in range(100):
                h = np.maximum(rule(rng, (20, 20)) @ h, 0)
            logs.append(float(np.log10(np.linalg.norm(h) / start + 1e-30)))
        drifts[name] = float(np.median(logs))
        rows.append((name, np.median(logs), np.percentile(logs, 10), np.percentile(logs, 90)))
    report.table(["weights", "median", "10 %", "90 %"], rows, digits=3)
    report.compare("He: median log10 of the length after 100 layers", drifts["He"], high=-1, digits=3)
    report.compare("random walk", drifts["random walk"], low=-1.2, high=1.2, digits=3)


def _plain(report: Report, x: Any, y: Any, classes: int) -> dict[str, list[float]]:
    from fastnet import initializers

    orthogonal, init = partial(initializers.orthogonal, gain=2**0.5), initializers.initialize
    starts: dict[str, Any] = {
        "0.01": lambda model, seed: init(model, "normal", seed=seed),
        "He": lambda model, seed: init(model, "kaiming_normal", seed=seed),
        "orthogonal, gain sqrt(2)": lambda model, seed: init(model, orthogonal, seed=seed),
        "random walk": lambda model, seed: init(model, "random_walk", seed=seed),
        "LSUV": lambda model, seed: initializers.lsuv(model, x[:256], seed=seed),
        "data-dependent": lambda model, seed: initializers.data_dependent(model, x[:256], seed=seed),
    }
    seeds = range(5 if report.full else 3)
    report.say(
        "20 linear layers of 32 ReLUs, SGD with momentum 0.9, rate 0.002, 8 epochs: medians over "
        f"{len(seeds)} draws of the weights; they differ much from draw to draw."
    )
    rows: list[tuple[Any, ...]] = []
    curves: dict[str, list[float]] = {}
    for name, start in starts.items():
        found = []
        for seed in seeds:
            model = _network(x, classes, seed)
            start(model, seed)
            spread = float(model(x[:256]).std())
            losses, right = _train(model, x, y, 0.002, 8)
            found.append((spread, losses[0], float(np.mean(losses[-20:])), right))
            curves.setdefault(name, losses)
        ends = [end for _, _, end, _ in found]
        rows.append((name, *np.median(found, axis=0), f"{min(ends):.2f} to {max(ends):.2f}"))
    report.table(["weights", "std of scores", "first loss", "last loss", "accuracy", "last losses"], rows, digits=3)
    last = {row[0]: row[3] for row in rows}
    chance = float(np.log(classes))
    report.compare(
        "0.01: loss at the end, log C: nothing is learned", last["0.01"], low=0.98 * chance, high=1.02 * chance
    )
    for name in list(starts)[1:]:
        report.compare(f"{name}: loss at the end", last[name], high=0.8 * chance, digits=3)
    return curves


def _network(x: Any, classes: int, seed: int) -> Any:
    import fastnet as fn

    hidden = [layer for _ in range(19) for layer in (fn.Linear(32), fn.ReLU())]
    model = fn.Sequential(fn.Flatten(), *hidden, fn.Linear(classes))
    model.build(x.shape[1:], seed=seed)
    return model


def _residual(report: Report, x: Any, y: Any, classes: int) -> dict[str, list[float]]:
    from fastnet import initializers, models

    report.say(
        "A residual network of 56 layers without normalization: Fixup's rules against He's weights in the same network."
    )
    rows, curves = [], {}
    count = 512 if not report.full else len(x)
    for name in ("He", "Fixup"):
        model = models.fixup_resnet56(classes, x.shape[1:])
        if name == "He":
            initializers.initialize(model, "kaiming_normal")
        with np.errstate(all="ignore"):
            spread = float(model(x[:64]).std())
            losses, right = _train(model, x[:count], y[:count], 0.05, 4)
        curves[name] = losses
        rows.append((name, spread, losses[0], float(np.mean(losses[-8:])), right))
    report.table(["weights", "std of scores", "first loss", "last loss", "accuracy"], rows, digits=3)
    (_, he, *_), (_, _, first, last, _) = rows
    report.compare("He: std of the scores, which grows with each block", he, low=1e3, digits=2)
    chance = float(np.log(classes))
    report.compare("Fixup: first loss, log C", first, low=chance - 1e-5, high=chance + 1e-5)
    report.compare("Fixup: loss at the end", last, high=0.6 * chance, digits=3)
    return curves


def _train(model: Any, x: Any, y: Any, rate: float, epochs: int) -> tuple[list[float], float]:
    """The losses until they are no longer finite, and the accuracy over the last epoch."""
    from fastnet import TrainingPlan, losses
    from fastnet.data import Loader
    from fastnet.optim import SGD

    plan, optimizer, loader = TrainingPlan(model), SGD(rate, momentum=0.9), Loader(x, y, 32)
    found: list[float] = []
    right: list[float] = []
    for epoch in range(epochs):
        right.clear()
        for images, labels in loader.batches(epoch):
            model.zero_grad()
            loss, scores = plan(images, labels)
            found.append(loss)
            right.append(losses.measure(losses.softmax_cross_entropy, scores, labels))
            if not np.isfinite(loss):
                return found, 0.0
            optimizer.step(model.parameters())
    return found, float(np.mean(right))
