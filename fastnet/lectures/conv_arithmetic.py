"""Sizes and parameters of convolutional networks: (W - F + 2P)/S + 1, and famous tables.

Each number is computed from a network that is built, not from the formula beside it.  The picture shows where VGG-16
keeps its memory and its parameters.
"""

from __future__ import annotations

import numpy as np

from fastnet.lectures.report import Report

SOURCE = "CS231n's readings (convolutional networks)"


def run(report: Report) -> None:
    _one_layer(report)
    _stacks(report)
    for name, summary in (("LeNet-5", _lenet()), ("AlexNet, one column", _alexnet())):
        _table(report, name, summary)
    vgg = _vgg(report)
    _to_convolutions(report)

    figure, axes = report.figure(1, 2, size=(12, 4.8))
    figure.suptitle("VGG-16, an image of 224 x 224 pixels: memory at the beginning, parameters at the end")
    places = np.arange(len(vgg))
    for ax, title, values in (
        (axes[0], "numbers in the activations, thousands", [memory / 1e3 for _, _, memory, _ in vgg]),
        (axes[1], "parameters, millions", [count / 1e6 for _, _, _, count in vgg]),
    ):
        ax.bar(places, values)
        ax.set_xticks(places, [name for name, *_ in vgg], rotation=90, fontsize=8)
        ax.set_ylabel(title)


def _one_layer(report: Report) -> None:
    from fastnet import layers

    conv = layers.Conv2d(2, 3, stride=2, padding=1)
    report.compare("5x5x3 input, K = 2, F = 3, S = 2, P = 1: output side", conv.build((3, 5, 5))[1], 3, low=3, high=3)
    report.compare("its parameters, 3 3 3 2 + 2", sum(p.size for p in conv.parameters()), low=56, high=56)
    first = layers.Conv2d(96, 11, stride=4)
    report.compare("227x227x3, K = 96, F = 11, S = 4: output side", first.build((3, 227, 227))[1], 55, low=55, high=55)
    report.compare("its outputs", int(np.prod(first.output_shape)), 290400, low=290400, high=290400)
    report.compare("its parameters", sum(p.size for p in first.parameters()), 34944, low=34944, high=34944)
    from fastnet.functional import im2col

    columns = im2col(np.zeros((1, 3, 227, 227), np.float32), 11, stride=4)
    report.claim("its patches as columns", columns.shape[1:] == (363, 3025), str(columns.shape[1:]), "(363, 3025)")
    pool = layers.MaxPool2d(2)
    pool.build((64, 224, 224))
    report.compare("pooling 224x224x64 by 2x2, stride 2: output side", pool.output_shape[1], 112, low=112, high=112)
    report.compare("its parameters", sum(p.size for p in pool.parameters()), 0, low=0, high=0)
    wrong = [(w, f, s, p) for w, f, s, p in ((10, 3, 2, 0), (7, 3, 3, 0)) if (w - f + 2 * p) % s]
    report.say(
        f"Where S does not divide W - F + 2P, as for W, F, S, P = {' and '.join(map(str, wrong))}, the "
        "lecture's layer does not exist; fastnet's (as PyTorch's) leaves out the pixels that are left over."
    )


def _stacks(report: Report) -> None:
    """Three 3x3 layers see what a 7x7 layer sees, with fewer parameters."""
    from fastnet import layers

    C = 16
    small = layers.Sequential(*(layers.Conv2d(C, 3, bias=False) for _ in range(3)))
    large = layers.Conv2d(C, 7, bias=False)
    shapes = [net.build((C, 7, 7)) for net in (small, large)]
    report.claim("three 3x3 layers and a 7x7 layer see 7x7 pixels", shapes == [(C, 1, 1)] * 2, str(shapes[0]))
    counts = [sum(p.size for p in net.parameters()) / C**2 for net in (small, large)]
    report.compare("parameters of three 3x3 layers / C^2", counts[0], 27, low=27, high=27)
    report.compare("parameters of a 7x7 layer / C^2", counts[1], 49, low=49, high=49)


def _lenet() -> list[tuple[str, str, int, int]]:
    from fastnet import models

    return _rows(models.lenet5())


def _alexnet() -> list[tuple[str, str, int, int]]:
    from fastnet import models

    return _rows(models.alexnet())


def _rows(model) -> list[tuple[str, str, int, int]]:  # type: ignore[no-untyped-def]
    """(layer, output shape, numbers in the output, parameters) of layers that are not elementwise."""
    rows = [("input", " x ".join(map(str, model.input_shape)), int(np.prod(model.input_shape)), 0)]
    for row in model.summary().rows:
        if row.parameters or "Pool" in row.layer:
            shape = " x ".join(map(str, row.output_shape))
            rows.append((row.name, shape, int(np.prod(row.output_shape)), row.parameters))
    return rows


def _table(report: Report, name: str, rows: list[tuple[str, str, int, int]]) -> None:
    report.say(f"{name}:")
    total = ("all", "", sum(row[2] for row in rows), sum(row[3] for row in rows))
    report.table(["layer", "output", "numbers", "parameters"], [*rows, total])


def _vgg(report: Report) -> list[tuple[str, str, int, int]]:
    from fastnet import models

    text = "-".join(
        f"(CONV:{width}-RELU)*{depth}-POOL" for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
    )
    rows = _rows(models.pattern(text + "-(FC:4096-RELU)*2-FC", 1000, (3, 224, 224), initializer="zeros"))
    _table(report, "VGG-16", rows)
    report.compare(
        "VGG-16: parameters", sum(row[3] for row in rows), "138M", low=138_357_544, high=138_357_544, digits=9
    )
    numbers = sum(row[2] for row in rows)
    report.compare("VGG-16: numbers in the activations of an image", numbers, "24M", low=15e6, high=15.5e6, digits=8)
    report.say(
        f"The readings' table says that its column adds up to 24M numbers, 93 MB an image.  Its rows, which are those "
        f"above, add up to {numbers / 1e6:.1f}M, {numbers * 4 / 2**20:.0f} MB; with the outputs of the ReLUs kept "
        f"beside those of the layers before them it would be {(numbers + sum(r[2] for r in rows if r[3])) / 1e6:.1f}M."
    )
    first = max(rows, key=lambda row: row[3])
    report.compare(
        "parameters of the first FC layer", first[3], 102_760_448, low=102_764_544, high=102_764_544, digits=9
    )
    report.say("(The readings leave out the biases.)")
    return rows


def _to_convolutions(report: Report) -> None:
    from fastnet import models

    net = models.pattern("(CONV:4-RELU-POOL)*5-FC:8-RELU-FC", 1000, (3, 224, 224), initializer="zeros")
    turned = models.fully_convolutional(net)
    report.claim(
        "FC as CONV: 384x384 pixels through five poolings",
        turned.shape_of((3, 384, 384)) == (1000, 6, 6),
        str(turned.shape_of((3, 384, 384))),
        "6x6x1000",
    )
