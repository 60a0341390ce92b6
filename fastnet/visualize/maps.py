"""What a layer computes for images: its feature maps."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from fastnet.arguments import integer
from fastnet.arrays import on_host
from fastnet.layers import Model
from fastnet.types import Array, ArrayLike
from fastnet.visualize.axes import plot_sheet
from fastnet.visualize.grids import enlarged, stretch, tile

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["each_batch", "feature_maps", "plot_feature_maps"]

_ELEMENTS = 2**27  # of the outputs of all layers, for a batch


def each_batch(model: Model, X: ArrayLike, layer: str, batch_size: int) -> Iterator[Array]:
    """What a layer computes, for one batch of images after the other; fewer at a time where layers are large."""
    elements = sum(math.prod(row.output_shape) for row in model.summary().rows)
    yield from model.layer_outputs(X, layer, max(1, min(integer(batch_size, "batch_size"), _ELEMENTS // elements)))


def feature_maps(model: Model, X: ArrayLike, layer: str, batch_size: int = 128) -> Array:
    """The output of a layer for images, in evaluation mode; later layers are not computed.

    Parameters
    ----------
    model : Model
        Built; its `preprocessing` is applied first, as in ``model.predict``.
    X : array, (N, *input_shape)
    layer : str
        A layer's name, as ``model.summary()`` shows it ("1.body.0"), or a container's ("1.body").
    batch_size : int
        Bounds the memory of the computation.

    Returns
    -------
    array, (N, K, P, Q), or (N, D) of a layer without rows and columns

    Raises
    ------
    ValueError
        No layer has this name, or X does not hold images as the model takes them.
    RuntimeError
        The model is not built.
    """
    return np.concatenate(list(each_batch(model, X, layer, batch_size)))


def plot_feature_maps(
    model: Model,
    x: ArrayLike,
    layer: str,
    jointly: bool = False,
    most: int = 64,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw the feature maps of one image as a sheet.

    Parameters
    ----------
    model, layer
        As in :func:`feature_maps`; the layer must have rows and columns.
    x : array, input_shape
        One image, without a batch axis.
    jointly : bool
        Whether all maps share one scale, so that weak maps look dark; by default each has its own, white for the
        largest value, black for the smallest.
    most : int
        Draw at most this many maps.
    path : path, optional
        Write the plot there (PNG, PDF, SVG by the suffix); no window or display is needed.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError, RuntimeError
        As :func:`feature_maps`; a layer without rows and columns.
    ImportError
        matplotlib is not installed.
    """
    most, image = integer(most, "plot_feature_maps: most"), on_host(x, "plot_feature_maps: x")
    if image.ndim != 3:
        raise ValueError(f"plot_feature_maps: x must be one image (C, H, W), got shape {image.shape}")
    maps = feature_maps(model, image[None], layer)
    if maps.ndim != 4:
        raise ValueError(
            f"plot_feature_maps: the output of {layer!r} has shape {maps.shape[1:]}, not (K, P, Q): it is no map"
        )
    K, P, Q = maps.shape[1:]
    count = min(K, most)
    pictures = enlarged(stretch(maps[0, :count, None], jointly))
    sheet = tile(pictures, gap=max(1, math.ceil(max(pictures.shape[2:]) / 24)))
    return plot_sheet(sheet, f"{layer}: {count} of {K} maps of {P} x {Q}", path)
