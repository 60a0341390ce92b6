"""The arithmetic of transforms, on batches of images of one size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnet.augment import reference
from fastnet.types import Array

__all__ = ["colors", "crop", "resize"]


def crop(x: Array, size: Sequence[int], at: Array, fill: Any = 0) -> Array:
    """Windows of images, uint8 (N, C, H, W) to (N, C, *size).

    Parameters
    ----------
    x : uint8 array (N, C, H, W)
    size : (height, width)
    at : int array (N, 4)
        Top and left of each window, which may be outside the image; whether it is flipped vertically, horizontally.
    fill : int or sequence of C ints
        Colour outside the image.
    """
    return reference.crop(x, tuple(size), at, colors(fill, x.shape[1], "fill"))


def resize(x: Array, size: Sequence[int], boxes: Array, interpolation: str) -> Array:
    """Boxes of images in another size, with Pillow's antialiasing: uint8 (N, C, H, W) to (N, C, *size).

    Parameters
    ----------
    x : uint8 array (N, C, H, W)
    size : (height, width)
    boxes : int array (N, 4)
        Top, left, height and width of the part of each image that is resized.
    interpolation : "nearest", "bilinear", "bicubic" or "box"
    """
    return reference.resize(x, tuple(size), boxes, interpolation)


def colors(value: Any, channels: int, name: str) -> Array:
    """One number or `channels` numbers from 0 to 255 as uint8 (channels,)."""
    given = np.atleast_1d(np.asarray(0 if value is None else value))
    if given.ndim != 1 or len(given) not in (1, channels) or given.dtype.kind not in "iuf":
        raise ValueError(f"{name} must be a number or {channels} numbers, one for each channel, got {value!r}")
    if not ((given >= 0) & (given <= 255)).all():
        raise ValueError(f"{name} must be between 0 and 255, got {value!r}")
    return np.broadcast_to(given, channels).astype(np.uint8)
