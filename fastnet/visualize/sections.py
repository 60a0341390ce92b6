"""The sections of the page about a model: a title, an explanation, and a function that makes the content each."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastnet.columns import visible
from fastnet.layers import Model
from fastnet.types import Array
from fastnet.visualize.attribution import deconvnet, guided_backprop, integrated_gradients, saliency, smoothgrad
from fastnet.visualize.cam import grad_cam
from fastnet.visualize.covering import occlusion
from fastnet.visualize.diagram import plot_model
from fastnet.visualize.embedding import embed, plot_embedding
from fastnet.visualize.exciting import plot_patches, top_patches
from fastnet.visualize.fooling import fool
from fastnet.visualize.maps import feature_maps, plot_feature_maps
from fastnet.visualize.markup import bar, escape, note, picture, table
from fastnet.visualize.mistakes import (
    class_accuracies,
    confusion_matrix,
    plot_confusion,
    plot_mistakes,
    worst_mistakes,
)
from fastnet.visualize.neighbors import nearest_codes, plot_neighbors
from fastnet.visualize.panels import plot_fooled, plot_images, plot_maps
from fastnet.visualize.weights import pictured_layers, plot_filters

__all__ = ["OF_DATA", "OF_IMAGE", "OF_MODEL", "Look", "Section", "code_layer"]

_LAYERS, _UNITS, _TOP = 4, 12, 5
_COLUMNS = 4  # of maps beside an image
_EMBEDDED = 400  # images of a t-SNE


class Look(NamedTuple):
    """What is looked at: a model, one image (1, C, H, W), and images with their classes.

    `layers` are those whose filters, maps and patches are shown; None: up to four convolutions.
    """

    model: Model
    image: Array | None
    X: Array | None
    y: Array | None
    layers: tuple[str, ...] | None
    batch_size: int
    seed: int

    def names(self) -> list[str]:
        """The names of the classes."""
        given = self.model.class_names or [f"class {k}" for k in range(self.model.output_shape[0])]
        return [visible(str(name)) for name in given]

    def chosen(self) -> list[str]:
        """The layers to be shown."""
        if self.layers is not None:
            return list(self.layers)
        maps = [row.name for row in self.model.summary().rows if len(row.output_shape) == 3]
        convolutions = [name for name in pictured_layers(self.model) if name in maps]
        count = min(_LAYERS, len(convolutions))
        return [convolutions[round(n * (len(convolutions) - 1) / max(count - 1, 1))] for n in range(count)]


class Section(NamedTuple):
    """A part of the page; ``make(look)`` returns HTML."""

    title: str
    explanation: str
    make: Callable[[Look], str]


def code_layer(model: Model) -> str:
    """The layer whose output the last linear layer reads: the "code" of an image; without one, the last layer."""
    rows = model.summary().rows
    last = max((n for n, row in enumerate(rows) if row.layer == "Linear"), default=len(rows))
    return rows[max(last - 1, 0)].name


# ---------------------------------------------------------------- an image


def _probabilities(look: Look) -> Array:
    """Of the image's classes, (classes,)."""
    assert look.image is not None
    found: Array = look.model.predict_proba(look.image)[0]
    if found.ndim > 1:
        raise ValueError("the model gives a map of scores for each class, not one score")
    return found


def _prediction(look: Look) -> str:
    probabilities = _probabilities(look)
    names = look.names()
    best = np.argsort(-probabilities, kind="stable")[:_TOP]
    rows = [[escape(names[k]), f"{probabilities[k]:.4f}", bar(float(probabilities[k]))] for k in best.tolist()]
    return picture(plot_images, look.image) + table(["class", "probability", ""], rows)


def _occlusion(model: Model, images: Array) -> Array:
    """With a window of an eighth of the image."""
    height, width = (max(1, -(-size // 8)) for size in images.shape[2:])
    return occlusion(model, images, window=(height, width))


_ATTRIBUTIONS: tuple[tuple[str, Callable[..., Array]], ...] = (
    ("saliency", saliency),
    ("SmoothGrad", smoothgrad),
    ("integrated gradients", integrated_gradients),
    ("guided backprop", guided_backprop),
    ("deconvnet", deconvnet),
    ("Grad-CAM", grad_cam),
    ("occlusion", _occlusion),
)


def _attributions(look: Look) -> str:
    """All maps that the model allows."""
    assert look.image is not None
    maps, notes = {}, []
    for name, function in _ATTRIBUTIONS:
        try:
            maps[name] = function(look.model, look.image)
            if not maps[name].any():
                notes.append(note(f"{name}: 0 everywhere, as of a model that is too sure to be moved by a pixel"))
        except ValueError as error:  # a model without ReLUs, maps, or classes
            notes.append(note(f"{name}: {error}"))
    names = list(maps)
    rows = [{name: maps[name] for name in names[n : n + _COLUMNS]} for n in range(0, len(names), _COLUMNS)]
    return "\n".join([*(picture(plot_maps, look.image, row) for row in rows), *notes])


def _maps(look: Look) -> str:
    assert look.image is not None
    return "\n".join(picture(plot_feature_maps, look.model, look.image[0], layer) for layer in look.chosen())


def _fooling(look: Look) -> str:
    assert look.image is not None
    second = int(np.argsort(-_probabilities(look), kind="stable")[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the probability was not reached stands in the picture
        fooled = fool(look.model, look.image, second)
    return picture(plot_fooled, look.image, fooled, look.names())


# ---------------------------------------------------------------- data


def _confusion(look: Look) -> str:
    assert look.X is not None and look.y is not None
    names = look.names()
    whole = confusion_matrix(look.y, look.model.predict_classes(look.X, look.batch_size), len(names))
    seen = np.flatnonzero(whole.sum(axis=0) + whole.sum(axis=1))  # of a thousand classes perhaps two
    matrix, names = whole[np.ix_(seen, seen)], [names[k] for k in seen]
    rows = []
    for name, share, counts in zip(names, class_accuracies(matrix), matrix, strict=True):
        known = counts.sum() > 0
        rows.append([escape(name), f"{counts.sum():,}", f"{share:.4f}" if known else "-", bar(share) if known else ""])
    return picture(plot_confusion, matrix, names) + table(["class", "images", "right", ""], rows)


def _mistakes(look: Look) -> str:
    assert look.X is not None and look.y is not None
    worst = worst_mistakes(look.model.predict_proba(look.X, look.batch_size), look.y)
    return picture(plot_mistakes, worst, look.X, look.names())


def _patches(look: Look) -> str:
    parts = []
    for layer in look.chosen():
        found = top_patches(look.model, look.X, layer, batch_size=look.batch_size)  # type: ignore[arg-type]
        h, w = found.patches.shape[-2:]
        parts.append(f"<h3>{escape(layer)}: fields of {h} x {w} pixels</h3>")
        parts.append(picture(plot_patches, found, most=_UNITS))
    return "\n".join(parts)


def _embedding(look: Look) -> str:
    assert look.X is not None and look.y is not None
    some = np.sort(np.random.default_rng(look.seed).permutation(len(look.X))[:_EMBEDDED])
    X, y, layer = look.X[some], look.y[some], code_layer(look.model)
    codes = feature_maps(look.model, X, layer, look.batch_size)
    said = f"<p>{len(X):,} images; codes: the output of {escape(layer)}.</p>"
    return said + picture(plot_embedding, X, embed(codes, seed=look.seed), y, look.names())


def _neighbors(look: Look) -> str:
    """Of the image, if there is one, and of a few of the data."""
    assert look.X is not None
    layer = code_layer(look.model)
    queries = look.X[:4] if look.image is None else look.image
    codes, asked = (feature_maps(look.model, X, layer, look.batch_size) for X in (look.X, queries))
    return picture(plot_neighbors, look.X, queries, nearest_codes(codes, asked, 8))


# ---------------------------------------------------------------- the model


def _filters(look: Look) -> str:
    pictured = pictured_layers(look.model)
    layers = [layer for layer in look.chosen() if layer in pictured and max(pictured[layer][2:]) > 1]
    first = next(iter(pictured), None)
    if first is not None and first not in layers and look.layers is None:
        layers.insert(0, first)
    if not layers:
        raise ValueError("none of the layers has weights that are pictures")
    return "\n".join(picture(plot_filters, look.model, layer, most=16 if n else 96) for n, layer in enumerate(layers))


def _drawing(look: Look) -> str:
    return f'<div class="wide">{plot_model(look.model).svg}</div>'


OF_IMAGE = (
    Section("Prediction", "The image as the model gets it, and the classes that it finds most probable.", _prediction),
    Section(
        "What the prediction rests on",
        "Which pixels change the score of the predicted class: its gradient in several readings, and how much the "
        "probability falls where a square is covered (occlusion). Bright pixels count; where there are two signs, red "
        "speaks for the class and blue against it. Grad-CAM and occlusion are coarse, and name regions, not pixels.",
        _attributions,
    ),
    Section(
        "Feature maps",
        "What layers compute for the image. Each map has its own scale, white for its largest value.",
        _maps,
    ),
    Section(
        "A fooling image",
        "Gradient ascent changes the image until the model is almost sure of the second most probable class, or gives "
        "up after 500 steps; numbers are its probabilities, before and after. What was added is enlarged.",
        _fooling,
    ),
)
OF_DATA = (
    Section(
        "Confusion matrix",
        "Rows are the classes of the images, columns what they were taken for; the table has the share that is right. "
        "Classes without images, for which none was taken, are left out.",
        _confusion,
    ),
    Section(
        "The worst mistakes",
        "Images of which the model is most certain, and wrong. Some are wrong labels; others show what it lacks.",
        _mistakes,
    ),
    Section(
        "What excites units most",
        "For some channels of each layer, the patches of the data to which they answer most, the strongest first, cut "
        "out by their receptive fields.",
        _patches,
    ),
    Section(
        "t-SNE of the codes",
        "Images whose codes are near each other lie near each other; distances between groups mean nothing.",
        _embedding,
    ),
    Section(
        "Nearest neighbours among the codes",
        "On the left an image, then the images with the nearest codes, by L2 distance.",
        _neighbors,
    ),
)
OF_MODEL = (
    Section(
        "Filters",
        "Weights as pictures: 0 is grey. Trained first layers show edges, blobs and colours; noise shows too little "
        "training or regularization.",
        _filters,
    ),
    Section(
        "The network", "Layers with their outputs for one image, without the batch axis, and parameters.", _drawing
    ),
)
