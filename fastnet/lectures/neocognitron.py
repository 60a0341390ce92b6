"""The Neocognitron learns features without labels or gradients, and bears shifts better.

S cells learn by winner-take-all, C cells pool, a linear classifier reads the last layer.  The first picture shows the
features of the first S layer and the responses of both layers to an image, the second the accuracy on shifted images.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.lectures.report import Report
from fastnet.types import Array

DATA = True


def run(report: Report) -> None:
    from fastnet.classical import Neocognitron, SoftmaxClassifier

    data = report.data()
    scale = 255 if data.X_train.dtype.kind == "u" else 1
    X, Q = (np.asarray(images / scale, np.float32) for images in (data.X_train, data.X_test))
    y, labels = data.y_train, data.y_test
    if len(X) > 5000 and not report.full:
        X, y, Q, labels = X[:5000], y[:5000], Q[:1000], labels[:1000]
    if min(X.shape[2:]) < 16:  # two poolings need some room
        X, Q = (images.repeat(2, axis=2).repeat(2, axis=3) for images in (X, Q))
        report.say(f"Each pixel is doubled, to images of {X.shape[2]} x {X.shape[3]}.")
    pixels = SoftmaxClassifier().fit(X, y)
    options: Any = {"planes": (24, 96), "kernel": 5, "thresholds": (0.7, 0.85)}
    net = Neocognitron(seed=report.seed, **options).fit(X, y)
    report.say(
        f"S layers of {' and '.join(str(len(stage.weight)) for stage in net.stages_)} planes, learned from "
        f"{net.patches} patches without labels."
    )
    shifts = [0, 1, 2, 3, 4]
    scores: dict[str, list[float]] = {"linear classifier on pixels": [], "Neocognitron": []}
    for shift in shifts:
        moved = [_moved(Q, shift * dy, shift * dx) for dy, dx in ((0, 1), (-1, 0))]
        for name, model in (("linear classifier on pixels", pixels), ("Neocognitron", net)):
            scores[name].append(float(np.mean([model.score(images, labels) for images in moved])))
    report.table(["shift, pixels", *scores], zip(shifts, *scores.values(), strict=True), digits=3)
    plain, ours = scores.values()
    chance = float(np.bincount(labels).max() / len(labels))
    report.compare("Neocognitron: accuracy / guessing the commonest class", ours[0] / chance, low=2, digits=3)
    report.compare("Neocognitron - pixels, shifted by one pixel", ours[1] - plain[1], low=0, digits=3)
    again = Neocognitron(seed=report.seed, **options).organize(X)
    same = all(np.array_equal(a.weight, b.weight) for a, b in zip(net.stages_, again.stages_, strict=True))
    report.claim("the features are the same without labels", same)

    responses = net.responses(Q[:1])
    _, axes = report.figure(1 + 2 * len(responses), 10, name="cells", size=(11, 1.25 * (1 + 2 * len(responses))))
    _row(axes[0], "features", [weight.mean(0) for weight in net.stages_[0].weight[:9]], Q[0].mean(0))
    for n, (s, c) in enumerate(responses):
        strongest = np.argsort(-s[0].sum(axis=(1, 2)), kind="stable")[:9] if n else np.arange(min(9, s.shape[1]))
        _row(axes[1 + 2 * n], f"S{n + 1}", list(s[0][strongest]), Q[0].mean(0))
        _row(axes[2 + 2 * n], f"C{n + 1}", list(c[0][strongest]), Q[0].mean(0))
    _, axes = report.figure(name="shifts", size=(6.4, 4.4))
    for name, values in scores.items():
        axes.plot(shifts, values, "o-", label=name)
    axes.set(
        xlabel="shift of the test images, pixels", ylabel="accuracy", title="Trained on images that are not shifted"
    )
    axes.set_xticks(shifts)
    axes.legend()


def _moved(X: Array, down: int, right: int) -> Array:
    """Images moved, with darkness behind them."""
    moved = np.zeros_like(X)
    H, W = X.shape[2:]
    to = np.s_[:, :, max(0, down) : H + min(0, down), max(0, right) : W + min(0, right)]
    source = np.s_[:, :, max(0, -down) : H + min(0, -down), max(0, -right) : W + min(0, -right)]
    moved[to] = X[source]
    return moved


def _row(axes, name: str, pictures: list[Array], image: Array) -> None:  # type: ignore[no-untyped-def]
    for ax in axes:
        ax.set(xticks=[], yticks=[])
    if name == "features":
        axes[0].set_frame_on(False)
    else:
        axes[0].imshow(image, cmap="gray")
    axes[0].set_ylabel(name, rotation=0, ha="right", va="center")
    most = max(float(picture.max()) for picture in pictures) or 1.0
    for ax, picture in zip(axes[1:], pictures, strict=False):
        ax.imshow(picture, cmap="gray", vmin=0, vmax=most)
