"""Many small pictures as one: their grey values brought to [0, 1], and a grid of them."""

from __future__ import annotations

import math

import numpy as np

from fastnet.arguments import flag, integer, real
from fastnet.arrays import on_host
from fastnet.types import Array, ArrayLike

__all__ = ["displayable", "enlarged", "stretch", "tile"]

_LEAST = 24  # pixels of an enlarged image's longer side


def stretch(images: ArrayLike, jointly: bool = False, symmetric: bool = False) -> Array:
    """Images with values from 0 to 1, to be shown.

    Parameters
    ----------
    images : array, (N, ...)
        Any finite numbers; uint8 images alike.
    jointly : bool
        Whether all images share one scale, which keeps their differences; by default each has its own.
    symmetric : bool
        Whether 0 becomes 0.5 and the largest absolute value 0 or 1, as suits weights; by default the least value
        becomes 0 and the largest 1.  Images of one value become 0.5, or 0 if the value is 0 and not `symmetric`.

    Returns
    -------
    array, (N, ...), float32

    Raises
    ------
    ValueError
        NaN or infinite values.
    """
    given = np.asarray(on_host(images, "stretch: images"), np.float64)
    jointly, symmetric = flag(jointly, "stretch: jointly"), flag(symmetric, "stretch: symmetric")
    if given.ndim < 2:
        raise ValueError(f"stretch: images must have shape (N, ...), got {given.shape}")
    if not np.isfinite(given).all():
        raise ValueError("stretch: images must be finite; NaN and infinite values have no grey value")
    axes = tuple(range(0 if jointly else 1, given.ndim))
    if not given.size:
        return given.astype(np.float32)
    low, high = given.min(axis=axes, keepdims=True), given.max(axis=axes, keepdims=True)
    if symmetric:
        high = np.maximum(high, -low)
        low = -high
    flat = high == low
    result: Array = (given - low) / np.where(flat, 1, high - low) + np.where(flat & ((low != 0) | symmetric), 0.5, 0)
    return result.astype(np.float32)


def displayable(images: Array, jointly: bool = False) -> Array:
    """Images as they can be shown: uint8 as they are, others with values from 0 to 1 (see :func:`stretch`)."""
    return images if images.dtype == np.uint8 else stretch(images, jointly)


def tile(images: ArrayLike, columns: int | None = None, gap: int = 1, fill: float = 1.0) -> Array:
    """Images side by side on one picture, row by row.

    Parameters
    ----------
    images : array, (N, C, H, W)
    columns : int, optional
        Images in a row; default: about as many as rows.
    gap : int
        Pixels between images.
    fill : float
        The value between images and after the last one.

    Returns
    -------
    array, (C, rows * (H + gap) - gap, columns * (W + gap) - gap), with the dtype of the images
    """
    given = on_host(images, "tile: images")
    if given.ndim != 4 or not given.size:
        raise ValueError(f"tile: images must have shape (N, C, H, W) and not be empty, got {given.shape}")
    N, C, H, W = given.shape
    gap, fill = integer(gap, "tile: gap", 0), real(fill, "tile: fill")
    columns = math.ceil(math.sqrt(N)) if columns is None else integer(columns, "tile: columns")
    rows = -(-N // columns)
    sheet = np.full((C, rows * (H + gap) - gap, columns * (W + gap) - gap), fill, given.dtype)
    for n in range(N):
        top, left = n // columns * (H + gap), n % columns * (W + gap)
        sheet[:, top : top + H, left : left + W] = given[n]
    return sheet


def enlarged(images: Array) -> Array:
    """Images (N, C, H, W) with each pixel repeated, so that the gaps of :func:`tile` are narrow beside them."""
    times = -(-_LEAST // max(images.shape[2:]))
    return images.repeat(times, axis=2).repeat(times, axis=3)
