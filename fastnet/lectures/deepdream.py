"""DeepDream: what a layer sees in a photograph is drawn into it, and the layer's norm grows.

The network is trained here, on patches of scikit-learn's two photographs turned by 0, 90, 180 and 270 degrees: it says
which photograph, and how it is turned.  ``--net resnet18 --weights resnet18.pth --layer layer3`` dreams with a network
that was trained on ImageNet.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import fastnet as fn
from fastnet.functional import avg_pool2d
from fastnet.layers import Model
from fastnet.lectures.class_visualization import add_published, published
from fastnet.lectures.report import Report, Unsuitable
from fastnet.types import Array

_PATCH = 32


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


def sample_photographs() -> dict[str, Array]:
    """scikit-learn's two photographs, of half their size, (1, 3, 213, 320) uint8, by name."""
    try:
        from sklearn.datasets import load_sample_images
    except ImportError as error:
        raise ImportError('the photographs need scikit-learn: pip install "fastnet-cnn[datasets]"') from error
    images = [image.transpose(2, 0, 1)[None, :, :426].astype(np.float32) for image in load_sample_images().images]
    halves = [np.rint(avg_pool2d(image, 2)[0]).astype(np.uint8) for image in images]
    return dict(zip(("china", "flower"), halves, strict=True))


def trained_on_patches(photographs: dict[str, Array], seed: int) -> tuple[Model, float]:
    """A network that knows which photograph a patch is from and how it is turned; its accuracy on unseen patches."""
    rng = np.random.default_rng(seed)
    cut = {name: int(0.75 * image.shape[3]) for name, image in photographs.items()}
    X, y = _patches({name: image[..., : cut[name]] for name, image in photographs.items()}, 800, rng)
    tests, classes = _patches({name: image[..., cut[name] :] for name, image in photographs.items()}, 200, rng)
    model = fn.Sequential(
        *(fn.Conv2d(16, 5, padding=2), fn.BatchNorm2d(), fn.ReLU(), fn.MaxPool2d(2), fn.Conv2d(32, 3, padding=1)),
        *(fn.BatchNorm2d(), fn.ReLU(), fn.Conv2d(32, 3, padding=1), fn.ReLU(), fn.GlobalAvgPool2d(), fn.Flatten()),
        fn.Linear(4 * len(photographs)),
    )
    model.build(X.shape[1:], seed=seed)
    options: dict[str, Any] = {"optimizer": fn.optim.Adam(3e-3), "schedule": fn.optim.CosineDecay(), "batch_size": 32}
    model.fit(X, y, 10, preprocess="standardize", verbose=False, seed=seed, **options)
    return model, float(model.evaluate(tests, classes).accuracy)


def _patches(photographs: dict[str, Array], count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """`count` patches of each photograph with their classes: 4 photograph + quarter turns."""
    found, classes = [], []
    for n, image in enumerate(photographs.values()):
        for _ in range(count):
            top, left = rng.integers(0, (image.shape[2] - _PATCH + 1, image.shape[3] - _PATCH + 1))
            turns = int(rng.integers(4))
            found.append(np.rot90(image[0, :, top : top + _PATCH, left : left + _PATCH], turns, axes=(1, 2)))
            classes.append(4 * n + turns)
    return np.stack(found), np.array(classes)


def norm(model: Model, images: Array, layer: str) -> float:
    """Of a layer's output for raw images."""
    assert model.preprocessing is not None
    values, _ = fn.layers.Probe(model, [layer])(model.preprocessing(images.copy(), model.dtype))
    return float(np.sqrt((values[layer].astype(np.float64) ** 2).sum()))
