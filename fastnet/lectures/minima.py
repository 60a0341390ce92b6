"""Different initialisations reach different minima of similar quality.

Distances between the minima, and losses on the straight lines between them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.lectures.report import Report

if TYPE_CHECKING:
    from fastnet.training import Objective
    from fastnet.types import Array

DATA = True


def options(parser: Any) -> None:
    parser.add_argument("--nets", type="several", default=5, metavar="N", help="initialisations, >= 2 (default: 5)")
    parser.add_argument("--epochs", type="count", default=20, metavar="N", help="of each training (default: 20)")


def run(report: Report) -> None:
    import fastnet as fn
    from fastnet.training import Objective

    data, nets, count = report.data(), report.args.nets, None if report.full else 1000
    scale = fn.data.Standardize.fit(data.X_train[:count])
    images = scale(data.X_train[:count]), data.y_train[:count]
    objectives, starts, ends = [], [], []
    for seed in range(nets):
        model = fn.Sequential(fn.Flatten(), fn.Linear(32), fn.ReLU(), fn.Linear(len(data.classes)))
        model.build(data.image_shape, seed=report.seed + seed)
        objectives.append(Objective(model, "softmax", *images, training=False))
        starts.append(objectives[-1].vector)
        solver = fn.Solver(
            model,
            images,
            optimizer=fn.optim.SGD(0.03, 0.9),
            schedule=fn.optim.CosineDecay(),
            batch_size=32,
            epochs=report.args.epochs,
            seed=report.seed,
            verbose=False,
        )
        solver.train()
        ends.append(objectives[-1].vector)
    report.say(
        "WWU CSCI 497P says it, without numbers.  "
        f"{nets} two-layer networks on {data.name}, which differ in their first weights alone: the order of the images "
        "is the same.  Some of the distance says little: hidden units in another order are another minimum, too."
    )
    train = [objective.model.evaluate(*images) for objective in objectives]
    test = [objective.model.evaluate(scale(data.X_test), data.y_test) for objective in objectives]
    norms = [float(np.linalg.norm(end)) for end in ends]
    moved = [float(np.linalg.norm(end - start)) for start, end in zip(starts, ends, strict=True)]
    pairs = [(i, j) for i in range(nets) for j in range(i)]
    between = [float(np.linalg.norm(ends[i] - ends[j])) for i, j in pairs]
    report.table(
        ["network", "norm of the weights", "moved", "nearest other", "training loss", "test loss", "test accuracy"],
        [
            [
                number,
                norms[number],
                moved[number],
                min(distance for pair, distance in zip(pairs, between, strict=True) if number in pair),
                train[number].loss,
                test[number].loss,
                test[number].accuracy,
            ]
            for number in range(nets)
        ],
    )
    report.compare(
        "smallest distance of two minima / mean norm", min(between) / float(np.mean(norms)), low=0.5, digits=3
    )
    accuracies = np.array([100 * each.accuracy for each in test])
    report.compare("test accuracies: largest difference, points", np.ptp(accuracies), high=4, digits=3)

    shares = np.linspace(-0.25, 1.25, 31)
    lines = [_line(objectives[0], ends[i], ends[j], shares) for i, j in pairs]
    middle = float(np.mean([line[len(shares) // 2] for line in lines]))
    worst_end = max(each.loss for each in train)
    report.compare("mean loss half-way between two minima / the worst minimum's", middle / worst_end, low=3, digits=3)
    report.claim(
        "on every line the loss rises between the minima", all(max(line[6:25]) > 2 * worst_end for line in lines)
    )

    _, axes = report.figure(1, 2)
    for (i, j), line in zip(pairs, lines, strict=True):
        axes[0].plot(shares, line, linewidth=1, label=f"{j} and {i}" if len(pairs) <= 10 else None)
    axes[0].axvline(0, color="black", linewidth=0.6)
    axes[0].axvline(1, color="black", linewidth=0.6)
    axes[0].set(xlabel="share of the way from one minimum (0) to the other (1)", ylabel="training loss", yscale="log")
    axes[0].set_title("The loss on the lines between the minima")
    if len(pairs) <= 10:
        axes[0].legend(title="networks", fontsize="small")
    axes[1].plot(range(nets), accuracies, "o", markersize=9)
    axes[1].grid(True, alpha=0.3)
    axes[1].set(xlabel="network", ylabel="test accuracy, %", ylim=(max(accuracies.min() - 5, 0), 100))
    axes[1].set(title="Minima of similar quality", xticks=range(nets))


def _line(objective: Objective, start: Array, end: Array, shares: Array) -> list[float]:
    """The losses at ``(1 - share)*start + share*end``; the model's weights are put back."""
    kept = objective.vector
    losses = [objective((1 - share) * start + share * end)[0] for share in shares]
    objective.vector = kept
    return losses
