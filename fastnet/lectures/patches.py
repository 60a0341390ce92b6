"""What units look for: feature maps of an image, and the patches that excite each unit most.

The patches are cut out by receptive fields that follow from the layers' geometries.  That these are right is tried out:
each pixel of an image is changed, and the pixels that change a unit are compared with its field.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np

from fastnet.lectures.material.networks import train, two_convolutions
from fastnet.lectures.report import Report
from fastnet.types import Array

if TYPE_CHECKING:
    from fastnet.layers import Model

DATA = True


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--epochs", type="count", default=20, metavar="N", help="of the training (default: 20)")


def run(report: Report) -> None:
    from fastnet import visualize

    data = report.data()
    model = two_convolutions(data, report.seed)
    X, y = data.X_train[:5000], data.y_train[:5000]
    before = _purity(model, X, y)
    accuracy = train(model, data, report.args.epochs, report.seed)
    report.say(f"Two convolutions, {accuracy:.1%} of the test images of {data.name} right.")
    rows = []
    for layer in ("conv1", "conv2"):
        field = visualize.receptive_field(model, layer)
        rows.append((layer, f"{field.size[0]} x {field.size[1]}", f"{field.stride[0]:g}", f"{field.offset[0]:g}"))
    report.table(["layer", "receptive field", "stride", "offset"], rows)
    wrong = sum(_misses(model, X[0], layer) for layer in ("conv1", "conv2"))
    report.compare("units whose pixels, found by trying, lie outside their fields", wrong, high=0)

    first, second = (visualize.top_patches(model, X, layer) for layer in ("conv1", "conv2"))
    filters = visualize.filters(model, "conv1", jointly=True)
    likeness = [
        np.corrcoef(p.mean(axis=0).ravel(), w.ravel())[0, 1] for p, w in zip(first.patches, filters, strict=True)
    ]
    report.compare(
        "conv1: correlation of a filter with the mean of its patches", np.nanmean(likeness), low=0.2, digits=3
    )
    after = _purity(model, X, y)
    report.table(
        ["", "share of the most frequent class among a unit's 9 patches"],
        [("conv2 before training", before), ("conv2 after training", after)],
        digits=3,
    )
    report.say(
        f"After training, units of the second layer care {'more' if after > before else 'no more'} about classes; they "
        f"can where their fields see whole objects, and these are images of {X.shape[2]} x {X.shape[3]} pixels."
    )
    visualize.plot_feature_maps(model, data.X_test[0], "conv1", path=report.file("maps"))
    visualize.plot_patches(first, path=report.file("conv1"))
    visualize.plot_patches(second, path=report.file())


def _purity(model: Model, X: Array, y: Array) -> float:
    from fastnet.visualize import top_patches

    return float(
        np.mean([np.bincount(y[images]).max() / len(images) for images in top_patches(model, X, "conv2").images])
    )


def _misses(model: Model, image: Array, layer: str) -> int:
    """How many positions are changed by a pixel outside their field."""
    from fastnet.visualize import feature_maps, receptive_field

    field = receptive_field(model, layer)
    C, H, W = image.shape
    copies = np.repeat(image[None], H * W, axis=0)
    rows, columns = np.divmod(np.arange(H * W), W)
    copies[np.arange(H * W), :, rows, columns] = image.max() - image[:, rows, columns].T
    before, after = feature_maps(model, image[None], layer), feature_maps(model, copies, layer)
    changed = (np.abs(after - before) > 1e-4 * np.abs(before).max()).any(axis=1)  # more than by rounding
    inside = [
        ((axis[:, :1] <= at) & (at < axis[:, 1:])).T for axis, at in ((field.rows, rows), (field.columns, columns))
    ]
    return int((changed & ~(inside[0][:, :, None] & inside[1][:, None, :])).any(axis=0).sum())
