"""Plots of images, of maps beside or over them, of fooling images, and of removal curves."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.arguments import flag, integer
from fastnet.arrays import on_host
from fastnet.drawing import new_figure, save
from fastnet.types import Array, ArrayLike
from fastnet.visualize.attribution import to_maps
from fastnet.visualize.axes import cells, show
from fastnet.visualize.canvas import limits, value_range
from fastnet.visualize.fooling import Fooled
from fastnet.visualize.removal import RemovalCurves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_fooled", "plot_images", "plot_maps", "plot_removal"]

_SIDE = 2.0  # inches of a picture


def plot_images(
    images: ArrayLike,
    titles: Sequence[str] | None = None,
    *,
    bounds: Any = None,
    columns: int = 6,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw images in rows.

    Parameters
    ----------
    images : array, (N, C, H, W)
        In colours if C is 3, else the mean of their channels in grey.
    titles : sequence of str, optional
    bounds : (low, high), optional
        The values that are black and white; default: (0, 255) for uint8, else each image's own smallest and largest.
    columns : int
        Images in a row.
    path : path, optional
        Write the plot there (PNG, PDF, SVG by the suffix); no window or display is needed.

    Raises
    ------
    ValueError
        Images of another shape, or not one title for each image.
    ImportError
        matplotlib is not installed.
    """
    given = _images("plot_images", images)
    if titles is not None and len(titles) != len(given):
        raise ValueError(f"plot_images: needs a title for each of {len(given)} images, got {len(titles)}")
    columns = min(integer(columns, "plot_images: columns"), len(given))
    rows = -(-len(given) // columns)
    figure = new_figure(path, _SIDE * columns, (_height(given) + (0.25 if titles else 0)) * rows)
    for ax, picture, title in zip(cells(figure, len(given), columns), given, titles or [""] * len(given), strict=False):
        show(ax, picture, title, bounds=_bounds("plot_images", bounds, picture))
    return save(figure, path)


def plot_maps(
    images: ArrayLike,
    maps: ArrayLike | Mapping[str, ArrayLike],
    titles: Sequence[str] | None = None,
    *,
    overlay: bool = False,
    bounds: Any = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw attributions beside their images, a row for each image.

    Parameters
    ----------
    images : array, (N, C, H, W)
    maps : array, or dict of arrays by name; (N, H, W) or (N, C, H, W)
        A column for each.  Of several channels the largest absolute value is drawn.  Maps with negative values are
        drawn in red (positive) and blue, others from black to yellow; each has its own scale, which leaves out the
        largest 0.5 % of the pixels.
    titles : sequence of str, optional
        Of the rows, such as the classes.
    overlay : bool
        Draw maps over the greyed image.
    bounds, path
        As in :func:`plot_images`.

    Raises
    ------
    ValueError, ImportError
        As :func:`plot_images`.
    """
    given, overlay = _images("plot_maps", images), flag(overlay, "plot_maps: overlay")
    named = maps if isinstance(maps, Mapping) else {"": maps}
    if not named:
        raise ValueError("plot_maps: maps must hold at least one array")
    found = {name: to_maps(each) for name, each in named.items()}
    N, _, H, W = given.shape
    for name, each in found.items():
        if each.shape != (N, H, W):
            raise ValueError(f"plot_maps: maps {name} must be {(N, H, W)} or {given.shape}, got shape {each.shape}")
    if titles is not None and len(titles) != N:
        raise ValueError(f"plot_maps: needs a title for each of {N} images, got {len(titles)}")
    figure = new_figure(path, _SIDE * (1 + len(found)), _height(given) * N + 0.3)
    axes = figure.subplots(N, 1 + len(found), squeeze=False)
    for n, row in enumerate(axes):
        shades = _bounds("plot_maps", bounds, given[n])
        show(row[0], given[n], bounds=shades)
        row[0].set_ylabel(titles[n] if titles else "", fontsize=9, parse_math=False)
        for ax, each in zip(row[1:], found.values(), strict=True):
            if overlay:
                show(ax, given[n].mean(axis=0, keepdims=True), bounds=shades)
            most = max(float(np.quantile(np.abs(each[n]), 0.995)), 1e-30)
            signed = bool((each < 0).any())
            colours = "RdBu_r" if signed else "inferno"
            ax.imshow(each[n], colours, vmin=-most if signed else 0, vmax=most, alpha=0.6 if overlay else None)
            ax.set(xticks=[], yticks=[])
    for ax, name in zip(axes[0], ["image", *found], strict=True):
        ax.set_title(name, fontsize=9, parse_math=False)
    return save(figure, path)


def plot_fooled(
    images: ArrayLike,
    fooled: Fooled,
    class_names: Sequence[str] | None = None,
    *,
    bounds: Any = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw each original, what was added to it (stretched to the whole range of greys), and the image that fools.

    Titles have the target's probability P, and the norms of the change.

    Parameters
    ----------
    images : array, (N, C, H, W)
        The originals.
    fooled : Fooled
        As :func:`fastnet.visualize.fool` returns it.
    class_names : sequence of str, optional
    bounds, path
        As in :func:`plot_images`.

    Raises
    ------
    ValueError, TypeError, ImportError
        Images of another shape than the fooling ones, or anything but Fooled; and as :func:`plot_images`.
    """
    given = _images("plot_fooled", images)
    if not isinstance(fooled, Fooled):
        raise TypeError(f"plot_fooled: fooled must be what fool returns, got {type(fooled).__name__}")
    if given.shape != fooled.images.shape:
        raise ValueError(f"plot_fooled: images must have the shape {fooled.images.shape}, got {given.shape}")
    names = [class_names[k] if class_names else f"class {k}" for k in fooled.targets]
    figure = new_figure(path, 1.25 * _SIDE * 3, (1.25 * _height(given) + 0.25) * len(given))
    for n, row in enumerate(figure.subplots(len(given), 3, squeeze=False)):
        shades = _bounds("plot_fooled", bounds, given[n])
        most = max(float(np.abs(fooled.perturbations[n]).max()), 1e-30)
        show(row[0], given[n], bounds=shades)
        show(row[1], fooled.perturbations[n], bounds=(-most, most))
        show(row[2], fooled.images[n], bounds=shades)
        titles = (
            f"original: P({names[n]}) = {fooled.before[n]:.2g}",
            f"added: L2 {fooled.l2[n]:.3g} ({fooled.relative[n]:.1%}), at most {fooled.linf[n]:.3g}",
            f"P({names[n]}) = {fooled.probabilities[n]:.2g}",
        )
        for ax, title in zip(row, titles, strict=True):
            ax.set_title(title, fontsize=8, parse_math=False)
    return save(figure, path)


def plot_removal(
    curves: RemovalCurves | Mapping[str, RemovalCurves], *, path: str | os.PathLike[str] | None = None
) -> Figure:
    """Draw the mean probability over the images as pixels are deleted or inserted, a line for each attribution.

    Parameters
    ----------
    curves : RemovalCurves, or dict of RemovalCurves by name
        As :func:`fastnet.visualize.deletion_test` or :func:`fastnet.visualize.insertion_test` returns them.
    path : path, optional
        As in :func:`plot_images`.

    Raises
    ------
    ValueError
        An empty dict.
    ImportError
        matplotlib is not installed.
    """
    named = {"": curves} if isinstance(curves, RemovalCurves) else dict(curves)
    if not named:
        raise ValueError("plot_removal: curves must hold those of at least one test")
    figure = new_figure(path, 6, 4.2)
    ax = figure.subplots()
    for name, each in named.items():
        label = f"{name}: area {each.areas.mean():.3f}".removeprefix(": ")
        ax.plot(each.shares, each.probabilities.mean(axis=0), "--" if name == "random" else "-", label=label)
    ax.set(
        xlabel="share of the pixels, largest attribution first", ylabel="probability of the class, mean", ylim=(0, 1)
    )
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)
    return save(figure, path)


def _images(what: str, images: ArrayLike) -> Array:
    given = on_host(images, f"{what}: images")
    if given.ndim != 4 or not given.size:
        raise ValueError(f"{what}: images must be (N, C, H, W) with N >= 1, got shape {given.shape}")
    return given


def _height(images: Array) -> float:
    """The height of a picture that is _SIDE wide, in inches."""
    return float(_SIDE * images.shape[2] / images.shape[3])


def _bounds(what: str, bounds: Any, picture: Array) -> tuple[float, float]:
    return value_range(picture) if bounds is None else limits(bounds, what)
