"""Convolution flips its kernel and commutes; networks leave the flip out, and learn the same.

Cross-correlation slides the kernel as it is, convolution slides it turned by 180 degrees.  The picture shows a point
and an image under both: convolution copies the kernel to where the point is, cross-correlation its mirror image.
"""

from __future__ import annotations

import numpy as np

from fastnet.lectures.report import Report
from fastnet.types import Array

DATA = True

_KERNEL = np.array([[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 1, 0, 0, 0]], float)  # an F


def run(report: Report) -> None:
    from fastnet.functional import conv2d

    def slide(a: Array, b: Array, flip: bool, padding: int) -> Array:
        return np.asarray(conv2d(a[None, None], b[None, None], padding=padding, flip=flip)[0][0, 0])

    report.say(
        "y[p, q] = sum over r, s of x[p + r, q + s] w[r, s] is cross-correlation; with the kernel turned by 180 "
        "degrees it is convolution, f * g."
    )
    rng = np.random.default_rng(report.seed)
    x, w = rng.normal(size=(9, 9)), rng.normal(size=(9, 9))
    one, other = slide(x, w, True, 8), slide(w, x, True, 8)
    report.compare("convolution: f * g - g * f", np.abs(one - other).max(), high=1e-12, digits=2)
    one, other = slide(x, w, False, 8), slide(w, x, False, 8)
    report.compare("cross-correlation: the same difference", np.abs(one - other).max(), low=0.1, digits=2)
    turned = slide(x, w[::-1, ::-1], False, 8)
    report.compare(
        "correlation with the kernel turned - convolution", np.abs(turned - slide(x, w, True, 8)).max(), high=0
    )
    by_hand = np.zeros((17, 17))
    for (i, j), value in np.ndenumerate(w):
        by_hand[i : i + 9, j : j + 9] += value * x
    report.compare("convolution - its definition", np.abs(slide(x, w, True, 8) - by_hand).max(), high=1e-12, digits=2)

    point = np.zeros((9, 9))
    point[4, 4] = 1
    copies = slide(point, _KERNEL, True, 2)[2:7, 2:7], slide(point, _KERNEL, False, 2)[2:7, 2:7]
    report.claim("a point under convolution is the kernel", np.array_equal(copies[0], _KERNEL))
    report.claim("under cross-correlation, its mirror image", np.array_equal(copies[1], _KERNEL[::-1, ::-1]))
    _learned(report, x)

    image = np.asarray(report.data().X_train[0], float).mean(axis=0)
    _, axes = report.figure(2, 4, size=(11, 5.6))
    rows = [("a point", point), ("an image", image)]
    for line, (name, picture) in zip(axes, rows, strict=True):
        shown = [picture, _KERNEL, slide(picture, _KERNEL, False, 2), slide(picture, _KERNEL, True, 2)]
        titles = [name, "the kernel, 5 x 5", "cross-correlation (networks)", "convolution (flipped)"]
        for ax, values, title in zip(line, shown, titles, strict=True):
            ax.imshow(values, cmap="gray")
            ax.set(title=title, xticks=[], yticks=[])


def _learned(report: Report, x: Array) -> None:
    """A layer that is to do what a convolution does learns the kernel turned: the flip costs a network nothing."""
    from fastnet import functional

    rng = np.random.default_rng(report.seed + 1)
    images, target = rng.normal(size=(20, 1, 9, 9)), rng.normal(size=(1, 1, 3, 3))
    wanted, _ = functional.conv2d(images, target, flip=True)
    found = []
    for flip in (False, True):
        w = np.zeros((1, 1, 3, 3))
        for _ in range(200):
            y, backward = functional.conv2d(images, w, flip=flip)
            w -= 0.3 * backward((y - wanted) / wanted.size)[1]
        found.append(w)
    error = np.abs(found[0] - target[:, :, ::-1, ::-1]).max()
    report.compare("learned without flip - the kernel turned", error, high=1e-6, digits=2)
    report.compare("learned with flip - the kernel", np.abs(found[1] - target).max(), high=1e-6, digits=2)
