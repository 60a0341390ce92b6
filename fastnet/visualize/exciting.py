"""The patches of images that excite the units of a layer most."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastnet.arguments import integer, several
from fastnet.backends import current
from fastnet.drawing import new_figure, save
from fastnet.layers import Model
from fastnet.types import Array, ArrayLike
from fastnet.visualize.axes import cells, show
from fastnet.visualize.fields import ReceptiveField, receptive_field
from fastnet.visualize.grids import displayable, enlarged, tile
from fastnet.visualize.maps import each_batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Patches", "plot_patches", "top_patches"]

_FRAME = 0.6  # the grey between patches


class Patches(NamedTuple):
    """The result of :func:`top_patches`; M images for each of U units, strongest first.

    Attributes
    ----------
    units : tuple of int
    patches : array, (U, M, C, h, w), with the dtype of the images
        What the unit saw of the image; 0 where it saw padding.
    values : array, (U, M)
        What the unit answered.
    images : array, (U, M), integers
        The positions of the images in X.
    boxes : array, (U, M, 4), integers
        (top, bottom, left, right) of the patch in its image.
    inside : array, (U, M, h, w), bool
        Where the patch shows the image, not padding.
    """

    units: tuple[int, ...]
    patches: Array
    values: Array
    images: Array
    boxes: Array
    inside: Array


def top_patches(
    model: Model,
    X: ArrayLike,
    layer: str,
    units: Sequence[int] | int | None = None,
    count: int = 9,
    batch_size: int = 128,
) -> Patches:
    """The patches of images to which units of a layer answer most strongly, as in Zeiler & Fergus 2014.

    A unit is a channel of a convolution's map; each image counts once, with the position where the unit answers most.
    The patch is the unit's receptive field there, without padding.

    Parameters
    ----------
    model : Model
        Built; its `preprocessing` is applied first, as in ``model.predict``.
    X : array, (N, C, H, W)
        As the model's `predict` takes them.  Of images that `preprocessing` brings to one size, patches are those of
        the windows that it cuts.
    layer : str
        A layer's name, as ``model.summary()`` shows it; units of a layer without rows and columns see the whole image.
    units : int or sequence of int, optional
        Channels of the layer; default: all.
    count : int
        Patches for each unit; fewer if there are fewer images.
    batch_size : int
        Bounds the memory.

    Returns
    -------
    Patches

    Raises
    ------
    ValueError
        No layer or unit has this name or number, or X does not hold images as the model takes them.
    TypeError
        The receptive field is not known: see :func:`receptive_field`.
    RuntimeError
        The model is not built.
    """
    count, windows = integer(count, "top_patches: count"), getattr(model.preprocessing, "windows", None)
    images = windows(X) if windows else model.examples("top_patches: X", X, current())
    if len(images.shape) != 4 or not len(images):
        raise ValueError(f"top_patches: X must hold images (N, C, H, W), at least one, got shape {tuple(images.shape)}")
    field = receptive_field(model, layer, tuple(images.shape[1:]))
    found: tuple[Array, ...] = ()
    done = 0
    for maps in each_batch(model, images, layer, batch_size):
        flat = maps.reshape(*maps.shape[:2], -1)
        at = flat.argmax(axis=2).T  # (K, n)
        values = np.take_along_axis(flat, at.T[:, :, None], axis=2)[..., 0].T
        numbers = np.broadcast_to(np.arange(done, done + len(maps)), at.shape)
        found = _strongest(found, (values, numbers, at), count)
        done += len(maps)
    values, numbers, at = found
    chosen = _units(units, len(values))
    patches, boxes, inside = _cut(images, field, numbers[chosen], at[chosen])
    return Patches(tuple(chosen), patches, values[chosen], numbers[chosen], boxes, inside)


def _units(units: Sequence[int] | int | None, K: int) -> list[int]:
    if units is None:
        return list(range(K))
    given = several(units, "top_patches: units", "integers") if not isinstance(units, (int, np.integer)) else [units]
    chosen = [integer(unit, "top_patches: units", 0) for unit in given]
    if not chosen or max(chosen) >= K:
        raise ValueError(f"top_patches: units must be numbers from 0 to {K - 1}, at least one, got {units!r}")
    return chosen


def _strongest(kept: tuple[Array, ...], new: tuple[Array, ...], count: int) -> tuple[Array, ...]:
    """Of (values, images, positions), (K, n) each, those with the largest values; the first of equal ones."""
    both = tuple(np.concatenate(pair, axis=1) for pair in zip(kept, new, strict=True)) if kept else new
    order = np.argsort(-both[0], axis=1, kind="stable")[:, :count]
    return tuple(np.take_along_axis(each, order, axis=1) for each in both)


def _cut(images: Array, field: ReceptiveField, numbers: Array, at: Array) -> tuple[Array, Array, Array]:
    """The patches, their boxes, and where they show the image; pixels lie where they would in a whole field."""
    h, w = (min(pair) for pair in zip(field.size, images.shape[2:], strict=True))
    columns = len(field.columns)
    patches = np.zeros((*numbers.shape, images.shape[1], h, w), images.dtype)
    boxes, inside = np.zeros((*numbers.shape, 4), np.int64), np.zeros((*numbers.shape, h, w), bool)
    for index in np.ndindex(*numbers.shape):
        row, column = divmod(int(at[index]), columns)
        boxes[index] = top, bottom, left, right = field.box(row, column)
        down = _place(top - field.offset[0] - row * field.stride[0], h - (bottom - top))
        across = _place(left - field.offset[1] - column * field.stride[1], w - (right - left))
        part = images[int(numbers[index])][:, top:bottom, left:right]
        patches[index][:, down : down + bottom - top, across : across + right - left] = part
        inside[index][down : down + bottom - top, across : across + right - left] = True
    return patches, boxes, inside


def _place(inside: float, room: int) -> int:
    """Where the pixels begin in the patch: where they begin in the whole field, if there is room."""
    return int(min(max(inside, 0), room))


def plot_patches(patches: Patches, most: int = 12, path: str | os.PathLike[str] | None = None) -> Figure:
    """Draw the patches, a block for each unit, its strongest patch first; padding has the grey of the gaps.

    Parameters
    ----------
    patches : Patches
        As :func:`top_patches` returns them.
    most : int
        Draw at most this many units.
    path : path, optional
        Write the plot there (PNG, PDF, SVG by the suffix); no window or display is needed.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        Anything but Patches.
    ImportError
        matplotlib is not installed.
    """
    if not isinstance(patches, Patches):
        raise TypeError(f"plot_patches: patches must be the result of top_patches, got {patches!r}")
    count = min(len(patches.units), integer(most, "plot_patches: most"))
    columns = min(count, 4)
    rows = -(-count // columns)
    figure = new_figure(path, 2.4 * columns, 2.7 * rows)
    pictures = displayable(patches.patches, jointly=True)
    grey = _FRAME * (255 if pictures.dtype == np.uint8 else 1)
    for axes, n in zip(cells(figure, count, columns), range(count), strict=False):
        shown = np.where(patches.inside[n, :, None], pictures[n], pictures.dtype.type(grey))
        sheet = tile(enlarged(shown), fill=grey)
        show(axes, sheet, f"unit {patches.units[n]}")
    return save(figure, path)
