"""Codes of images in the plane by t-SNE, and nearest neighbours among codes instead of pixels.

A code is what the network's last linear layer reads.  Images whose codes are near each other look alike to the network,
also where their pixels differ, as when one is shifted.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from fastnet.lectures.material.networks import train, two_convolutions
from fastnet.lectures.report import Report
from fastnet.types import Array

DATA = True

_IMAGES = 1000  # of a t-SNE


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--epochs", type="count", default=20, metavar="N", help="of the training (default: 20)")


def run(report: Report) -> None:
    from fastnet import visualize

    data = report.data()
    model = two_convolutions(data, report.seed)
    accuracy = train(model, data, report.args.epochs, report.seed)
    X, y, Q, labels = data.X_train[:5000], data.y_train[:5000], data.X_test[:_IMAGES], data.y_test[:_IMAGES]
    report.say(f"Two convolutions, {accuracy:.1%} of the test images of {data.name} right.")
    codes: dict[str, Callable[[Array], Array]] = {
        "pixels": lambda images: images,
        "codes": lambda images: visualize.feature_maps(model, images, "code"),
    }
    points, rows, shares = {}, [], {}
    for name, coded in codes.items():
        known = coded(X)
        points[name] = visualize.embed(coded(Q), seed=report.seed)
        near = visualize.nearest_codes(points[name], points[name], min(6, len(Q))).images[:, 1:]
        shares[name] = [
            float((labels[near] == labels[:, None]).mean()),
            *(
                float((y[visualize.nearest_codes(known, coded(images), 1).images[:, 0]] == labels).mean())
                for images in (Q, _shifted(Q))
            ),
        ]
        rows.append((name, *shares[name]))
    report.table(
        ["", "5 nearest points of t-SNE of the same class", "nearest training image", "the same, shifted by a pixel"],
        rows,
        digits=3,
    )
    chance = float(np.bincount(labels).max() / len(labels))
    report.compare(
        "t-SNE of codes: neighbours of the same class / chance", shares["codes"][0] / chance, low=2, digits=3
    )
    report.claim(
        "codes find the right class of shifted images more often than pixels", shares["codes"][2] > shares["pixels"][2]
    )
    visualize.plot_embedding(Q[:400], points["codes"][:400], labels[:400], data.classes, report.file())
    visualize.plot_embedding(Q[:400], points["pixels"][:400], labels[:400], data.classes, report.file("pixels"))
    some = _shifted(Q[:6])
    nearest = visualize.nearest_codes(codes["codes"](X), codes["codes"](some), 8)
    visualize.plot_neighbors(X, some, nearest, report.file("neighbors"))


def _shifted(X: Array) -> Array:
    """Images moved to the right by a pixel, with the left column repeated."""
    return np.concatenate([X[..., :1], X[..., :-1]], axis=-1)
