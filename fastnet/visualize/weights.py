"""The weights of a layer as pictures."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from fastnet.arguments import flag, integer
from fastnet.backends import current
from fastnet.layers import Layer
from fastnet.types import Array
from fastnet.visualize.axes import plot_sheet
from fastnet.visualize.grids import enlarged, stretch, tile
from fastnet.wording import did_you_mean, name_some

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["filters", "pictured_layers", "plot_filters"]


def pictured_layers(model: Layer) -> dict[str, tuple[int, ...]]:
    """The layers whose weights are pictures, by name, with the pictures' shape (K, C, R, S).

    They are the convolutions, and a linear layer that is the model's first layer with weights, on the pixels of images:
    its weights are templates of the classes, or of hidden units, as large as an image.
    """
    if not isinstance(model, Layer):
        raise TypeError(f"filters: model must be a fastnet model, got {type(model).__name__}")
    model._require_built()
    found: dict[str, tuple[int, ...]] = {}
    weights = [
        (path, tuple(layer.own["weight"].shape)) for path, layer in model.named_layers() if "weight" in layer.own
    ]
    for n, (path, shape) in enumerate(weights):
        if len(shape) == 4:
            found[path] = shape
        elif len(shape) == 3:
            found[path] = (*shape[:2], 1, shape[2])
        elif n == 0 and len(model.input_shape) == 3 and shape[1:] == (math.prod(model.input_shape),):
            found[path] = (shape[0], *model.input_shape)
    return found


def filters(model: Layer, layer: str | None = None, jointly: bool = False) -> Array:
    """The weights of a layer as pictures: 0 is grey, positive weights are brighter and negative ones darker.

    Parameters
    ----------
    model : Layer
        Built.
    layer : str, optional
        The name of a convolution, as ``model.summary()`` shows it, or of a linear layer on pixels, whose weights are
        templates (``visualize.pictured_layers`` lists them).  Default: the first one.
    jointly : bool
        Whether all filters share one scale, so that weak filters look pale; by default each has its own.

    Returns
    -------
    array, (K, C, R, S), float32
        From 0 to 1.  With 3 channels, as in a first layer, each filter is a picture in colours; with others each of its
        channels is a grey picture.

    Raises
    ------
    ValueError
        No layer of this name has weights that are pictures.
    RuntimeError
        The model is not built.
    """
    jointly, known = flag(jointly, "filters: jointly"), pictured_layers(model)
    if layer is None and known:
        layer = next(iter(known))
    if layer is None or layer not in known:
        there = f"{did_you_mean(layer, known)}there are {name_some(list(known), 8)}" if known else "the model has none"
        raise ValueError(f"filters: no layer {layer!r} has weights that are pictures; {there}")
    weights = current().to_numpy(dict(model.named_layers())[layer].own["weight"].value)
    return stretch(weights.reshape(known[layer]), jointly, symmetric=True)


def plot_filters(
    model: Layer,
    layer: str | None = None,
    jointly: bool = False,
    most: int = 64,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw the filters of a layer: in colours if they have 3 channels, else a row of grey channels for each filter.

    Parameters
    ----------
    model, layer, jointly
        As in :func:`filters`.
    most : int
        Draw at most this many filters, and at most this many channels of each.
    path : path, optional
        Write the plot there (PNG, PDF, SVG by the suffix); no window or display is needed.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError, RuntimeError
        As :func:`filters`.
    ImportError
        matplotlib is not installed.
    """
    pictures, most = filters(model, layer, jointly), integer(most, "plot_filters: most")
    K, C, R, S = pictures.shape
    name, count = layer or next(iter(pictured_layers(model))), min(K, most)
    if C in (1, 3):
        sheet, what = tile(enlarged(pictures[:count])), ""
    else:
        channels = min(C, most)
        sheet = tile(enlarged(pictures[:count, :channels].reshape(-1, 1, R, S)), columns=channels)
        what = f"; a row for each, {channels} of {C} channels" if channels < C else "; a row for each, its channels"
    return plot_sheet(sheet, f"{name}: {count} of {K} filters of {R} x {S}{what}", path)
