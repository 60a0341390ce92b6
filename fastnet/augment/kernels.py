"""The arithmetic of transforms, on uint8 batches (N, C, H, W) in C order: in C, or in NumPy with the same bits."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnet import backends
from fastnet.augment import reference
from fastnet.augment.reference import OPERATIONS
from fastnet.types import Array

try:
    from fastnet.backends import _native
except ImportError:
    _native = None  # type: ignore[assignment]

__all__ = ["adjust", "blur", "colors", "crop", "gray", "lookup", "resize", "stream_words", "warp"]


def _compiled() -> bool:
    return bool(_native) and backends.current().name == "native"


def _sizes(x: Array) -> tuple[int, int, int, int]:
    N, C, H, W = x.shape
    return N, C, H, W


def _check_pixels(x: Array) -> None:
    if x.shape[2] * x.shape[3] >= 2**31:
        raise ValueError(f"images must have fewer than 2**31 pixels, got {x.shape[2]} x {x.shape[3]}")


def crop(x: Array, size: Sequence[int], at: Array, fill: Any = 0) -> Array:
    """Windows of images: (N, C, *size).

    Parameters
    ----------
    x : uint8 array (N, C, H, W)
    size : (height, width)
    at : int64 array (N, 4)
        Top and left of each window, which may be outside the image; whether it is flipped vertically, horizontally.
    fill : int or sequence of C ints
        Colour outside the image.
    """
    around = colors(fill, x.shape[1], "fill")
    if not _compiled():
        return reference.crop(x, tuple(size), at, around)
    y = np.empty((*x.shape[:2], *size), np.uint8)
    _native.image_crop(*_sizes(x), size[0], size[1], at, around, x, y)
    return y


def resize(x: Array, size: Sequence[int], boxes: Array, interpolation: str) -> Array:
    """Boxes of images in another size, with Pillow's antialiasing: (N, C, *size).

    Parameters
    ----------
    x : uint8 array (N, C, H, W)
    size : (height, width)
    boxes : int64 array (N, 4)
        Top, left, height and width of the part of each image that is resized.
    interpolation : "nearest", "bilinear", "bicubic" or "box"
    """
    if not _compiled():
        return reference.resize(x, tuple(size), boxes, interpolation)
    places = np.full((len(x), 6), -1, np.int64)
    places[:, :4] = boxes
    tables: list[Array] = []
    used = 0
    for column, side, outputs in ((4, 3, size[1]), (5, 2, size[0])):
        lengths, which = np.unique(boxes[:, side], return_inverse=True)
        known = np.full(len(lengths), -1, np.int64)
        for i, length in enumerate(lengths.tolist()):
            if length != outputs:
                tables.append(_table(length, outputs, interpolation))
                known[i], used = used, used + len(tables[-1])
        places[:, column] = known[which]
    y = np.empty((*x.shape[:2], *size), np.uint8)
    joined = np.concatenate(tables) if tables else np.zeros(1, np.int64)
    _native.image_resize(*_sizes(x), size[0], size[1], places, joined, x, y)
    return y


@functools.lru_cache(maxsize=2048)
def _table(size: int, outputs: int, interpolation: str) -> Array:
    """The kernel's table: taps, the first input of each output, the weights of each output."""
    matrix = reference.weights(size, outputs, interpolation)
    used = matrix != 0
    first, last = used.argmax(axis=1), size - used[:, ::-1].argmax(axis=1)
    taps = int((last - first).max())
    first = np.minimum(first, size - taps)
    weights = np.take_along_axis(matrix, first[:, None] + np.arange(taps), axis=1)
    return np.concatenate([[taps], first, weights.reshape(-1)]).astype(np.int64)


def warp(x: Array, size: Sequence[int], maps: Array, interpolation: str, fill: Any = 0) -> Array:
    """Images that read other places of themselves: (N, C, *size).

    Parameters
    ----------
    x : uint8 array (N, C, H, W)
    size : (height, width)
    maps : int64 array (N, 13)
        The place of each output, as csrc/image/warp.h describes it.
    interpolation : "nearest" or "bilinear"
    fill : int or sequence of C ints
        Colour outside the image.
    """
    around, bilinear = colors(fill, x.shape[1], "fill"), interpolation == "bilinear"
    if not _compiled():
        return reference.warp(x, tuple(size), maps, bilinear, around)
    _check_pixels(x)
    y = np.empty((*x.shape[:2], *size), np.uint8)
    _native.image_warp(*_sizes(x), size[0], size[1], bilinear, maps, around, x, y)
    return y


def lookup(x: Array, tables: Array) -> Array:
    """tables[n, c][x], for uint8 tables (N, C, 256)."""
    if not _compiled():
        return reference.lookup(x, tables)
    y = np.empty(x.shape, np.uint8)
    _native.image_lookup(x.shape[0] * x.shape[1], x.shape[2] * x.shape[3], tables, x, y)
    return y


def gray(x: Array) -> Array:
    """0.2989 red + 0.587 green + 0.114 blue, rounded down: (N, 1, H, W) from (N, 3, H, W)."""
    if not _compiled():
        return reference.gray(x)
    y = np.empty((len(x), 1, *x.shape[2:]), np.uint8)
    _native.image_gray(len(x), x.shape[2] * x.shape[3], x, y)
    return y


def adjust(
    x: Array,
    operations: Array,
    strengths: Array,
    maps: Array | None = None,
    interpolation: str = "nearest",
    fill: Any = 0,
) -> Array:
    """Operations on colours, one after the other for each image, as many for all.

    Parameters
    ----------
    x : uint8 array (N, C, H, W)
    operations : int array (N, T)
        Numbers of `reference.OPERATIONS`, or `reference.WARP`.
    strengths : array (N, T)
        Of each operation; for WARP the row of `maps`.
    maps : int64 array (M, 13), optional
        See `warp`, as of `interpolation` and `fill`.

    Raises
    ------
    ValueError
        A hue for images that do not have 3 channels.
    """
    if x.shape[1] != 3:
        names = list(OPERATIONS)
        if (operations == names.index("hue")).any():
            raise ValueError(f"a hue needs images of 3 channels (red, green, blue), got {x.shape[1]}; use hue=0")
        operations = np.where(operations == names.index("saturation"), 0, operations)
    around, bilinear = colors(fill, x.shape[1], "fill"), interpolation == "bilinear"
    places = np.zeros((1, 13), np.int64) if maps is None or not len(maps) else maps
    steps = (np.ascontiguousarray(operations, np.int64), np.ascontiguousarray(strengths, np.float64))
    if not _compiled():
        return reference.adjust(x, *steps, places, bilinear, around)
    _check_pixels(x)
    y = np.empty(x.shape, np.uint8)
    _native.image_adjust(*_sizes(x), operations.shape[1], *steps, places, bilinear, around, x, y)
    return y


def blur(x: Array, rows: Array, columns: Array) -> Array:
    """x filtered along columns, then along rows, and reflected at its border.

    Parameters
    ----------
    x : uint8 array (N, C, H, W)
    rows, columns : int64 arrays (N, R) and (N, S)
        Weights of each image down and across, which add up to 2**16; R and S are odd, R // 2 < H and S // 2 < W.
    """
    if not _compiled():
        return reference.blur(x, rows, columns)
    y = np.empty(x.shape, np.uint8)
    _native.image_blur(*_sizes(x), rows.shape[1], columns.shape[1], rows, columns, x, y)
    return y


def stream_words(numbers: Array, first: int, blocks: int, key: tuple[int, int]) -> Array:
    """Random words of several streams: uint32 (N, blocks, 4).

    Parameters
    ----------
    numbers : int64 array (N,)
        Of the streams, below 2**32.
    first : int
        The first block of each.
    blocks : int
    key : two integers of 64 bits
    """
    if not _compiled():
        return reference.stream_words(numbers, first, blocks, key)
    words = np.empty((len(numbers), blocks, 4), np.uint32)
    _native.stream_words(len(numbers), blocks, *key, first, numbers, words)
    return words


def fill_of(value: Any, name: str) -> Any:
    """The argument `fill`: a number from 0 to 255, or a sequence of them; None is 0."""
    value = 0 if value is None else value
    try:
        given = np.atleast_1d(np.asarray(value))
    except ValueError:  # lists of different lengths
        given = np.empty((0, 0))
    if given.ndim != 1 or not len(given) or given.dtype.kind not in "iuf":
        raise ValueError(f"{name} must be a number, or one for each channel, got {value!r}")
    if not ((given >= 0) & (given <= 255)).all():
        raise ValueError(f"{name} must be between 0 and 255, got {value!r}")
    return value


def colors(value: Any, channels: int, name: str) -> Array:
    """One number or `channels` numbers from 0 to 255 as uint8 (channels,)."""
    given = np.atleast_1d(np.asarray(fill_of(value, name)))
    if len(given) not in (1, channels):
        raise ValueError(f"{name} must be a number or {channels} numbers, one for each channel, got {value!r}")
    return np.ascontiguousarray(np.broadcast_to(given, channels).astype(np.uint8))
