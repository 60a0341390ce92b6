"""Regularizers: what each does to the training and test accuracy of a small network."""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import fastnet as fn
from fastnet.lectures.report import Report, as_bytes
from fastnet.regularizers import L1, L2, ElasticNet, MaxNorm

DATA = True
BATCH, RATE = 50, 1e-3


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type="count", default=200, metavar="N", help="training images (default: 200)")
    parser.add_argument("--epochs", type="count", default=30, metavar="N", help="passes over them (default: 30)")
    parser.add_argument("--seeds", type="count", default=3, metavar="N", help="repetitions (default: 3)")


def run(report: Report) -> None:
    args, whole = report.args, report.data()
    X_train, X_test = as_bytes(whole.X_train[: args.images]), as_bytes(whole.X_test)
    data = dataclasses.replace(whole, X_train=X_train, y_train=whole.y_train[: args.images], X_test=X_test)
    report.say(
        f"Two 3x3 convolutions with pooling and a hidden layer of 256 units, on {len(data.y_train)} training images of "
        f"{data.name}; Adam at a constant rate, {args.epochs} epochs, {args.seeds} seeds.  Nothing is tuned on the "
        f"{len(data.y_test):,} test images."
    )
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in CASES}
    for seed in range(report.seed, report.seed + args.seeds):
        for name, case in CASES.items():
            found[name].append(accuracies(case, data, seed, args.epochs))
    rows = summary(found)
    report.table(TITLES, rows)
    report.keep("accuracies", found)
    report.compare("no regularizer: training accuracy", mean(found, "none", 0), low=0.99, digits=4)
    best = max(CASES, key=lambda name: mean(found, name, 1))
    gain = 100 * (mean(found, best, 1) - mean(found, "none", 1))
    report.compare(f"best, {best}: points above none", gain, low=0, digits=3)

    _, axes = report.figure(size=(8, 6.5))
    places = range(len(found))
    for column, (label, color) in enumerate((("training", "C0"), ("test", "C3"))):
        values = [[100 * pair[column] for pair in pairs] for pairs in found.values()]
        means = [statistics.fmean(each) for each in values]
        axes.plot(means, places, "o", color=color, label=f"{label}, mean")
        for place, each in zip(places, values, strict=True):
            axes.plot(each, [place] * len(each), "|", color=color, alpha=0.5, markersize=10)
    axes.axvline(100 * mean(found, "none", 1), color="C3", linewidth=0.8, linestyle=":", label="test, no regularizer")
    axes.set_yticks(places, found)
    axes.invert_yaxis()
    axes.set(title=f"{data.name}: {len(data.y_train)} training images", xlabel="accuracy, %; a tick for each seed")
    axes.legend(loc="upper center", bbox_to_anchor=(0.35, -0.09), ncol=3, fontsize=8)


# ---------------------------------------------------------------- what is compared


def plain(
    *,
    pool: Callable[[], fn.Layer] = lambda: fn.MaxPool2d(2),
    maps: Callable[[], list[fn.Layer]] = list,
    hidden: Callable[[], list[fn.Layer]] = list,
    connect: Callable[[fn.Layer], fn.Layer] = lambda layer: layer,
) -> fn.Model:
    """The network: `maps` goes behind each pooling, `hidden` behind the hidden layer, `connect` around it."""
    features = [
        layer for filters in (16, 32) for layer in (fn.Conv2d(filters, 3, padding=1), fn.ReLU(), pool(), *maps())
    ]
    return fn.Sequential(*features, fn.Flatten(), connect(fn.Linear(256)), fn.ReLU(), *hidden(), fn.Linear(10))


def normed() -> fn.Model:
    """The network with a batch norm behind each convolution and the hidden layer."""
    features = [
        layer
        for filters in (16, 32)
        for layer in (fn.Conv2d(filters, 3, padding=1, bias=False), fn.BatchNorm2d(), fn.ReLU(), fn.MaxPool2d(2))
    ]
    head = fn.Flatten(), fn.Linear(256, bias=False), fn.BatchNorm1d(), fn.ReLU(), fn.Linear(10)
    return fn.Sequential(*features, *head)


def residual(last: float) -> fn.Model:
    """Six residual blocks of two convolutions, without batch norms; the last block is dropped with this probability."""
    rates = iter(fn.models.drop_rates(6, last) if last else [0.0] * 6)

    def stage(filters: int) -> list[fn.Layer]:
        blocks = [
            fn.Residual(
                [
                    *(fn.Conv2d(filters, 3, padding=1), fn.ReLU(), fn.Conv2d(filters, 3, padding=1)),
                    fn.StochasticDepth(next(rates), "batch"),
                ]
            )
            for _ in range(3)
        ]
        return [fn.Conv2d(filters, 3, padding=1), fn.ReLU(), fn.MaxPool2d(2), *blocks]

    return fn.Sequential(*stage(16), *stage(32), fn.Flatten(), fn.Linear(10))


class Case(NamedTuple):
    """A regularizer: the network, options of the Solver, the share of the images that is held out to validate, and
    changes of the training images, whose side is given."""

    make: Callable[[], fn.Model] = plain
    options: dict[str, Any] = {}
    held: float = 0.0
    against: str = "none"
    augment: Callable[[int], list[Any]] = lambda side: []


CASES = {
    "none": Case(),
    "L1, 1e-4": Case(options={"regularizer": L1(1e-4)}),
    "L2, 1e-3": Case(options={"regularizer": L2(1e-3)}),
    "elastic net, 5e-5 and 5e-4": Case(options={"regularizer": ElasticNet(5e-5, 5e-4)}),
    "max norm, 2": Case(options={"regularizer": MaxNorm(2.0)}),
    "dropout, 0.5": Case(partial(plain, hidden=lambda: [fn.Dropout(0.5)])),
    "dropout, 0.5, and max norm, 2": Case(
        partial(plain, hidden=lambda: [fn.Dropout(0.5)]), {"regularizer": MaxNorm(2.0)}
    ),
    "spatial dropout, 0.2": Case(partial(plain, maps=lambda: [fn.Dropout2d(0.2)])),
    "DropConnect, 0.5": Case(partial(plain, connect=lambda layer: fn.DropConnect(layer, 0.5))),
    "fractional pooling, 0.6": Case(partial(plain, pool=lambda: fn.FractionalMaxPool2d(output_ratio=0.6, random=True))),
    "batch norm": Case(normed),
    "label smoothing, 0.1": Case(options={"loss": partial(fn.losses.softmax_cross_entropy, label_smoothing=0.1)}),
    "shifts by up to a tenth": Case(augment=lambda side: [fn.augment.RandomAffine(0, translate=(0.1, 0.1))]),
    "cutout, half the side": Case(augment=lambda side: [fn.augment.Cutout(side // 2)]),
    "mixup, 0.2": Case(augment=lambda side: [fn.augment.MixUp(alpha=0.2)]),
    "CutMix, 1": Case(augment=lambda side: [fn.augment.CutMix(alpha=1.0)]),
    "early stopping, 5 epochs": Case(options={"early_stopping": 5}, held=0.2),
    "residual network": Case(partial(residual, 0.0), against="residual network"),
    "stochastic depth, 0.5": Case(partial(residual, 0.5), against="residual network"),
}


# ---------------------------------------------------------------- runs


def accuracies(case: Case, data: fn.data.Dataset, seed: int, epochs: int) -> tuple[float, float]:
    """Accuracy on the images that were trained on, and on the test images."""
    model = case.make()
    model.build(data.image_shape, seed=seed)
    given = data.split(case.held, seed) if case.held else data
    solver = fn.Solver(
        model,
        given,
        optimizer=fn.optim.Adam(RATE),
        batch_size=BATCH,
        epochs=epochs,
        seed=seed,
        preprocess="standardize",
        verbose=False,
        augment=case.augment(data.image_shape[-1]),
        **case.options,
    )
    solver.train()
    parts = (given.X_train, given.y_train), (data.X_test, data.y_test)
    train, test = (solver.evaluate(*part, batch_size=500).accuracy for part in parts)
    return train, test


def mean(found: dict[str, list[tuple[float, float]]], name: str, column: int) -> float:
    return statistics.fmean(pair[column] for pair in found[name])


TITLES = ["regularizer", "training", "test", "gap", "change"]


def summary(found: dict[str, list[tuple[float, float]]]) -> list[list[str]]:
    """Means over the seeds and standard deviations, in percent, and the difference from the network without."""
    rows = []
    for name, pairs in found.items():
        train, test = zip(*pairs, strict=True)
        base = [pair[1] for pair in found[CASES[name].against]]
        change = [a - b for a, b in zip(test, base, strict=True)]
        gap = f"{100 * (statistics.fmean(train) - statistics.fmean(test)):.1f}"
        rows.append([name, spread(train), spread(test), gap, "" if name == CASES[name].against else spread(change)])
    return rows


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation in percent."""
    middle = f"{100 * statistics.fmean(values):.1f}"
    return f"{middle} ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else middle
