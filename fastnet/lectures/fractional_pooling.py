"""Fractional max pooling: random regions, and the mean of predictions over several of them."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastnet as fn
from fastnet.lectures.report import Report

DATA = True


def run(report: Report) -> None:
    from fastnet.ops import Stream
    from fastnet.ops.fractional import spans

    size, outputs = 25, 18
    report.say(
        f"Regions of an axis of {size} pixels from which {outputs} maxima are taken, in 1,000 draws of each kind."
    )
    kinds = {
        (name, form): spans(1000, size, outputs, 0, form == "overlapping", name == "random", Stream(report.seed))
        for name in ("pseudo-random", "random")
        for form in ("disjoint", "overlapping")
    }
    rows = []
    for (name, form), found in kinds.items():
        lengths = found[:, :, 1] - found[:, :, 0]
        rows.append([name, form, int(lengths.min()), int(lengths.max()), len(np.unique(found[:, :, 0], axis=0))])
    report.table(["sequence", "regions", "shortest", "longest", "different ones"], rows)
    disjoint = kinds["random", "disjoint"]
    whole = bool((disjoint[:, 1:, 0] == disjoint[:, :-1, 1]).all() and (disjoint[:, -1, 1] == size).all())
    report.claim("disjoint regions cover each pixel once", whole, "all draws")
    steps = np.diff(kinds["random", "overlapping"][:, :, 0], axis=1)
    report.compare("steps between regions: the smallest", steps.min(), low=1, high=1)
    report.compare("steps between regions: the largest", steps.max(), low=2, high=2)

    data = report.data()
    count = min(300, len(data.X_train))
    report.say(
        f"A network with two fractional poolings by 0.7, trained on {count} images of {data.name}: predictions of "
        "single draws, and means over several."
    )
    model = fn.Sequential(
        *(fn.Conv2d(32, 3, padding=1), fn.ReLU(), fn.FractionalMaxPool2d(output_ratio=0.7, random=True)),
        *(fn.Conv2d(64, 3, padding=1), fn.ReLU(), fn.FractionalMaxPool2d(output_ratio=0.7, random=True)),
        *(fn.Flatten(), fn.Linear(len(data.classes))),
    )
    model.build(data.image_shape, seed=report.seed)
    part = data.X_train[:count], data.y_train[:count]
    model.fit(*part, epochs=30, batch_size=50, seed=report.seed, preprocess="standardize", verbose=False)
    x, y = data.X_test[:2000], data.y_test[:2000]
    passes, repeats = [1, 2, 4, 8, 16, 32], 8
    accuracies = np.array([[accuracy(model, x, y, n, seed) for seed in range(repeats)] for n in passes])
    middle = float((model.predict_classes(x) == y).mean())
    means = accuracies.mean(1)
    report.table(
        ["draws", "accuracy", "deviation over repetitions"],
        [[n, mean, deviation] for n, mean, deviation in zip(passes, means, accuracies.std(1), strict=True)],
    )
    report.compare("accuracy, mean over 16 draws minus a single draw", means[4] - means[0], low=0, digits=3)
    report.compare("accuracy of the fixed regions of inference", middle, low=means[0] - 0.02, digits=4)

    picture = np.asarray(data.X_test[0], float)
    picture = (
        np.kron(picture.mean(0), np.ones((4, 4)))[:size, :size] if min(picture.shape[1:]) < size else picture.mean(0)
    )
    figure, axes = report.figure(2, 2, size=(9, 9.5))
    figure.suptitle("A region begins at each line; blue rows and columns belong to two regions")
    for axis, ((name, form), found) in zip(axes.flat, kinds.items(), strict=True):
        draw(axis, picture[:size, :size], found[0], found[1])
        axis.set_title(f"{name}, {form} regions")
    _, axis = report.figure(name="draws")
    axis.errorbar(passes, 100 * means, 100 * accuracies.std(1), fmt="o-", capsize=3, label="mean of random draws")
    axis.axhline(100 * middle, color="C1", linestyle="--", label="one pass with fixed regions")
    axis.set_xscale("log", base=2)
    axis.set(title="Averaging over regions", xlabel="draws", ylabel="test accuracy, %")
    axis.legend()


def accuracy(model: fn.Model, x: np.ndarray, y: np.ndarray, passes: int, seed: int) -> float:
    mean, _ = fn.monte_carlo(model, x, passes, 500, seed=seed)
    return float((mean.argmax(1) == y).mean())


def draw(axes: Any, picture: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> None:
    """The image, lines where regions begin, and bands on the rows and columns that two regions share."""
    high, wide = picture.shape
    axes.imshow(picture, cmap="gray_r", alpha=0.5, extent=(0, wide, high, 0))
    for spans, line, band in ((rows, axes.axhline, axes.axhspan), (columns, axes.axvline, axes.axvspan)):
        for first, last in zip(spans[1:, 0], spans[:-1, 1], strict=True):
            line(first, color="C3", linewidth=0.9)
            if last > first:
                band(first, last, color="C0", alpha=0.25, linewidth=0)
    axes.set(xlabel="column", ylabel="row")
