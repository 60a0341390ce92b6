"""Which elements batch, layer, instance and group norm share statistics over.

The gradient of one output by all inputs is not zero exactly where the statistics that it uses were taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.lectures.report import Report
from fastnet.types import Array

SHAPE = (4, 6, 2, 3)  # images, channels, rows, columns
GROUPS = 2
AT = (0, 0, 0, 0)  # the output


def run(report: Report) -> None:
    import fastnet.functional as F

    x = np.random.default_rng(report.seed).normal(size=SHAPE)
    dy = np.zeros(SHAPE)
    dy[AT] = 1
    N, C, H, W = SHAPE
    found = {
        "batch norm": F.batch_norm(x, training=True)[1](dy)[0] != 0,
        "layer norm": F.layer_norm(x, SHAPE[1:])[1](dy)[0] != 0,
        "instance norm": F.instance_norm(x)[1](dy)[0] != 0,
        f"group norm, {GROUPS} groups": F.group_norm(x, GROUPS)[1](dy)[0] != 0,
    }
    shared = {  # (images, channels) of the set that AT belongs to
        "batch norm": (N, 1),
        "layer norm": (1, C),
        "instance norm": (1, 1),
        f"group norm, {GROUPS} groups": (1, C // GROUPS),
    }
    report.say(f"x has {N} images of {C} channels of {H} x {W} pixels; the output at {AT} depends on:")
    for name, where in found.items():
        images, channels = shared[name]
        block = np.zeros(SHAPE, bool)
        block[:images, :channels] = True
        what = f"{images} x {channels} x {H} x {W}"
        report.claim(
            f"{name}: {what} elements, no others", bool((where == block).all()), f"{int(where.sum())} elements"
        )
    extremes = {"one group": F.group_norm(x, 1)[0] - F.layer_norm(x, SHAPE[1:])[0]}
    extremes["a group for each channel"] = F.group_norm(x, C)[0] - F.instance_norm(x)[0]
    for name, difference in extremes.items():
        other = "layer norm" if name == "one group" else "instance norm"
        report.compare(f"{name}: group norm - {other}", np.abs(difference).max(), high=1e-12, digits=2)

    figure, _ = report.figure(size=(15, 4.4))
    figure.clear()
    for n, (name, where) in enumerate(found.items()):
        ax = figure.add_subplot(1, 4, n + 1, projection="3d")
        _draw(ax, where.reshape(N, C, H * W))
        ax.set_title(name)


def _draw(ax: Any, where: Array) -> None:
    """A block of cells: channels to the right, images to the back, pixels upwards."""
    cells = where.transpose(1, 0, 2)
    ax.voxels(~cells, facecolors=(0.8, 0.8, 0.8, 0.1), edgecolors=(0, 0, 0, 0.15), linewidth=0.4)
    ax.voxels(cells, facecolors=(0.2, 0.4, 0.8, 0.95), edgecolors=(0, 0, 0, 0.5), linewidth=0.4)
    ax.set(xlabel="channels", ylabel="images", zlabel="pixels", xticks=[], yticks=[], zticks=[])
    ax.view_init(22, -58)
    ax.set_box_aspect(cells.shape, zoom=0.85)
