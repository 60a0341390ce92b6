"""Random against grid search: nine trials try nine learning rates, or only three.

The learning rate matters much more than the weight decay.  A grid of 3 x 3 settings tries three learning rates three
times each; nine random settings try nine (Bergstra & Bengio 2012, figure 1).  The accuracies are measured once, on a
fine lattice of settings; then both methods search it many times, the grid with its points shifted at random within
their cells, as it is chance where a grid's points lie.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastnet.lectures.report import Report

if TYPE_CHECKING:
    from fastnet.data import Dataset
    from fastnet.types import Array, Generator

DATA = True
_RATES, _DECAYS = np.logspace(-6, 3, 46), np.logspace(-8, -4, 5)


def run(report: Report) -> None:
    dataset = report.data()
    if dataset.X_val is None:
        dataset = dataset.split(0.2, report.seed)
    accuracy = np.array([[_accuracy(dataset, lr, decay, report.seed) for decay in _DECAYS] for lr in _RATES])
    report.keep("lr", _RATES)
    report.keep("weight_decay", _DECAYS)
    report.keep("accuracy", accuracy)
    by_rate, by_decay = accuracy.max(1) - accuracy.min(1), np.ptp(accuracy, axis=0)
    report.say(
        f"{accuracy.size} trainings on {dataset.name}: the learning rate changes the accuracy by "
        f"{np.median(by_decay):.3f}, the weight decay by {np.median(by_rate):.3f} (from worst to best, the other one "
        "fixed; medians)."
    )
    report.claim("the learning rate matters more", np.median(by_decay) > 3 * np.median(by_rate))

    rng, repeats = np.random.default_rng(report.seed), 1000 if report.full else 100
    best: dict[str, list[float]] = {"grid": [], "random": []}
    for _ in range(repeats):
        settings = {"grid": grid(rng), "random": rng.random((9, 2))}
        for method, points in settings.items():
            best[method].append(float(max(_look_up(accuracy, points))))
    distinct = {method: len(np.unique(points[:, 0])) for method, points in settings.items()}
    report.compare("grid: distinct learning rates in 9 trials", distinct["grid"], low=3, high=3)
    report.compare("random: distinct learning rates in 9 trials", distinct["random"], low=9, high=9)
    means = {method: float(np.mean(values)) for method, values in best.items()}
    difference = np.subtract(best["random"], best["grid"])
    report.table(
        ["method", f"best of 9, mean of {repeats}", "worst", "standard deviation"],
        [(method, means[method], min(values), np.std(values)) for method, values in best.items()],
    )
    wins = f"{(difference > 0).mean():.0%} random, {(difference < 0).mean():.0%} grid"
    error = difference.std(ddof=1) / np.sqrt(repeats)
    report.say(f"Which was better: {wins}, the others equal.")
    report.compare("random - grid, mean best accuracy", difference.mean(), low=0, digits=3)
    report.compare("in standard errors", difference.mean() / error, low=2, digits=3)
    _draw(report, accuracy, settings)


def _accuracy(dataset: Dataset, lr: float, decay: float, seed: int) -> float:
    """The validation accuracy of a small network after two epochs; of a run that diverges, that of guessing."""
    import fastnet as fn

    model = fn.Sequential(fn.Flatten(), fn.Linear(24), fn.ReLU(), fn.Linear(len(dataset.classes)))
    optimizer = fn.optim.SGD(lr, weight_decay=decay)
    solver = fn.Solver(
        model, dataset, optimizer=optimizer, epochs=2, seed=seed, preprocess="standardize", verbose=False
    )
    try:
        return float(solver.train().history["val_accuracy"][-1])
    except FloatingPointError:
        return 1 / len(dataset.classes)


def grid(rng: Generator) -> np.ndarray:
    """3 x 3 points of the unit square, one in the same place of each of nine cells."""
    axes = [(np.arange(3) + rng.random()) / 3 for _ in range(2)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(9, 2)


def _look_up(accuracy: Array, points: Array) -> Array:
    """The measured accuracy at points of the unit square."""
    rows, columns = accuracy.shape
    result: Array = accuracy[(points[:, 0] * rows).astype(int), (points[:, 1] * columns).astype(int)]
    return result


def _draw(report: Report, accuracy: Array, settings: dict[str, Array]) -> None:
    figure, axes = report.figure(2, 2, size=(11, 6.5))
    curve = accuracy.max(1)
    places = (np.arange(len(_RATES)) + 0.5) / len(_RATES)
    names = {"grid": "Grid: 9 trials, 3 learning rates", "random": "Random: 9 trials, 9 learning rates"}
    ticks = [(exponent + 6) / 9 for exponent in range(-6, 4)]
    labels = [f"$10^{{{exponent}}}$" for exponent in range(-6, 4)]
    for column, (method, points) in enumerate(settings.items()):
        top, bottom = axes[0][column], axes[1][column]
        top.fill_between(places, curve, color="C2", alpha=0.35)
        top.vlines(points[:, 0], 0, np.interp(points[:, 0], places, curve), color="C3", linewidth=1)
        tried = np.interp(points[:, 0], places, curve)
        top.plot(points[:, 0], tried, "o", color="C3", markersize=5)
        top.set(title=names[method], ylabel="best accuracy at this rate", ylim=(0, 1.05))
        bottom.imshow(accuracy.T, origin="lower", extent=(0, 1, 0, 1), aspect="auto", cmap="Greens", vmin=0)
        bottom.plot(points[:, 0], points[:, 1], "o", color="C3", markersize=7)
        bottom.set(xlabel="learning rate: important", ylabel="weight decay: hardly matters", ylim=(0, 1))
        bottom.set_yticks([0.1, 0.3, 0.5, 0.7, 0.9], [f"$10^{{{int(e)}}}$" for e in np.log10(_DECAYS).round()])
        for ax in (top, bottom):
            ax.set_xlim(0, 1)
            ax.set_xticks(ticks, labels)
