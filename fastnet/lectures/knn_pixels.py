"""What distances of pixels do not say: equal ones for unequal changes, and many dimensions.

The first picture shows an image that is shifted, darkened and covered, each by just so much that its L2 distance is the
same.  The second shows how distances between random points lose their contrast in high dimensions.
"""

from __future__ import annotations

import numpy as np

from fastnet.lectures.report import Report
from fastnet.types import Array

DATA = True


def run(report: Report) -> None:
    data = report.data()
    X, y = np.asarray(data.X_train, np.float64) / (255 if data.X_train.dtype.kind == "u" else 1), data.y_train
    if len(X) > 2000 and not report.full:
        X, y = X[:2000], y[:2000]
    changed = _equal_distances(X[_clear(X)])
    original = changed.pop("original")
    distances = {name: float(np.sqrt(((image - original) ** 2).sum())) for name, image in changed.items()}
    report.table(["change", "L2 distance to the original"], distances.items(), digits=7)
    spread = max(distances.values()) / min(distances.values()) - 1
    report.compare("largest / smallest of these distances - 1", spread, high=1e-9, digits=2)
    _shifts(report, X, y)

    _, axes = report.figure(1, len(changed) + 1, name="equal", size=(2.6 * (len(changed) + 1), 3.1))
    for ax, (name, image) in zip(axes, {"original": original, **changed}.items(), strict=True):
        picture = np.clip(image, 0, 1).transpose(1, 2, 0)
        ax.imshow(picture if picture.shape[-1] == 3 else picture[..., 0], cmap="gray", vmin=0, vmax=1)
        ax.set(title=name if name == "original" else f"{name}\ndistance {distances[name]:.3f}", xticks=[], yticks=[])
    _contrast(report)


def _clear(X: Array) -> int:
    """An image of typical brightness."""
    return int(np.argsort(np.abs(X).sum(axis=(1, 2, 3)))[len(X) // 2])


def _shifted(X: Array, columns: int) -> Array:
    """Images moved to the right, with the left column repeated."""
    moved = np.concatenate([np.repeat(X[..., :1], columns, axis=-1), X[..., :-columns]], axis=-1)
    return np.asarray(moved)


def _equal_distances(image: Array) -> dict[str, Array]:
    """The image, and three changes of it at the distance of a shift by one pixel."""
    H, W = image.shape[1:]
    shifted = _shifted(image, 1)
    distance = np.sqrt(((shifted - image) ** 2).sum())
    darker = image * (1 - distance / np.sqrt((image**2).sum()))
    covered = image.copy()
    for size in range(
        1, max(H, W) + 1
    ):  # the smallest box in the middle that is bright enough, greyed as far as needed
        top, left = max(0, (H - size) // 2), max(0, (W - size) // 2)
        box = np.s_[:, top : top + size, left : left + size]
        strength = np.sqrt((image[box] ** 2).sum())
        if strength >= distance:
            covered[box] *= 1 - distance / strength
            break
    return {"original": image, "shifted by one pixel": shifted, "darkened": darker, "covered": covered}


def _shifts(report: Report, X: Array, y: Array) -> None:
    """How often an image of another class is nearer than the image itself, shifted to the side."""
    from fastnet.classical import KNearestNeighbors

    rows = []
    distances, positions = KNearestNeighbors(1).fit(X, y).neighbors(X, min(500, len(X)))
    other = np.where(y[positions] != y[:, None], distances, np.inf).min(axis=1)  # infinite: none among the 500 nearest
    W = X.shape[-1]
    for columns in sorted({1, W // 8, W // 4}):
        own = np.sqrt(((_shifted(X, columns) - X) ** 2).sum(axis=(1, 2, 3)))
        rows.append((columns, float((other < own).mean())))
    report.table(["shift in pixels", "share of images with another class nearer than themselves, shifted"], rows)
    report.compare("that share, shifted by a quarter of the width", rows[-1][1], low=0.5, digits=3)


def _contrast(report: Report) -> None:
    """Random points in a cube: the farthest is hardly farther than the nearest when there are many dimensions."""
    rng = np.random.default_rng(report.seed)
    dimensions = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 3072]
    contrast = []
    for D in dimensions:
        points, queries = rng.random((1000, D)), rng.random((20, D))
        found = np.array([np.sqrt(((points - query) ** 2).sum(axis=1)) for query in queries])
        contrast.append(float(np.median(found.max(axis=1) / found.min(axis=1))))
    report.table(["dimensions D", "farthest / nearest of 1,000 random points"], zip(dimensions, contrast, strict=True))
    report.claim("the ratio falls with D", all(np.diff(contrast) < 0))
    report.compare("at D = 2", contrast[1], low=10, digits=3)
    report.compare("at D = 3,072", contrast[-1], high=1.2, digits=4)
    report.say(
        "To keep neighbours a tenth of the side apart takes 10 points in one dimension, 100 in two, 1,000 in three, "
        "and 10^3072 for images of CIFAR-10."
    )
    _, axes = report.figure(name="contrast", size=(6.4, 4.4))
    axes.loglog(dimensions, contrast, "o-")
    axes.axhline(1, color="grey", linestyle=":")
    axes.set(xlabel="dimensions", ylabel="farthest / nearest", title="1,000 random points around a random query")
