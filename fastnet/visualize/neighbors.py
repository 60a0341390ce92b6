"""Images that a network finds alike: the nearest codes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastnet.arguments import integer
from fastnet.arrays import on_host
from fastnet.classical import KNearestNeighbors
from fastnet.drawing import new_figure, save
from fastnet.types import Array, ArrayLike
from fastnet.visualize.axes import show
from fastnet.visualize.embedding import code_rows
from fastnet.visualize.grids import displayable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["NearestCodes", "nearest_codes", "plot_neighbors"]


class NearestCodes(NamedTuple):
    """The result of :func:`nearest_codes`: arrays (M, k), the nearest first.

    Attributes
    ----------
    images : array of integers
        Positions among the codes.
    distances : array
        L2 distances.
    """

    images: Array
    distances: Array


def nearest_codes(codes: ArrayLike, queries: ArrayLike, count: int = 5) -> NearestCodes:
    """The nearest of many codes to each query, by L2 distance: images that a network finds alike.

    Parameters
    ----------
    codes : array, (N, ...)
        What a layer computes for N images, such as ``feature_maps(model, X, layer)``.
    queries : array, (M, ...)
        The same layer's codes of other images; a query that is among the codes finds itself first.
    count : int
        At most N.

    Returns
    -------
    NearestCodes

    Raises
    ------
    ValueError
        Codes and queries of different lengths, or values that are not finite.
    """
    rows, others = code_rows("nearest_codes: codes", codes), code_rows("nearest_codes: queries", queries)
    if rows.shape[1] != others.shape[1]:
        raise ValueError(f"nearest_codes: codes have {rows.shape[1]} numbers each, queries {others.shape[1]}")
    count = min(integer(count, "nearest_codes: count"), len(rows))
    distances, images = KNearestNeighbors(1).fit(rows, np.zeros(len(rows), np.int64)).neighbors(others, count)
    return NearestCodes(images, distances)


def plot_neighbors(
    images: ArrayLike, queries: ArrayLike, nearest: NearestCodes, path: str | os.PathLike[str] | None = None
) -> Figure:
    """Draw each query, and on its right the images with the nearest codes.

    Parameters
    ----------
    images : array, (N, C, H, W)
        Of the codes.
    queries : array, (M, C, H, W)
    nearest : NearestCodes
        As :func:`nearest_codes` returns them.
    path : path, optional
        Write the plot there (PNG, PDF, SVG by the suffix); no window or display is needed.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        Arguments that do not fit.
    ImportError
        matplotlib is not installed.
    """
    if not isinstance(nearest, NearestCodes):
        raise TypeError(f"plot_neighbors: nearest must be the result of nearest_codes, got {nearest!r}")
    given, asked = (on_host(each, "plot_neighbors") for each in (images, queries))
    M, count = nearest.images.shape
    if len(asked) != M or given.ndim != 4 or asked.shape[1:] != given.shape[1:]:
        raise ValueError(f"plot_neighbors: needs {M} queries like the images, got shapes {given.shape}, {asked.shape}")
    figure = new_figure(path, 1.2 * (count + 1), 1.35 * M)
    grid = figure.subplots(M, count + 1, squeeze=False)
    for n, row in enumerate(grid):
        pictures = displayable(np.concatenate([asked[n : n + 1], given[nearest.images[n]]]))
        for column, (axes, picture) in enumerate(zip(row, pictures, strict=True)):
            show(axes, picture, f"{nearest.distances[n, column - 1]:.3g}" if column else "query")
    return save(figure, path)
