"""Hyperparameter search, coarse to fine: the lecture's 33 settings again, and a search of our own.

A network 3072-50-10 with ReLU is trained for five epochs of 490 batches; its rate decays by 0.9 after each.  The
lecture's call says update="momentum", but no momentum; it is 0 here, since 0.9 raises the rates tenfold, which makes
the lecture's best settings some of the worst (--momentum 0.9 shows it).

The lecture printed 11 trials of a coarse search and 22 of a fine one.  Its numbers can only be compared on CIFAR-10
(--data cifar10:DIR).  Other images are scaled to the spread of CIFAR-10's pixels, so that the lecture's rates make
sense, and repeated up to 49,000, and only the order of the trials is compared.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from argparse import ArgumentParser
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.lectures.report import Report

if TYPE_CHECKING:
    from fastnet.data import Dataset
    from fastnet.training import Solver
    from fastnet.types import Array

SOURCE = "CS231n 2017, lecture 7"
DATA = True

# (validation accuracy, lr, reg), as the lecture prints them
COARSE = [
    (0.412, 1.405206e-04, 4.793564e-01),
    (0.214, 7.231888e-06, 2.321281e-04),
    (0.208, 2.119571e-06, 8.011857e01),
    (0.196, 1.551131e-05, 4.374936e-05),
    (0.079, 1.753300e-05, 1.200424e03),
    (0.223, 4.215128e-05, 4.196174e01),
    (0.441, 1.750259e-04, 2.110807e-04),
    (0.241, 6.749231e-05, 4.226413e01),
    (0.482, 4.296863e-04, 6.642555e-01),
    (0.079, 5.401602e-06, 1.599828e04),
    (0.154, 1.618508e-06, 4.925252e-01),
]
FINE = [
    (0.527, 5.340517e-04, 4.097824e-01),
    (0.492, 2.279484e-04, 9.991345e-04),
    (0.512, 8.680827e-04, 1.349727e-02),
    (0.461, 1.028377e-04, 1.220193e-02),
    (0.460, 1.113730e-04, 5.244309e-02),
    (0.498, 9.477776e-04, 2.001293e-03),
    (0.469, 1.484369e-04, 4.328313e-01),
    (0.522, 5.586261e-04, 2.312685e-04),
    (0.530, 5.808183e-04, 8.259964e-02),
    (0.489, 1.979168e-04, 1.010889e-04),
    (0.490, 2.036031e-04, 2.406271e-03),
    (0.475, 2.021162e-04, 2.287807e-01),
    (0.460, 1.135527e-04, 3.905040e-02),
    (0.515, 6.947668e-04, 1.562808e-02),
    (0.531, 9.471549e-04, 1.433895e-03),
    (0.509, 3.140888e-04, 2.857518e-01),
    (0.514, 6.438349e-04, 3.033781e-01),
    (0.502, 3.921784e-04, 2.707126e-04),
    (0.509, 9.752279e-04, 2.850865e-03),
    (0.500, 2.412048e-04, 4.997821e-04),
    (0.466, 1.319314e-04, 1.189915e-02),
    (0.516, 8.039527e-04, 1.528291e-02),
]
_BATCH, _IMAGES = 100, 49_000
_SPREAD = 3072 * 62.0**2  # of CIFAR-10: the mean square of an image's distance from the mean image


def options(parser: ArgumentParser) -> None:
    parser.add_argument("--replay", action="store_true", help="only the lecture's settings")
    parser.add_argument("--coarse-to-fine", action="store_true", help="only a search of our own")
    parser.add_argument("--momentum", type="fraction", default=0.0, metavar="M", help="of the training (default: 0)")


def run(report: Report) -> None:
    dataset = report.data()
    if dataset.X_val is None:
        dataset = dataset.split(1000 if len(dataset.y_train) > 10_000 else 0.2, report.seed)
    rows = np.arange(_IMAGES) % len(dataset.y_train)
    dataset = dataclasses.replace(dataset, X_train=dataset.X_train[rows], y_train=dataset.y_train[rows])
    build = partial(_solver, seed=report.seed, momentum=report.args.momentum)
    both = report.args.replay == report.args.coarse_to_fine
    if report.args.replay or both:
        _replay(report, dataset, build)
    if report.args.coarse_to_fine or both:
        _search(report, dataset, build)


def _solver(dataset: Dataset, lr: float, reg: float, seed: int = 0, momentum: float = 0.0) -> Solver:
    """The lecture's network and trainer; ``reg/2 * sum(W**2)`` is added to the loss."""
    import fastnet as fn
    from fastnet.data import Standardize

    small = partial(fn.initializers.normal, std=1e-4)
    model = fn.Sequential(
        fn.Flatten(), fn.Linear(50, initializer=small), fn.ReLU(), fn.Linear(len(dataset.classes), initializer=small)
    )
    mean = dataset.X_train.mean(axis=0, dtype=np.float64)
    return fn.Solver(
        model,
        dataset,
        optimizer=fn.optim.SGD(lr, momentum=momentum),
        schedule=lambda iteration, total, per_epoch: 0.9 ** (iteration // per_epoch),
        regularizer=fn.regularizers.L2(reg),
        batch_size=_BATCH,
        epochs=5,
        seed=seed,
        preprocess=Standardize(mean, np.full_like(mean, _unit(dataset.X_train, mean))),
        verbose=False,
    )


def _unit(X: Array, mean: Array) -> float:
    """What the pixels are divided by to have CIFAR-10's spread; 1 for images of its size."""
    if mean.size == 3072:
        return 1.0
    spread = float(((X[:1000] - mean) ** 2).sum() / len(X[:1000]))
    return float(np.sqrt(spread / _SPREAD))


def _accuracy(solver: Solver) -> float:
    """The best validation accuracy of the epochs, as the lecture's trainer keeps it; of a run that diverges, so far."""
    with contextlib.suppress(FloatingPointError):
        solver.train()
    return float(max(solver.history.history.get("val_accuracy", [0.0])))


def _replay(report: Report, dataset: Dataset, build: Any) -> None:
    labels = np.asarray(dataset.y_val)
    real = report.args.data.startswith("cifar10:")
    where = "CIFAR-10" if real else f"{dataset.name}, so that only the order of the trials can be compared"
    report.say(f"The lecture's 11 coarse and 22 fine settings, on {where}.")
    ours = {}
    for stage, rows in (("coarse", COARSE), ("fine", FINE)):
        ours[stage] = [_accuracy(build(dataset, lr, reg)) for _, lr, reg in rows]
        table = [
            (f"{lr:.6e}", f"{reg:.6e}", f"{slide:.3f}", f"{mine:.3f}")
            for (slide, lr, reg), mine in zip(rows, ours[stage], strict=True)
        ]
        report.table([f"{stage}: lr", "reg", "lecture", "ours"], table)
    report.keep("replay", ours)
    coarse, fine = ours["coarse"], ours["fine"]
    penalised = [mine for (_, _, reg), mine in zip(COARSE, coarse, strict=True) if reg > 1e3]
    chance = np.bincount(labels).max() / len(labels)
    agreement = spearman([slide for slide, *_ in COARSE], coarse)
    report.compare("coarse: rank correlation with the lecture's accuracies", agreement, low=0.8, digits=3)
    highest = 0.11 if real else chance + 0.05
    report.compare("coarse: best accuracy with reg > 1000", max(penalised), 0.079, high=highest, digits=3)
    if real:
        report.compare("coarse: best accuracy", max(coarse), 0.482, low=0.44, high=0.52, digits=3)
        report.compare("fine: least accuracy", min(fine), 0.460, low=0.43, digits=3)
        report.compare("fine: best accuracy", max(fine), 0.531, low=0.50, digits=3)
    report.claim("the fine trials' median is above the coarse ones'", bool(np.median(fine) > np.median(coarse)))
    report.say(f"Best accuracies: {max(coarse):.4f} coarse, {max(fine):.4f} fine; the lecture's 0.482 and 0.531.")
    _draw(report, ours, dataset.name)


def _draw(report: Report, ours: dict[str, list[float]], name: str) -> None:
    figure, (left, right) = report.figure(1, 2, name="replay", size=(12, 4.6))
    top = max(max(values) for values in ours.values())
    for stage, rows, marker in (("coarse", COARSE, "o"), ("fine", FINE, "D")):
        slide, lr, reg = zip(*rows, strict=True)
        left.scatter(slide, ours[stage], marker=marker, label=f"{stage} trials")
        points = right.scatter(lr, reg, c=ours[stage], marker=marker, vmin=0, vmax=top, edgecolors="0.3")
    left.set(xlabel="the lecture's accuracy (CIFAR-10)", ylabel=f"our accuracy ({name})", title="The same settings")
    left.legend()
    left.grid(alpha=0.3)
    right.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="reg", title="Circles coarse, diamonds fine")
    figure.colorbar(points, ax=right, label="our accuracy")


def _search(report: Report, dataset: Dataset, build: Any) -> None:
    from fastnet.search import log_uniform, search

    trials, fine = (100, 100) if report.full else (12, 8)
    report.say(f"A search of our own: {trials} draws from the lecture's ranges, then {fine} around the best of them.")
    space = {"lr": log_uniform(1e-6, 1e-3), "reg": log_uniform(1e-5, 1e5)}
    results = search(build, space, data=dataset, trials=trials, fine=fine, seed=report.seed, verbose=False)
    for stage, ranges in results.spaces.items():
        report.say(f"{stage}: " + "; ".join(f"{name} {dimension}" for name, dimension in ranges.items()))
        for result in results.runs:
            if result.stage == stage:
                report.say(results.line(result))
    for line in results.advice() or ["The best setting lies on no border of its ranges."]:
        report.say(line)
    coarse, finer = ([run.value or 0.0 for run in results.ranked(stage)] for stage in ("coarse", "fine"))
    report.compare("fine: best accuracy - best of the coarse stage", finer[0] - coarse[0], low=0, digits=3)
    report.compare("fine: median - median of the coarse stage", np.median(finer) - np.median(coarse), low=0, digits=3)
    number = r"\d\.\d{6}"
    form = rf"val_acc: {number}, lr: {number}e-\d\d, reg: {number}e[+-]\d\d, \(\d+ / \d+\)"
    right = [bool(re.fullmatch(form, results.line(run))) for run in results.ranked()]
    report.claim("the lines have the lecture's format", all(right), f"{sum(right)} of {len(right)}")
    report.folder.mkdir(parents=True, exist_ok=True)
    results.plot(report.folder / "search-runs.png")


def spearman(x: Any, y: Any) -> float:
    """Spearman's rank correlation: Pearson's of the ranks, equal values sharing their mean rank."""
    return float(np.corrcoef(_ranks(x), _ranks(y))[0, 1])


def _ranks(values: Any) -> np.ndarray:
    _, index, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return ((ends - counts + 1 + ends) / 2)[index]
