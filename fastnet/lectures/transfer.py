"""Transfer learning: little or much data, similar or different, and four ways to use a network.

A small network learns the digits 0 to 4 of 8x8 pixels, in the eight ways in which a square can lie: 40 classes.  The
similar task is the digits 5 to 9; the different one is to tell from a patch of 8x8 pixels in which of two photographs,
and in which half of it, the patch lies.

With --weights the network is ResNet-20 with published weights of CIFAR-10.  The similar task is then the patches, in
colour and of 32x32 pixels, and the different one the digits 5 to 9, as large.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import fastnet as fn
from fastnet.layers import Model
from fastnet.lectures.material.photographs import full_photographs
from fastnet.lectures.material.turned_digits import digits, network, train, trained_on_turned
from fastnet.lectures.report import Report, Unsuitable
from fastnet.types import Array

_WAYS = ("linear classifier on top", "on the best early stage", "finetuned, body at 1/10", "from random weights")
_RECOMMENDED = {
    ("similar", "little"): "linear classifier on top",
    ("similar", "much"): "finetuned, body at 1/10",
    ("different", "little"): "on the best early stage",
    ("different", "much"): "finetuned, body at 1/10",
}


def options(parser: Any) -> None:
    add = parser.add_argument
    add("--little", type="count", default=4, metavar="N", help="images of a class (default: 4)")
    add("--much", type="count", metavar="N", help="images of a class (default: 100; with --weights 50)")
    add("--runs", type="count", metavar="N", help="draws of each training set (default: 5; with --weights 2)")
    add("--epochs", type="count", default=20, metavar="N", help="of the first task (default: 20)")
    add("--weights", metavar="FILE", help="ResNet-20's weights of CIFAR-10 (.th, .pth or .safetensors)")


class _First(NamedTuple):
    """A network that has learned a first task, and what it is used for.

    Attributes
    ----------
    model : Model
    build : function (classes, seed) -> Model
        Such a network with random weights.
    stages : tuple of str
        Layers, the last of which is the top.
    pool : str or None
        How their maps become features.
    tasks : dict
        Images and labels of the "similar" and the "different" task.
    sentence : str
        What the first task was.
    """

    model: Model
    build: Callable[[int, int], Model]
    stages: tuple[str, ...]
    pool: str | None
    tasks: dict[str, tuple[Array, Array]]
    sentence: str


def _small(epochs: int, seed: int) -> _First:
    X, y = digits()
    before = y < 5
    colours, places = _patches(8, seed)
    patches = np.asarray(colours.mean(axis=1, keepdims=True) / 255, np.float32)
    return _First(
        trained_on_turned(X[before], y[before], epochs, seed),
        network,
        ("pool1", "pool2", "pool3", "relu"),
        None,
        {"similar": (X[~before], y[~before] - 5), "different": (patches, places)},
        f"First task: {int(before.sum())} images of the digits 0 to 4, each in 8 positions, {epochs} epochs.",
    )


def _published(path: str, seed: int) -> _First:
    try:
        model = fn.interop.pretrained("resnet20", path)
    except (KeyError, ValueError) as error:
        raise Unsuitable(f"--weights: {error.args[0]}") from error
    prepare: Any = model.preprocessing
    model.preprocessing = None
    X, y = digits()
    large = np.rint(255 * X[y > 4]).astype(np.uint8).repeat(4, axis=2).repeat(4, axis=3).repeat(3, axis=1)
    patches, places = _patches(32, seed)
    return _First(
        model,
        lambda classes, seed: fn.models.resnet20(classes, seed=seed),
        ("layer1", "layer2", "layer3"),
        "mean",
        {"similar": (prepare(patches), places), "different": (prepare(large), y[y > 4] - 5)},
        "First task: CIFAR-10, with published weights of ResNet-20.",
    )


def run(report: Report) -> None:
    args = report.args
    first = _published(args.weights, report.seed) if args.weights else _small(args.epochs, report.seed)
    much, runs = (args.much or 50, args.runs or 2) if args.weights else (args.much or 100, args.runs or 5)
    stages = first.stages
    report.say(
        f"{first.sentence}  Each number is the mean accuracy of {runs} draws of the training images, on all others.  * "
        "is what the lecture (CS231n 2017, lecture 7) recommends; the early stage is the best below the top, on these "
        "images."
    )
    found: dict[tuple[str, str], dict[str, float]] = {}
    for task, (images, labels) in first.tasks.items():
        for amount, count in (("little", args.little), ("much", much)):
            accuracies = [_each_way(first, images, labels, count, report.seed + n) for n in range(runs)]
            found[task, amount] = {way: float(np.mean([one[way] for one in accuracies])) for way in accuracies[0]}
    rows = [
        [task, amount, *(f"{cell[way]:.3f}{'*' * (_RECOMMENDED[task, amount] == way)}" for way in _WAYS)]
        for (task, amount), cell in found.items()
    ]
    report.table(["data", "amount", *_WAYS], rows)
    names = [f"{task}, {amount}" for task, amount in found]
    report.table(
        ["data, amount", *stages],
        [[n, *(c[s] for s in stages)] for n, c in zip(names, found.values(), strict=True)],
        3,
    )
    _judge(report, found, stages)

    _, ax = report.figure(size=(9, 4.6))
    width = 0.2
    for n, way in enumerate(_WAYS):
        ax.bar(np.arange(len(found)) + width * (n - 1.5), [cell[way] for cell in found.values()], width, label=way)
    ax.set_xticks(range(len(found)), names)
    ax.set(ylabel="accuracy on other images", ylim=(0, 1), title=first.sentence.partition(",")[0])
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2)


def _judge(report: Report, found: dict[tuple[str, str], dict[str, float]], stages: tuple[str, ...]) -> None:
    top, early, tuned, scratch = _WAYS
    cell = found["similar", "little"]
    frozen = max(cell[stage] for stage in stages) - cell[scratch]
    report.compare("similar, little: best frozen stage - random weights", frozen, low=-0.03, digits=2)
    cell = found["similar", "much"]
    report.compare("similar, much: finetuned - linear on top", cell[tuned] - cell[top], low=0, digits=2)
    cell = found["different", "little"]
    report.compare("different, little: early stage - linear on top", cell[early] - cell[top], low=0, digits=2)
    cell = found["different", "much"]
    report.compare("different, much: finetuned - linear on top", cell[tuned] - cell[top], low=0, digits=2)
    cell = found["similar", "little"]
    best = max(stages, key=lambda stage: cell[stage])
    if best != stages[-1]:
        report.say(
            f"With little similar data the lecture takes the top, {stages[-1]}; here {best} is better: what the last "
            "layers keep serves the classes of the first task."
        )


def _patches(side: int, seed: int) -> tuple[Array, Array]:
    """Patches of scikit-learn's two photographs, uint8 (N, 3, side, side): which photograph, and which half of it."""
    rng, X, y = np.random.default_rng(seed), [], []
    for number, photo in enumerate(full_photographs().values()):
        for half in (0, 1):
            rows, columns = photo.shape[1] // (2 * side), photo.shape[2] // side
            for place in rng.permutation(rows * columns)[:250]:
                top, left = side * (half * rows + place // columns), side * (place % columns)
                X.append(photo[:, top : top + side, left : left + side])
                y.append(2 * number + half)
    return np.stack(X), np.asarray(y)


def _each_way(first: _First, X: Array, y: Array, count: int, seed: int) -> dict[str, float]:
    """The accuracy of each way with `count` training images of a class, on all other images."""
    from fastnet import transfer

    rng, classes, stages = np.random.default_rng(seed), int(y.max()) + 1, first.stages
    order = rng.permutation(len(y))
    chosen = np.concatenate([order[y[order] == k][:count] for k in range(classes)])
    test = np.setdiff1d(order, chosen)
    epochs = max(15, 1200 // len(chosen))
    accuracy: dict[str, float] = {}
    for stage in stages:
        codes = [transfer.features(first.model, X[part], stage, 256, pool=first.pool) for part in (chosen, test)]
        linear = fn.classical.SoftmaxClassifier(seed=seed).fit(codes[0], y[chosen])
        accuracy[stage] = float((linear.predict(codes[1]) == y[test]).mean())
    accuracy[_WAYS[0]], accuracy[_WAYS[1]] = accuracy[stages[-1]], max(accuracy[stage] for stage in stages[:-1])
    tuned = first.build(first.model.output_shape[0], seed)
    tuned.load_state_dict(first.model.state_dict())
    transfer.replace_head(tuned, classes, seed)
    optimizer = fn.optim.Adam(1e-2, groups=transfer.body_and_head_rates(tuned, 1e-2))
    train(tuned, X[chosen], y[chosen], epochs, optimizer, seed)
    scratch = first.build(classes, seed)
    train(scratch, X[chosen], y[chosen], epochs, fn.optim.Adam(3e-3), seed)
    for way, model in ((_WAYS[2], tuned), (_WAYS[3], scratch)):
        accuracy[way] = model.evaluate(X[test], y[test]).accuracy
    return accuracy
