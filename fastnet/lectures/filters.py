"""What the first layer learns: filters that are noise before training become edges and blobs.

Noise has no relation between neighbouring weights; trained filters are smoother.  A first layer that starts with small
weights shows it best, since what it started with does not hide what it learned.  A linear classifier's weights are
templates, one for each class.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np

import fastnet as fn
from fastnet.lectures.material.networks import train, two_convolutions
from fastnet.lectures.report import Report
from fastnet.types import Array

if TYPE_CHECKING:
    from fastnet.layers import Model

DATA = True


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--epochs", type="count", default=20, metavar="N", help="of each training (default: 20)")


def run(report: Report) -> None:
    from fastnet import visualize

    data, epochs = report.data(), report.args.epochs
    nets = {
        "usual initial weights": two_convolutions(data, report.seed),
        "a twentieth of them": two_convolutions(data, report.seed),
    }
    first = nets["a twentieth of them"].leaves()[0].own["weight"]
    first.value = first.value * np.float32(0.05)
    linear = fn.Sequential(fn.Flatten(), fn.Linear(len(data.classes), initializer="zeros"))
    linear.build(data.image_shape)
    noise = _weights(nets["usual initial weights"])
    visualize.plot_filters(nets["usual initial weights"], path=report.file("before"))
    rows: list[tuple[str, str, float | str]] = [("before training", "", _roughness(noise))]
    for name, model in {**nets, "templates of a linear classifier": linear}.items():
        accuracy = train(model, data, epochs, report.seed)
        rows.append((name, f"{accuracy:.3f}", "" if model is linear else _roughness(_weights(model))))
    report.table(["first layer", "test accuracy", "roughness"], rows)
    report.say(
        "Roughness is the mean square difference of neighbouring weights over twice their variance: 1 for noise, 0 for "
        "filters of one value."
    )
    before, usual, small = (float(row[2]) for row in rows[:3])
    report.compare("roughness before training: noise", before, low=0.9, high=1.1, digits=3)
    report.compare("usual initial weights: after / before", usual / before, high=0.95, digits=3)
    report.compare("a twentieth of them: after / before", small / before, high=0.85, digits=3)
    visualize.plot_filters(nets["usual initial weights"], path=report.file())
    visualize.plot_filters(nets["a twentieth of them"], path=report.file("small"))
    visualize.plot_filters(linear, path=report.file("templates"))


def _weights(model: Model) -> Array:
    return np.array(model.leaves()[0].own["weight"].value)


def _roughness(weights: Array) -> float:
    differences = [(np.diff(weights, axis=axis) ** 2).mean() for axis in (2, 3)]
    return float(np.mean(differences) / (2 * weights.var()))
