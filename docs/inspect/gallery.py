"""The pictures of docs/inspect.md: a published CIFAR-10 network, looked into.

    python docs/inspect/gallery.py IMAGES.npz WEIGHTS.th

IMAGES.npz holds `x`, uint8 (N, 32, 32, 3), and `y`, images of CIFAR-10; WEIGHTS.th is the ResNet-20 of
https://github.com/akamaster/pytorch_resnet_cifar10.  Needs the extras plot, datasets and images.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import fastnet as fn
from fastnet import visualize

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def main(images: str, weights: str) -> None:
    out = Path(__file__).parent
    with np.load(images) as file:
        X, y = np.ascontiguousarray(file["x"].transpose(0, 3, 1, 2)), file["y"].astype(np.int64)
    model = fn.models.create("resnet20")
    model.load_state_dict(fn.interop.load_torch(weights))
    model.preprocessing, model.class_names = fn.data.Standardize(np.array(MEAN), np.array(STD)), CLASSES
    print(f"{len(X)} images: {model.evaluate(X, y)}")

    convolutions = list(visualize.pictured_layers(model))
    visualize.plot_filters(model, path=out / "filters.png")
    visualize.plot_feature_maps(model, X[1], convolutions[0], most=16, path=out / "maps.png")
    for name, layer in (("patches-early", convolutions[4]), ("patches-late", convolutions[-1])):
        print(layer, visualize.receptive_field(model, layer)[:3])
        visualize.plot_patches(visualize.top_patches(model, X, layer, range(8)), path=out / f"{name}.png")
    proba = model.predict_proba(X)
    visualize.plot_confusion(visualize.confusion_matrix(y, proba.argmax(axis=1)), CLASSES, path=out / "confusion.png")
    visualize.plot_mistakes(visualize.worst_mistakes(proba, y, 8), X, CLASSES, out / "mistakes.png")
    codes = visualize.feature_maps(model, X, visualize.code_layer(model))
    visualize.plot_embedding(X[:400], visualize.embed(codes[:400]), y[:400], CLASSES, out / "tsne.png")
    queries = [int(np.flatnonzero(y == k)[0]) for k in (1, 4, 5, 8)]
    others = np.setdiff1d(np.arange(len(X)), queries)
    nearest = visualize.nearest_codes(codes[others], codes[queries], 8)
    visualize.plot_neighbors(X[others], X[queries], nearest, out / "neighbors.png")
    visualize.plot_model(fn.models.create("resnet20"), path=out / "resnet20.svg")
    visualize.plot_model(fn.models.create("googlenet"), path=out / "googlenet.svg")
    smaller(out)


def smaller(folder: Path) -> None:
    """Pictures of at most 128 colours and 1,100 pixels."""
    from PIL import Image

    for path in folder.glob("*.png"):
        image = Image.open(path).convert("RGB")
        image.thumbnail((1100, 1100))
        image.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
        print(f"{path}: {path.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main(*sys.argv[1:])
