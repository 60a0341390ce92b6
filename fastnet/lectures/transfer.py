"""Transfer learning: little or much data, similar or different, and four ways to use a network.

A small network learns the digits 0 to 4 of 8x8 pixels, in the eight ways in which a square can lie: 40 classes.  The
similar task is the digits 5 to 9; the different one is to tell from a patch of 8x8 pixels in which of two photographs,
and in which half of it, the patch lies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.lectures.report import Report
from fastnet.types import Array

if TYPE_CHECKING:
    from fastnet.layers import Sequential

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
    first = turned_digits(X[before], y[before], args.epochs, report.seed)
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


def digits() -> tuple[Array, Array]:
    """scikit-learn's digits, (1797, 1, 8, 8) from 0 to 1, and their classes."""
    import fastnet as fn

    data = fn.data.digits(0.3)
    X, y = np.concatenate([data.X_train, data.X_test]), np.concatenate([data.y_train, data.y_test])
    return np.asarray(X, np.float32) / np.float32(X.max()), y


def turned_digits(X: Array, y: Array, epochs: int, seed: int) -> Sequential:
    """A network of 40 classes that tells five digits and the eight ways in which they may lie."""
    import fastnet as fn

    images = np.concatenate([_turned(X, turn) for turn in range(8)])
    model = network(40, seed)
    _fit(model, images, np.concatenate([5 * n + y for n in range(8)]), epochs, fn.optim.Adam(3e-3), seed)
    return model


def _turned(X: Array, number: int) -> Array:
    """The images in one of the eight ways in which a square can lie: turned, and mirrored from number 4 on."""
    return np.rot90(X[..., ::-1] if number > 3 else X, number % 4, axes=(2, 3))


def network(classes: int, seed: int) -> Sequential:
    """Three convolutions of 3x3 with batch norm and pooling, and two linear layers."""
    import fastnet as fn

    layers: dict[str, Any] = {}
    for n, filters in enumerate((16, 32, 64), 1):
        layers |= {f"conv{n}": fn.Conv2d(filters, 3, padding=1), f"bn{n}": fn.BatchNorm2d(), f"relu{n}": fn.ReLU()}
        layers[f"pool{n}"] = fn.MaxPool2d(2)
    model = fn.Sequential(
        {**layers, "flatten": fn.Flatten(), "hidden": fn.Linear(64), "relu": fn.ReLU(), "fc": fn.Linear(classes)}
    )
    model.build((1, 8, 8), seed)
    return model


def _fit(model: Sequential, X: Array, y: Array, epochs: int, optimizer: Any, seed: int) -> None:
    import fastnet as fn

    size = min(32, len(X))
    fn.Solver(model, (X, y), epochs=epochs, batch_size=size, optimizer=optimizer, seed=seed, verbose=False).train()


def _patches(seed: int) -> tuple[Array, Array]:
    """Patches of scikit-learn's two photographs: which photograph, and which half of it."""
    from sklearn.datasets import load_sample_images

    rng, X, y = np.random.default_rng(seed), [], []
    for number, photo in enumerate(load_sample_images().images):
        grey = photo.mean(axis=2) / 255
        for half in (0, 1):
            rows, columns = grey.shape[0] // 16, grey.shape[1] // 8
            for place in rng.permutation(rows * columns)[:250]:
                top, left = half * rows * 8 + place // columns * 8, place % columns * 8
                X.append(grey[top : top + 8, left : left + 8])
                y.append(2 * number + half)
    return np.asarray(X, np.float32)[:, None], np.asarray(y)


def _each_way(first: Sequential, X: Array, y: Array, count: int, seed: int) -> dict[str, float]:
    """The accuracy of each way with `count` training images of a class, on all other images."""
    import fastnet as fn
    from fastnet import transfer

    rng, classes = np.random.default_rng(seed), int(y.max()) + 1
    order = rng.permutation(len(y))
    train = np.concatenate([order[y[order] == k][:count] for k in range(classes)])
    test = np.setdiff1d(order, train)
    epochs = max(15, 1200 // len(train))
    accuracy: dict[str, float] = {}
    for stage in _STAGES:
        codes = [transfer.features(first, X[part], stage, 256) for part in (train, test)]
        linear = fn.classical.SoftmaxClassifier(seed=seed).fit(codes[0], y[train])
        accuracy[stage] = float((linear.predict(codes[1]) == y[test]).mean())
    accuracy[_WAYS[0]], accuracy[_WAYS[1]] = accuracy[_STAGES[-1]], max(accuracy[stage] for stage in _STAGES[:-1])
    tuned = network(first.output_shape[0], seed)
    tuned.load_state_dict(first.state_dict())
    transfer.replace_head(tuned, classes, seed)
    _fit(tuned, X[train], y[train], epochs, fn.optim.Adam(1e-2, groups=transfer.body_and_head_rates(tuned, 1e-2)), seed)
    scratch = network(classes, seed)
    _fit(scratch, X[train], y[train], epochs, fn.optim.Adam(3e-3), seed)
    for way, model in ((_WAYS[2], tuned), (_WAYS[3], scratch)):
        accuracy[way] = model.evaluate(X[test], y[test]).accuracy
    return accuracy
