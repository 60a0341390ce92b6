"""DeepDream: what a layer sees in a photograph is drawn into it, and the layer's norm grows.

The network is trained here, on patches of scikit-learn's two photographs turned by 0, 90, 180 and 270 degrees: it says
which photograph, and how it is turned.  ``--net resnet18 --weights resnet18.pth --layer layer3`` dreams with a network
that was trained on ImageNet.
"""

from __future__ import annotations

import argparse

import numpy as np

import fastnet as fn
from fastnet.layers import Model
from fastnet.lectures.material.photographs import sample_photographs, trained_on_patches
from fastnet.lectures.material.published import add_published, published
from fastnet.lectures.report import Report, Unsuitable
from fastnet.types import Array


def options(parser: argparse.ArgumentParser) -> None:
    add_published(parser)
    parser.add_argument("--layer", default="8", metavar="NAME", help="that dreams (default: 8, the last ReLU)")
    parser.add_argument("--octaves", type="count", default=3, metavar="N", help="sizes (default: 3)")
    parser.add_argument("--steps", type="count", default=10, metavar="N", help="at each size (default: 10)")


def run(report: Report) -> None:
    from fastnet import visualize

    args, photographs = report.args, sample_photographs()
    model = _trained(report, photographs) if args.net is None else published(args.net, args.weights)
    try:
        fn.layers.Probe(model, [args.layer])
    except ValueError as error:
        raise Unsuitable(f"--layer: {error}") from error
    names, found = list(photographs), []
    for name, image in photographs.items():
        dream = visualize.deep_dream(model, image, args.layer, octaves=args.octaves, steps=args.steps, seed=report.seed)
        before, after = (norm(model, each, args.layer) for each in (image, dream))
        report.compare(f"{name}: norm of the layer, after / before", after / before, low=1.2, digits=3)
        change = np.sqrt(((dream.astype(float) - image) ** 2).mean())
        report.compare(f"{name}: change of a pixel, root mean square, of 255", change, low=1, high=80, digits=3)
        found += [image, dream]
    titles = [f"{name}{what}" for name in names for what in ("", f": the dream of {args.layer}")]
    visualize.plot_images(np.concatenate(found), titles, columns=2, path=report.file())


def _trained(report: Report, photographs: dict[str, Array]) -> Model:
    model, accuracy = trained_on_patches(photographs, report.seed)
    report.say(
        f"A network of three convolutions says for {accuracy:.1%} of the patches of the right quarter of each "
        "photograph, which it has not seen, where they are from and how they are turned: one of 8 classes."
    )
    report.compare("accuracy on these patches (chance: 0.125)", accuracy, low=0.2, digits=3)
    return model


def norm(model: Model, images: Array, layer: str) -> float:
    """Of a layer's output for raw images."""
    assert model.preprocessing is not None
    values, _ = fn.layers.Probe(model, [layer])(model.preprocessing(images.copy(), model.dtype))
    return float(np.sqrt((values[layer].astype(np.float64) ** 2).sum()))
