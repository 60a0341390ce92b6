"""Grad-CAM and occlusion maps find where a digit is, in a network that was never told.

Digits lie anywhere on a larger, cluttered field; the network is trained on their classes alone.  "Pointing game": how
often does the largest value of a map lie on the digit?
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import fastnet as fn
from fastnet.lectures.report import Report
from fastnet.types import Array

_FIELD = 3  # its side is that of the digit times this


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type="several", default=100, metavar="N", help="test images (default: 100)")
    parser.add_argument("--epochs", type="count", default=15, metavar="N", help="of the training (default: 15)")


def run(report: Report) -> None:
    from fastnet import visualize

    args, data, rng = report.args, fn.data.digits(), np.random.default_rng(report.seed)
    X, _ = _scattered(data.X_train, rng)
    tests, boxes = _scattered(data.X_test, rng)
    model = fn.Sequential(
        *(fn.Conv2d(24, 3, padding=1), fn.BatchNorm2d(), fn.ReLU(), fn.Conv2d(32, 3, padding=1), fn.BatchNorm2d()),
        *(fn.ReLU(), fn.MaxPool2d(2), fn.Conv2d(64, 3, padding=1), fn.BatchNorm2d(), fn.ReLU()),
        *(fn.Conv2d(64, 3, padding=1), fn.BatchNorm2d(), fn.ReLU(), fn.GlobalAvgPool2d(), fn.Flatten(), fn.Linear(10)),
    )
    model.build(X.shape[1:], seed=report.seed)
    options: dict[str, Any] = {"optimizer": fn.optim.Adam(4e-3), "schedule": fn.optim.CosineDecay(), "batch_size": 32}
    model.fit(X, data.y_train, args.epochs, preprocess="standardize", verbose=False, seed=report.seed, **options)
    accuracy = float(model.evaluate(tests, data.y_test).accuracy)
    tests, boxes, y = tests[: args.images], boxes[: args.images], data.y_test[: args.images]
    side = data.image_shape[1]
    maps = {
        "Grad-CAM": visualize.grad_cam(model, tests, y),
        "occlusion": visualize.occlusion(model, tests, y, window=6, stride=2),
        "saliency": visualize.saliency(model, tests, y),
    }
    report.say(
        f"Digits of {side} x {side} pixels on fields of {side * _FIELD} x {side * _FIELD} with pieces of others: "
        f"{accuracy:.1%} of the test images.  A point at random lies on the digit in one of {_FIELD**2} cases."
    )
    rows = [(name, pointing(found, boxes, side)) for name, found in maps.items()]
    report.table(["map", "points at the digit", "share of its sum on the digit"], [[name, *row] for name, row in rows])
    report.compare("test accuracy", accuracy, low=0.75, digits=3)
    for name, (hits, _) in rows:
        report.compare(f"{name}: the largest value is on the digit", hits, low=0.7, digits=3)

    first = {name: found[:4] for name, found in maps.items()}
    visualize.plot_maps(tests[:4], first, [str(k) for k in y[:4]], path=report.file())


def _scattered(X: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Each image somewhere on a field with four quarters of other images, and where it is, (N, 2)."""
    N, C, H, W = X.shape
    fields = np.zeros((N, C, _FIELD * H, _FIELD * W), X.dtype)
    boxes = rng.integers(0, ((_FIELD - 1) * H + 1, (_FIELD - 1) * W + 1), (N, 2))
    h, w = H // 2, W // 2
    for field, image, (top, left) in zip(fields, X, boxes, strict=True):
        for other in rng.integers(0, N, 4):
            down, right = rng.integers(0, (_FIELD * H - h, _FIELD * W - w))
            field[:, down : down + h, right : right + w] = X[other, :, :h, :w]
        field[:, top : top + H, left : left + W] = image
    return fields, boxes


def pointing(maps: Array, boxes: Array, side: int) -> tuple[float, float]:
    """How often the largest value lies in the box, and how much of the positive values do, on average."""
    hits, shares = [], []
    for each, (top, left) in zip(np.maximum(maps, 0), boxes, strict=True):
        row, column = np.unravel_index(each.argmax(), each.shape)
        hits.append(top <= row < top + side and left <= column < left + side)
        shares.append(each[top : top + side, left : left + side].sum() / max(each.sum(), 1e-30))
    return float(np.mean(hits)), float(np.mean(shares))
