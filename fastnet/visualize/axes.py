"""Axes for pictures: a picture without ticks, pictures in rows, and a sheet that fills a figure."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.drawing import new_figure, save
from fastnet.types import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["cells", "plot_sheet", "show"]

_SHEET = 8  # inches of a sheet's longer side


def show(
    axes: Any, picture: Array, title: str = "", *, bounds: tuple[float, float] | None = None, **options: Any
) -> None:
    """Draw a picture (C, H, W) without ticks: in colours if C is 3, else the mean of its channels in grey.

    Parameters
    ----------
    axes : matplotlib Axes
    picture : array, (C, H, W)
    title : str
    bounds : (low, high), optional
        The values that are black and white; default: (0, 255) for uint8, else (0, 1).
    **options
        Passed to ``Axes.imshow``.
    """
    low, high = bounds or ((0, 255) if picture.dtype == np.uint8 else (0, 1))
    unit = np.clip((picture.astype(np.float64) - low) / max(high - low, 1e-30), 0, 1)
    pixels = unit.transpose(1, 2, 0) if len(unit) == 3 else unit.mean(axis=0)
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, **options)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=9, parse_math=False)


def cells(figure: Figure, count: int, columns: int) -> Array:
    """The axes for `count` pictures, row by row; the rest of the last row stays empty."""
    rows = max(1, -(-count // columns))
    axes: Array = figure.subplots(rows, columns, squeeze=False).ravel()
    for unused in axes[count:]:
        unused.set_axis_off()
    return axes


def plot_sheet(sheet: Array, title: str, path: str | os.PathLike[str] | None) -> Figure:
    """A figure that holds a sheet (C, H, W), with values from 0 to 1, and its title."""
    height, width = sheet.shape[1:]
    scale = _SHEET / max(height, width)
    figure = new_figure(path, max(width * scale, 4), height * scale + 0.5)
    show(figure.subplots(), sheet, title)
    return save(figure, path)
