"""Dog vs food: a network of many classes is turned into one of two by a new last layer.

The body is frozen, so its codes are computed once and only the new layer is trained.  Beside it stands the same new
layer on a body with random weights: the difference is what the body has learned.

With ``--net efficientnet_lite0 --weights FILE --data PHOTOS --image-size 224`` it is the lecture's experiment, on a
network of ImageNet's 1,000 classes and two folders of photographs, PHOTOS/dog and PHOTOS/food.  Without these, a
network of 40 classes (the digits 0 to 4 in 8 positions) is trained here, and learns two digits that it has never seen.
"""

from __future__ import annotations

import argparse

import numpy as np

import fastnet as fn
from fastnet.layers import Model
from fastnet.lectures.material import turned_digits
from fastnet.lectures.material.published import add_published, published
from fastnet.lectures.report import Report, Unsuitable
from fastnet.types import Array

DATA = True
IMAGES = 4
_PAIR = (7, 9)


def options(parser: argparse.ArgumentParser) -> None:
    add_published(parser)
    parser.add_argument(
        "--count", type="count", default=10, metavar="N", help="training images per class (default: 10)"
    )
    parser.add_argument("--runs", type="count", default=5, metavar="N", help="draws of these images (default: 5)")


def run(report: Report) -> None:
    args = report.args
    if args.net is None:
        bodies, (X, y), names = _digits(report)
    else:
        bodies, (X, y), names = _photographs(report)
    few = min(np.bincount(y))
    if few <= args.count:
        raise Unsuitable(f"--count {args.count}: the smaller class has only {few} images, some of them for the test")
    accuracies = {
        body: [_new_head(model, X, y, names, args.count, report.seed + n) for n in range(args.runs)]
        for body, model in bodies.items()
    }
    report.table(
        ["new layer on", "accuracy", "least", "most"],
        [[body, np.mean(each), min(each), max(each)] for body, each in accuracies.items()],
        3,
    )
    learned, random = (float(np.mean(each)) for each in accuracies.values())
    report.compare(f"{' vs '.join(names)}: accuracy of {args.count} images of a class", learned, low=0.8, digits=3)
    if args.net is None:
        report.say("Digits are so simple that a random body may be as good; with photographs and --net it is not.")
    else:
        report.compare("less the accuracy on a random body", learned - random, low=0, digits=3)

    _, ax = report.figure(size=(6, 4))
    ax.boxplot(list(accuracies.values()), tick_labels=list(accuracies))
    ax.axhline(max(np.bincount(y)) / len(y), color="grey", linestyle=":", label="the more frequent class")
    ax.set(ylabel="accuracy on other images", ylim=(0.4, 1.02), title=" vs ".join(names) + f", {args.runs} draws")
    ax.legend(loc="lower right")


def _digits(report: Report) -> tuple[dict[str, Model], tuple[Array, Array], list[str]]:
    if report.args.data != "digits":
        raise Unsuitable("--data is for a published network: give --net NAME and --weights FILE, too")
    X, y = turned_digits.digits()
    before, pair = y < 5, np.isin(y, _PAIR)
    learned = turned_digits.trained_on_turned(X[before], y[before], 20, report.seed)
    random = turned_digits.network(turned_digits.CLASSES, report.seed)
    return {"a trained body": learned, "a random body": random}, (X[pair], (y[pair] == _PAIR[1]) * 1), ["7", "9"]


def _photographs(report: Report) -> tuple[dict[str, Model], tuple[Array, Array], list[str]]:
    args = report.args
    learned, data = published(args.net, args.weights), report.data()
    X, y = np.concatenate([data.X_train, data.X_test]), np.concatenate([data.y_train, data.y_test])
    names = list(data.classes or [])
    if len(names) != 2 or X.shape[1:] != learned.input_shape:
        raise Unsuitable(
            f"{args.net} needs two classes of images {learned.input_shape}; {data.name} has {len(names)} of "
            f"{X.shape[1:]}: give a folder with two sub-folders, and --image-size {learned.input_shape[-1]}"
        )
    random = fn.models.create(args.net)
    random.build(learned.input_shape, report.seed)
    random.preprocessing = learned.preprocessing
    return {args.net: learned, "a random body": random}, (X, y), names


def _new_head(model: Model, X: Array, y: Array, names: list[str], count: int, seed: int) -> float:
    """The accuracy on all other images after training on `count` of each class."""
    order = np.random.default_rng(seed).permutation(len(y))
    train = np.concatenate([order[y[order] == k][:count] for k in (0, 1)])
    test = np.setdiff1d(order, train)
    fn.transfer.replace_head(model, names, seed)
    fn.transfer.train_head(
        model, X[train], y[train], epochs=60, optimizer=fn.optim.Adam(1e-2), seed=seed, verbose=False
    )
    return float(model.evaluate(X[test], y[test]).accuracy)
