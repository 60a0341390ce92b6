"""Transfer learning: little or much data, similar or different, and four ways to use a network.

A small network learns the digits 0 to 4 of 8x8 pixels, in the eight ways in which a square can lie: 40 classes.  The
similar task is the digits 5 to 9; the different one is to tell from a patch of 8x8 pixels in which of two photographs,
and in which half of it, the patch lies.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import fastnet as fn
from fastnet.lectures.material.photographs import full_photographs
from fastnet.lectures.material.turned_digits import digits, network, train, trained_on_turned
from fastnet.lectures.report import Report
from fastnet.types import Array

_STAGES = ("pool1", "pool2", "pool3", "relu")
_WAYS = ("linear classifier on top", "on the best early stage", "finetuned, body at 1/10", "from random weights")
_RECOMMENDED = {
    ("similar", "little"): "linear classifier on top",
    ("similar", "much"): "finetuned, body at 1/10",
    ("different", "little"): "on the best early stage",
    ("different", "much"): "finetuned, body at 1/10",
}


def options(parser: Any) -> None:
    parser.add_argument("--little", type="count", default=4, metavar="N", help="images of a class (default: 4)")
    parser.add_argument("--much", type="count", default=100, metavar="N", help="images of a class (default: 100)")
    parser.add_argument("--runs", type="count", default=5, metavar="N", help="draws of each training set (default: 5)")
    parser.add_argument("--epochs", type="count", default=20, metavar="N", help="of the first task (default: 20)")


def run(report: Report) -> None:
    args = report.args
    X, y = digits()
    before = y < 5
    first = trained_on_turned(X[before], y[before], args.epochs, report.seed)
    tasks = {"similar": (X[~before], y[~before] - 5), "different": _patches(report.seed)}
    report.say(
        f"First task: {int(before.sum())} images of the digits 0 to 4, each in 8 positions, {args.epochs} epochs.  "
        f"Each number is the mean accuracy of {args.runs} draws of the training images, on all others.  * is what the "
        "lecture (CS231n 2017, lecture 7) recommends; the early stage is the best below the top, on these images."
    )
    found: dict[tuple[str, str], dict[str, float]] = {}
    for task, (images, labels) in tasks.items():
        for amount, count in (("little", args.little), ("much", args.much)):
            accuracies = [_each_way(first, images, labels, count, report.seed + n) for n in range(args.runs)]
            found[task, amount] = {way: float(np.mean([one[way] for one in accuracies])) for way in accuracies[0]}
    rows = [
        [task, amount, *(f"{cell[way]:.3f}{'*' * (_RECOMMENDED[task, amount] == way)}" for way in _WAYS)]
        for (task, amount), cell in found.items()
    ]
    report.table(["data", "amount", *_WAYS], rows)
    names = [f"{task}, {amount}" for task, amount in found]
    report.table(
        ["data, amount", *_STAGES],
        [[n, *(c[s] for s in _STAGES)] for n, c in zip(names, found.values(), strict=True)],
        3,
    )
    _judge(report, found)

    _, ax = report.figure(size=(9, 4.6))
    width = 0.2
    for n, way in enumerate(_WAYS):
        ax.bar(np.arange(len(found)) + width * (n - 1.5), [cell[way] for cell in found.values()], width, label=way)
    ax.set_xticks(range(len(found)), names)
    ax.set(ylabel="accuracy on other images", ylim=(0, 1), title="After a first task of the digits 0 to 4")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2)


def _judge(report: Report, found: dict[tuple[str, str], dict[str, float]]) -> None:
    top, early, tuned, scratch = _WAYS
    cell = found["similar", "little"]
    frozen = max(cell[stage] for stage in _STAGES) - cell[scratch]
    report.compare("similar, little: best frozen stage - random weights", frozen, low=-0.03, digits=2)
    cell = found["similar", "much"]
    report.compare("similar, much: finetuned - linear on top", cell[tuned] - cell[top], low=0, digits=2)
    cell = found["different", "little"]
    report.compare("different, little: early stage - linear on top", cell[early] - cell[top], low=0, digits=2)
    cell = found["different", "much"]
    report.compare("different, much: finetuned - linear on top", cell[tuned] - cell[top], low=0, digits=2)
    cell = found["similar", "little"]
    best = max(_STAGES, key=lambda stage: cell[stage])
    if best != _STAGES[-1]:
        report.say(
            f"With little similar data the lecture takes the top, {_STAGES[-1]}; here {best} is better: the first "
            "task is small, and what its last layers keep serves its own classes."
        )


def _patches(seed: int) -> tuple[Array, Array]:
    """Patches of scikit-learn's two photographs: which photograph, and which half of it."""
    rng, X, y = np.random.default_rng(seed), [], []
    for number, photo in enumerate(full_photographs().values()):
        grey = photo.mean(axis=0) / 255
        for half in (0, 1):
            rows, columns = grey.shape[0] // 16, grey.shape[1] // 8
            for place in rng.permutation(rows * columns)[:250]:
                top, left = half * rows * 8 + place // columns * 8, place % columns * 8
                X.append(grey[top : top + 8, left : left + 8])
                y.append(2 * number + half)
    return np.asarray(X, np.float32)[:, None], np.asarray(y)


def _each_way(first: fn.Sequential, X: Array, y: Array, count: int, seed: int) -> dict[str, float]:
    """The accuracy of each way with `count` training images of a class, on all other images."""
    from fastnet import transfer

    rng, classes = np.random.default_rng(seed), int(y.max()) + 1
    order = rng.permutation(len(y))
    chosen = np.concatenate([order[y[order] == k][:count] for k in range(classes)])
    test = np.setdiff1d(order, chosen)
    epochs = max(15, 1200 // len(chosen))
    accuracy: dict[str, float] = {}
    for stage in _STAGES:
        codes = [transfer.features(first, X[part], stage, 256) for part in (chosen, test)]
        linear = fn.classical.SoftmaxClassifier(seed=seed).fit(codes[0], y[chosen])
        accuracy[stage] = float((linear.predict(codes[1]) == y[test]).mean())
    accuracy[_WAYS[0]], accuracy[_WAYS[1]] = accuracy[_STAGES[-1]], max(accuracy[stage] for stage in _STAGES[:-1])
    tuned = network(first.output_shape[0], seed)
    tuned.load_state_dict(first.state_dict())
    transfer.replace_head(tuned, classes, seed)
    optimizer = fn.optim.Adam(1e-2, groups=transfer.body_and_head_rates(tuned, 1e-2))
    train(tuned, X[chosen], y[chosen], epochs, optimizer, seed)
    scratch = network(classes, seed)
    train(scratch, X[chosen], y[chosen], epochs, fn.optim.Adam(3e-3), seed)
    for way, model in ((_WAYS[2], tuned), (_WAYS[3], scratch)):
        accuracy[way] = model.evaluate(X[test], y[test]).accuracy
    return accuracy
