"""Saliency: which pixels a score depends on, and what is left of the prediction without them.

Six kinds of attribution are tested by deletion: pixels are replaced by the image's mean, the largest attribution first.
The sooner the probability falls, the more the attribution says about the network.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np

import fastnet as fn
from fastnet.lectures.material.networks import trained_three_convolutions
from fastnet.lectures.report import Report
from fastnet.types import Array

if TYPE_CHECKING:
    from fastnet.layers import Model

DATA = True
_UNITS = "3"  # the ReLU after the second convolution


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type="count", default=60, metavar="N", help="test images (default: 60)")
    parser.add_argument("--epochs", type="count", default=8, metavar="N", help="of the training (default: 8)")


def run(report: Report) -> None:
    from fastnet import visualize

    args, data = report.args, report.data()
    model, accuracy = trained_three_convolutions(data, args.epochs, report.seed)
    X, y = data.X_test[: args.images], data.y_test[: args.images]
    report.say(
        f"A network of three convolutions on {data.name}: {accuracy:.1%} of the test images.  Attributions to the true "
        f"class of {len(X)} of them."
    )
    complete = visualize.integrated_gradients(model, X, y, steps=300)
    maps = {
        "saliency": visualize.saliency(model, X, y),
        "SmoothGrad": visualize.smoothgrad(model, X, y, seed=report.seed),
        "gradient x input": visualize.gradient_x_input(model, X, y),
        "integrated gradients": complete,
        "guided backpropagation": visualize.guided_backprop(model, X, y),
        "deconvnet": visualize.deconvnet(model, X, y),
        "random": np.random.default_rng(report.seed).random((len(X), *X.shape[2:])),
    }
    curves = {name: visualize.deletion_test(model, X, found, y) for name, found in maps.items()}
    back = {name: visualize.insertion_test(model, X, found, y) for name, found in maps.items()}
    report.table(
        ["attribution", "area after deletion", "area after insertion"],
        [[name, float(curves[name].areas.mean()), float(back[name].areas.mean())] for name in maps],
        digits=3,
    )
    chance = float(curves["random"].areas.mean())
    for name in [name for name in maps if name != "random"]:
        report.compare(f"{name}: area after deletion", float(curves[name].areas.mean()), high=chance - 0.05, digits=3)
    gap = np.abs(visualize.completeness_gap(model, X, complete, y)) / np.abs(complete).sum(axis=(1, 2, 3))
    report.compare("integrated gradients: |sum - (S(x) - S(0))| / sum of |a|, largest", gap.max(), high=0.02, digits=2)

    _units(report, model, data.X_test[: max(args.images, 100)])
    visualize.plot_maps(X[:4], {name: found[:4] for name, found in maps.items()}, path=report.file())
    visualize.plot_removal(curves, path=report.file("deletion"))


def _units(report: Report, model: Model, X: Array) -> None:
    """What six units of the second convolution see where they answer most, traced back by a deconvnet."""
    from fastnet import visualize

    assert model.preprocessing is not None
    values = fn.layers.Probe(model, [_UNITS])(model.preprocessing(X.copy(), model.dtype))[0][_UNITS]
    strongest = values.max(axis=(2, 3))  # of each image and channel
    channels = np.argsort(-strongest.max(axis=0), kind="stable")[:6]
    images = strongest[:, channels].argmax(axis=0)
    traced = {
        "deconvnet": visualize.deconvnet(model, X[images], channels, layer=_UNITS),
        "guided backpropagation": visualize.guided_backprop(model, X[images], channels, layer=_UNITS),
    }
    outside = 0.0
    for n, (image, channel) in enumerate(zip(images, channels, strict=True)):
        row, column = np.unravel_index(values[image, channel].argmax(), values.shape[2:])
        seen = np.zeros(X.shape[2:], bool)
        seen[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3] = True
        for each in traced.values():  # convolutions by Winograd's algorithm leave rounding errors beside the field
            outside = max(outside, float(np.abs(each[n][:, ~seen]).max(initial=0) / np.abs(each[n]).max()))
    report.compare("units: outside the 5 x 5 pixels seen / the largest", outside, high=1e-4, digits=2)
    titles = [f"channel {channel}" for channel in channels]
    visualize.plot_maps(X[images], traced, titles, path=report.file("units"))
