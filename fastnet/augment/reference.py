"""The kernels in NumPy, one image at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastnet.types import Array

BITS = 22
"""Of the fractions of Pillow's weights."""


def crop(x: Array, size: tuple[int, ...], at: Array, fill: Array) -> Array:
    """See :func:`fastnet.augment.kernels.crop`."""
    y = np.empty((*x.shape[:2], *size), np.uint8)
    y[...] = fill[:, None, None]
    for image, target, (top, left, down, right) in zip(x, y, at.tolist(), strict=True):
        rows, columns = slice(max(top, 0), top + size[0]), slice(max(left, 0), left + size[1])
        if rows.stop > rows.start and columns.stop > columns.start:
            part = image[:, rows, columns]
            h, w = rows.start - top, columns.start - left
            target[:, h : h + part.shape[1], w : w + part.shape[2]] = part
        if down or right:
            target[...] = target[:, :: -1 if down else 1, :: -1 if right else 1].copy()
    return y


def _triangle(t: Array) -> Array:
    values: Array = np.maximum(1 - np.abs(t), 0)
    return values


def _box(t: Array) -> Array:
    return ((t > -0.5) & (t <= 0.5)).astype(np.float64)


def _cubic(t: Array) -> Array:
    """Keys 1981, with a = -1/2."""
    t = np.abs(t)
    near, far = (1.5 * t - 2.5) * t * t + 1, ((-0.5 * t + 2.5) * t - 4) * t + 2
    return np.where(t < 1, near, np.where(t < 2, far, 0.0))


FILTERS: dict[str, tuple[float, Callable[[Array], Array]]] = {
    "box": (0.5, _box),
    "bilinear": (1.0, _triangle),
    "bicubic": (2.0, _cubic),
}


def weights(size: int, outputs: int, interpolation: str) -> Array:
    """The matrix (outputs, size) of Pillow's weights along an axis, times 2**22."""
    if interpolation == "nearest":
        matrix = np.zeros((outputs, size), np.int64)
        matrix[np.arange(outputs), (2 * np.arange(outputs) + 1) * size // (2 * outputs)] = 1 << BITS
        return matrix
    support, kernel = FILTERS[interpolation]
    scale = size / outputs
    wide = max(scale, 1.0)
    centre = (np.arange(outputs) + 0.5) * scale
    first = np.maximum((centre - support * wide + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + support * wide + 0.5).astype(np.int64), size)
    pixel = np.arange(size)
    values = kernel((pixel + 0.5 - centre[:, None]) / wide)
    values = values * ((pixel >= first[:, None]) & (pixel < last[:, None]))
    scaled = values / values.sum(axis=1, keepdims=True) * 2**BITS
    rounded: Array = np.trunc(scaled + np.where(scaled < 0, -0.5, 0.5)).astype(np.int64)
    return rounded


def _pass(x: Array, matrix: Array) -> Array:
    """x (..., size) times the weights, rounded."""
    sums = (x.astype(np.int64) @ matrix.T + (1 << BITS - 1)) >> BITS
    result: Array = sums.clip(0, 255).astype(np.uint8)
    return result


def resize(x: Array, size: tuple[int, ...], boxes: Array, interpolation: str) -> Array:
    """See :func:`fastnet.augment.kernels.resize`: Pillow's, along rows first."""
    y = np.empty((*x.shape[:2], *size), np.uint8)
    for image, target, (top, left, height, width) in zip(x, y, boxes.tolist(), strict=True):
        part = image[:, top : top + height, left : left + width]
        if width != size[1]:
            part = _pass(part, weights(width, size[1], interpolation))
        if height != size[0]:
            part = _pass(part.swapaxes(1, 2), weights(height, size[0], interpolation)).swapaxes(1, 2)
        target[...] = part
    return y
