"""Ensembles: the mean of five networks against each alone ("2 %"), and snapshots of one.

All networks of the data are small and see few images, so that they are wrong often enough for a difference to be seen.
The five differ in their first weights and in the order of the images.  The snapshots are those of one training, as long
as one network's, whose rate restarts five times; the same number of epochs is also spent without restarts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.lectures.report import Report

if TYPE_CHECKING:
    from fastnet.data import Dataset
    from fastnet.layers import Model
    from fastnet.optim import Schedule
    from fastnet.training import Callback

SOURCE = "CS231n 2017, lecture 7"
DATA = True


def options(parser: Any) -> None:
    parser.add_argument("--images", type="count", default=300, metavar="N", help="training images (default: 300)")
    parser.add_argument("--groups", type="count", default=4, metavar="N", help="repetitions (default: 4)")
    parser.add_argument("--epochs", type="count", default=20, metavar="N", help="of each training (default: 20)")


def run(report: Report) -> None:
    import fastnet as fn
    from fastnet.optim import CosineDecay, CosineRestarts
    from fastnet.training import Snapshots

    data, groups, size, epochs = report.data(), report.args.groups, 5, report.args.epochs
    report.say(
        f"{groups} times {size} two-layer networks, trained on {report.args.images} images of {data.name} for {epochs} "
        f"epochs, tested on {len(data.y_test)}."
    )
    rows: list[list[Any]] = []
    for group in range(groups):
        seed = report.seed + 100 * group
        ensemble = fn.Ensemble([_train(report, data, seed + member, CosineDecay()) for member in range(size)])
        alone = np.array([100 * each.accuracy for each in ensemble.evaluate_each(data.X_test, data.y_test)])
        together = 100 * ensemble.evaluate(data.X_test, data.y_test).accuracy
        snapshots = Snapshots()
        last = _train(report, data, seed, CosineRestarts(epochs / size, minimum=0.01), [snapshots])
        of_one = 100 * snapshots.ensemble(last).evaluate(data.X_test, data.y_test).accuracy
        rows.append([group, alone.mean(), alone.std(), together, together - alone.mean(), alone[0], of_one])
    report.table(
        ["group", "members", "deviation", "ensemble", "gain", "network of seed 0", "snapshots of one training"], rows
    )
    gains = np.array([row[4] for row in rows])
    spread = gains.std(ddof=1) if groups > 1 else 0.0
    report.compare("ensemble - mean of its members, points", gains.mean(), slide="2 %", low=0, digits=3)
    report.say(
        f"The slide's 2 % is {gains.mean():.2f} +- {spread:.2f} points here; how much there is to gain depends on how "
        "wrong the members are: with more images (--images) it is less."
    )
    gained = np.array([row[6] - row[5] for row in rows])
    report.keep("snapshots - one network of the same number of epochs", gained)
    report.say(
        f"Snapshots against a single network of as many epochs: {gained.mean():+.2f} +- {gained.std():.2f} points."
    )

    _, axes = report.figure(size=(7.5, 4.6))
    for group, row in enumerate(rows):
        axes.errorbar(
            group, row[1], row[2], fmt="o", color="C0", capsize=4, label=None if group else "members, +- 1 std"
        )
        axes.plot(group, row[3], "s", color="C3", label=None if group else f"ensemble of {size}")
        axes.plot(group, row[6], "^", color="C2", label=None if group else "snapshots of one training")
    axes.set(xlabel="group", ylabel="test accuracy, %", xticks=range(groups), title="Members, ensembles and snapshots")
    axes.grid(True, alpha=0.3)
    axes.legend()


def _train(
    report: Report, data: Dataset, seed: int, schedule: Schedule, callbacks: list[Callback] | None = None
) -> Model:
    import fastnet as fn

    count = report.args.images
    model = fn.Sequential(fn.Flatten(), fn.Linear(32), fn.ReLU(), fn.Linear(len(data.classes)))
    solver = fn.Solver(
        model,
        (data.X_train[:count], data.y_train[:count]),
        optimizer=fn.optim.SGD(0.1),
        schedule=schedule,
        batch_size=16,
        epochs=report.args.epochs,
        preprocess="standardize",
        seed=seed,
        verbose=False,
        callbacks=callbacks or [],
    )
    solver.train()
    model.preprocessing = solver.preprocess
    return model
