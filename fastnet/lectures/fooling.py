"""Fooling images: a small change, made for the purpose, makes a sure prediction a sure mistake.

Each test image is changed by gradient ascent until the network takes it for the next class.  Noise of the same norm
does almost nothing.
"""

from __future__ import annotations

import argparse

import numpy as np

from fastnet.lectures.material.networks import trained_three_convolutions
from fastnet.lectures.report import Report
from fastnet.visualize.canvas import value_range

DATA = True


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type="count", default=100, metavar="N", help="test images (default: 100)")
    parser.add_argument("--epochs", type="count", default=8, metavar="N", help="of the training (default: 8)")
    parser.add_argument("--confidence", type="fraction", default=0.9, metavar="P", help="to be reached (default: 0.9)")


def run(report: Report) -> None:
    from fastnet import visualize

    args, data = report.args, report.data()
    model, accuracy = trained_three_convolutions(data, args.epochs, report.seed)
    known = np.flatnonzero(model.predict_classes(data.X_test) == data.y_test)[: args.images]
    X, y = data.X_test[known], data.y_test[known]
    targets, bounds = (y + 1) % len(data.classes), value_range(data.X_train)
    fooled = visualize.fool(model, X, targets, confidence=args.confidence, bounds=bounds)
    report.say(
        f"A network of three convolutions on {data.name}: {accuracy:.1%} of the test images.  {len(X)} of those that "
        "it knows are changed to the next class; values stay within their range."
    )
    report.compare("probability of the wrong class, least", fooled.probabilities.min(), low=args.confidence, digits=3)
    report.compare("the same before, mean", fooled.before.mean(), high=0.1, digits=2)
    report.compare("norm of the change / norm of the image, mean", fooled.relative.mean(), high=0.5, digits=3)
    rng = np.random.default_rng(report.seed)
    noise = rng.standard_normal(X.shape)
    noise *= (fooled.l2 / np.sqrt((noise**2).sum(axis=(1, 2, 3))))[:, None, None, None]
    noisy = np.clip(X + noise, *bounds)
    noisy = np.rint(noisy).astype(X.dtype) if X.dtype.kind in "iu" else noisy.astype(X.dtype)
    changed = float((model.predict_classes(noisy) != y).mean())
    report.compare("predictions that noise of the same norm changes", changed, high=0.2, digits=2)
    others = [np.sqrt(((X[y == k].astype(float) - X[i]) ** 2).sum(axis=(1, 2, 3))).min() for i, k in _pairs(y, targets)]
    share = float(np.mean(fooled.l2[[i for i, _ in _pairs(y, targets)]] / others))
    report.compare("change / distance to the nearest image of that class", share, high=0.8, digits=3)
    report.keep("l2", fooled.l2)
    report.keep("linf", fooled.linf)

    first = visualize.Fooled(*(each[:4] for each in fooled))
    visualize.plot_fooled(X[:4], first, data.classes, bounds=bounds, path=report.file())


def _pairs(y: np.ndarray, targets: np.ndarray) -> list[tuple[int, int]]:
    """(image, target) where an image of the target's class is there to be compared with."""
    return [(i, int(k)) for i, k in enumerate(targets) if (y == k).any()]
