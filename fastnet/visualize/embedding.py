"""Codes of images in two dimensions: t-SNE, with the images as a scatter and on a grid."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.arguments import integer, positive
from fastnet.arrays import on_host
from fastnet.drawing import new_figure, save
from fastnet.types import Array, ArrayLike
from fastnet.visualize.axes import show
from fastnet.visualize.grids import displayable, tile
from fastnet.visualize.mistakes import class_labels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "code_rows",
    "embed",
    "grid_cells",
    "image_sheet",
    "plot_embedding",
]

_COMPONENTS = 50  # of codes before t-SNE


def code_rows(name: str, codes: ArrayLike, least: int = 1) -> Array:
    """Codes as rows of finite floats, (N, D); `least` is the smallest N."""
    given = on_host(codes, name)
    if given.ndim < 2 or len(given) < least or not given.size:
        raise ValueError(f"{name} must have shape (N, ...) with N >= {least}, got {given.shape}")
    rows = given.reshape(len(given), -1)
    rows = rows if rows.dtype.kind == "f" else rows.astype(np.float64)
    if not np.isfinite(rows).all():
        raise ValueError(f"{name} must be finite")
    return rows


def embed(codes: ArrayLike, perplexity: float = 30.0, seed: int = 0) -> Array:
    """Points in the plane near each other where codes are: t-SNE (van der Maaten & Hinton 2008).

    Codes of more than 50 dimensions are first projected on their 50 principal components, as that paper does.

    Parameters
    ----------
    codes : array, (N, ...)
        What a layer computes for N images, such as ``feature_maps(model, X, layer)``; each is taken as one row.
    perplexity : float
        About the number of neighbours that each code keeps; at most (N - 1) / 3 is used.
    seed : int
        Seeds the projection and t-SNE.

    Returns
    -------
    array, (N, 2), float32

    Raises
    ------
    ValueError
        Fewer than 4 codes, all equal ones, or values that are not finite.
    ImportError
        scikit-learn is not installed.
    """
    rows, perplexity = code_rows("embed: codes", codes, 4), positive(perplexity, "embed: perplexity")
    seed = integer(seed, "embed: seed", 0, 32)
    if (rows == rows[0]).all():
        raise ValueError("embed: all codes are equal, so there are no places to give them")
    try:
        from sklearn.decomposition import PCA
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits  # scikit-learn's own requirement
    except ImportError as error:
        raise ImportError('t-SNE needs scikit-learn: pip install "fastnet-cnn[datasets]"') from error
    components = min(_COMPONENTS, len(rows))
    if rows.shape[1] > components:
        rows = PCA(components, random_state=seed).fit_transform(rows)
    method = TSNE(perplexity=min(perplexity, (len(rows) - 1) / 3), init="pca", learning_rate="auto", random_state=seed)
    with threadpool_limits(1, "openmp"):  # its threads wait for each other in each iteration
        points: Array = np.asarray(method.fit_transform(np.ascontiguousarray(rows, np.float32)), np.float32)
    return points


def grid_cells(points: ArrayLike) -> tuple[Array, tuple[int, int]]:
    """A cell of a grid for each point, no cell twice, which minimises the squared distances to the points.

    Parameters
    ----------
    points : array, (N, 2)
        x and y, such as :func:`embed` returns.

    Returns
    -------
    cells : array of integers, (N, 2)
        Row and column; row 0 is at the top, where y is largest.
    shape : (rows, columns)
        About square, with at least N cells.

    Raises
    ------
    ValueError
        Points of another shape, or not finite.
    ImportError
        SciPy is not installed.
    """
    given = code_rows("grid_cells: points", points)
    if given.shape[1] != 2:
        raise ValueError(f"grid_cells: points must have shape (N, 2), got {given.shape}")
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise ImportError('images on a grid need SciPy: pip install "fastnet-cnn[scipy]"') from error
    N = len(given)
    columns = math.ceil(math.sqrt(N))
    rows = -(-N // columns)
    low, span = given.min(axis=0), np.ptp(given, axis=0)
    x, y = ((given - low) / np.where(span > 0, span, 1)).T
    cells = np.stack(np.divmod(np.arange(rows * columns), columns), axis=1)
    down = (1 - y)[:, None] - (cells[:, 0] + 0.5) / rows
    across = x[:, None] - (cells[:, 1] + 0.5) / columns
    _, chosen = linear_sum_assignment(down**2 + across**2)
    return cells[chosen], (rows, columns)


def image_sheet(images: ArrayLike, points: ArrayLike, gap: int = 1) -> Array:
    """Images on a grid without overlap, each near its point: the sheet of a t-SNE.

    Parameters
    ----------
    images : array, (N, C, H, W)
    points : array, (N, 2)
        Such as :func:`embed` returns.
    gap : int
        Pixels between images.

    Returns
    -------
    array, (C, height, width), with the dtype of the images
        White where there is no image.

    Raises
    ------
    ValueError
        Arrays that do not fit.
    ImportError
        SciPy is not installed.
    """
    given = on_host(images, "image_sheet: images")
    if given.ndim != 4 or len(given) != len(on_host(points, "image_sheet: points")):
        raise ValueError(f"image_sheet: images must be (N, C, H, W), one for each point, got shape {given.shape}")
    cells, (rows, columns) = grid_cells(points)
    white = 255 if given.dtype == np.uint8 else 1
    every = np.full((rows * columns, *given.shape[1:]), white, given.dtype)
    every[cells[:, 0] * columns + cells[:, 1]] = given
    return tile(every, columns, gap, white)


def plot_embedding(
    images: ArrayLike,
    points: ArrayLike,
    y: ArrayLike | None = None,
    classes: Sequence[str] | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw images at their points, which may overlap, and beside them on a grid, where none do.

    Parameters
    ----------
    images : array, (N, C, H, W)
    points : array, (N, 2)
        Such as :func:`embed` returns.
    y : array of integers, (N,), optional
        Classes, shown as coloured frames on the left.
    classes : sequence of str, optional
        Their names, for a legend.
    path : path, optional
        Write the plot there (PNG, PDF, SVG by the suffix); no window or display is needed.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        Arrays that do not fit.
    ImportError
        matplotlib or SciPy is not installed.
    """
    given, places = displayable(on_host(images, "plot_embedding: images")), code_rows("plot_embedding: points", points)
    sheet = image_sheet(given, places)
    labels = None if y is None else on_host(y, "plot_embedding: y")
    names = []
    if labels is not None:
        if labels.shape != (len(given),) or labels.dtype.kind not in "iu":
            raise ValueError(
                f"plot_embedding: y must be class numbers, integers ({len(given)},), got {labels.dtype} {labels.shape}"
            )
        names = class_labels(classes, int(labels.max()) + 1, "plot_embedding")
    figure = new_figure(path, 15, 7.5)
    scatter, grid = figure.subplots(1, 2)
    show(grid, sheet, "on a grid, as near as possible to the same places")
    _scatter(scatter, given, places, labels)
    scatter.set_title("where t-SNE puts them", fontsize=9)
    if labels is not None:
        for k in np.unique(labels).tolist():
            scatter.plot([], [], "s", color=_colour(k), label=names[k].replace("$", r"\$"))
        scatter.legend(fontsize=8, loc="upper left", bbox_to_anchor=(0, -0.02), ncols=6)
    return save(figure, path)


def _colour(k: int) -> str:
    return f"C{k % 10}"


def _scatter(axes: Any, images: Array, points: Array, labels: Array | None) -> None:
    """Pictures of about a fortieth of the plot."""
    span = np.maximum(np.ptp(points, axis=0), 1e-9)
    side = span.max() / max(20, min(45, 2 * math.sqrt(len(images))))
    for n, ((x, y), image) in enumerate(zip(points.tolist(), images, strict=True)):
        extent = (x - side / 2, x + side / 2, y - side / 2, y + side / 2)
        show(axes, image, extent=extent, zorder=2 + n / len(images))
        if labels is not None:
            corners = np.array(extent)[[0, 1, 1, 0, 0]], np.array(extent)[[2, 2, 3, 3, 2]]
            axes.plot(*corners, color=_colour(int(labels[n])), linewidth=0.8, zorder=2 + n / len(images))
    low, high = points.min(axis=0) - side, points.max(axis=0) + side
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
