"""The kernels in NumPy, one image at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastnet.ops import philox
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


def lookup(x: Array, tables: Array) -> Array:
    """See :func:`fastnet.augment.kernels.lookup`."""
    flat: Array = np.take_along_axis(tables, x.reshape(*x.shape[:2], -1).astype(np.intp), axis=-1)
    return flat.reshape(x.shape)


def gray(x: Array) -> Array:
    """See :func:`fastnet.augment.kernels.gray`."""
    r, g, b = (x[:, i : i + 1].astype(np.int64) for i in range(3))
    values: Array = (2989 * r + 5870 * g + 1140 * b) // 10000
    return values.astype(np.uint8)


_ONE = 1 << 16


def _fixed(factor: float) -> int:
    """16 bits of fraction; beyond 64 a factor makes no difference."""
    return round(min(max(factor, -64.0), 64.0) * _ONE)


def _brightness(x: Array, strength: float) -> Array:
    return x.astype(np.float32) * np.float32(strength)


def _contrast(x: Array, strength: float) -> Array:
    grey, factor = gray(x[None]) if len(x) == 3 else x, _fixed(strength)
    return (x.astype(np.int64) * factor + (_ONE - factor) * int(grey.sum(dtype=np.int64)) // grey.size) >> 16


def _saturation(x: Array, strength: float) -> Array:
    factor = _fixed(strength)
    mixed: Array = (x.astype(np.int64) * factor + gray(x[None])[0].astype(np.int64) * (_ONE - factor)) >> 16
    return mixed


def _hue(x: Array, strength: float) -> Array:
    r, g, b = x.astype(np.int64)
    high, low = x.max(axis=0).astype(np.int64), x.min(axis=0).astype(np.int64)
    span, is_r, is_g = high - low, high == r, high == g
    across = np.where(is_r, g - b, np.where(is_g, b - r, r - g)) * _ONE
    part = np.sign(across) * (np.abs(across) // np.maximum(span, 1))
    place = (np.where(is_r, 0, np.where(is_g, 2, 4)) * _ONE + part + round(strength * 6 * _ONE)) % (6 * _ONE)
    sector, part = place >> 16, span * (place & (_ONE - 1))
    falls, rises = (high << 16) - part, (low << 16) + part
    values = np.stack([high, low, (falls + (falls >> 8)) >> 16, (rises + (rises >> 8)) >> 16])
    which = np.array([[0, 2, 1, 1, 3, 0], [3, 0, 0, 2, 1, 1], [1, 1, 3, 0, 0, 2]])
    return np.stack([np.take_along_axis(values, row[sector][None], axis=0)[0] for row in which])


def _sharpness(x: Array, strength: float) -> Array:
    y = x.astype(np.int64)
    height, width = x.shape[1:]
    if height > 2 and width > 2:
        shifts = [(i, j) for i in range(3) for j in range(3)]
        middle = y[:, 1:-1, 1:-1]
        total = 4 * middle + sum(y[:, i : height - 2 + i, j : width - 2 + j] for i, j in shifts)
        mean = (2 * total + 13) // 26
        sharp = (middle * _ONE + (mean - middle) * _fixed(1 - strength)) >> 16
        y[:, 1:-1, 1:-1] = sharp
    return y


def _posterize(x: Array, strength: float) -> Array:
    return x & (256 - (1 << (8 - int(strength))))


def _solarize(x: Array, strength: float) -> Array:
    return np.where(x >= strength, 255 - x, x)


def _autocontrast(x: Array, strength: float) -> Array:
    low, high = (reduced.astype(np.int64) for reduced in (x.min((1, 2), keepdims=True), x.max((1, 2), keepdims=True)))
    return np.where(high > low, (x - low) * 255 // np.maximum(high - low, 1), x)


def _equalize(x: Array, strength: float) -> Array:
    y = np.empty_like(x)
    for plane, out in zip(x, y, strict=True):
        counts = np.bincount(plane.reshape(-1), minlength=256)
        step = int(plane.size - counts[counts > 0][-1]) // 255
        table = (np.cumsum(counts) - counts + step // 2) // step if step else np.arange(256)
        out[...] = table.clip(0, 255).astype(np.uint8)[plane]
    return y


OPERATIONS: dict[str, Callable[[Array, float], Array]] = {
    "none": lambda x, strength: x,
    "brightness": _brightness,
    "contrast": _contrast,
    "saturation": _saturation,
    "hue": _hue,
    "sharpness": _sharpness,
    "posterize": _posterize,
    "solarize": _solarize,
    "invert": lambda x, strength: 255 - x,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
}
"""On an image (C, H, W), in the order of their numbers in csrc/image/adjust.h, where the formulas are; then WARP."""
WARP = len(OPERATIONS)


def adjust(x: Array, operations: Array, strengths: Array, maps: Array, bilinear: bool, fill: Array) -> Array:
    """See :func:`fastnet.augment.kernels.adjust`."""
    functions, y = list(OPERATIONS.values()), x.copy()
    for image, numbers, each in zip(y, operations.tolist(), strengths.tolist(), strict=True):
        for number, strength in zip(numbers, each, strict=True):
            if number == WARP:
                row = maps[int(strength)][None]
                image[...] = warp(image[None], image.shape[1:], row, bilinear, fill)[0]
            else:
                image[...] = functions[number](image, strength).clip(0, 255).astype(np.uint8)
    return y


def blur(x: Array, rows: Array, columns: Array) -> Array:
    """See :func:`fastnet.augment.kernels.blur`."""
    up, left = rows.shape[1] // 2, columns.shape[1] // 2
    padded = np.pad(x.astype(np.int64), ((0, 0), (0, 0), (up, up), (left, left)), "reflect")
    height, width = x.shape[2:]
    down = [padded[:, :, r : r + height] * rows[:, r, None, None, None] for r in range(rows.shape[1])]
    middle = (np.sum(down, axis=0) + 128) >> 8
    across = [middle[..., s : s + width] * columns[:, s, None, None, None] for s in range(columns.shape[1])]
    result: Array = (np.sum(across, axis=0) + (1 << 23)) >> 24
    return result.astype(np.uint8)


def _sources(m: list[int], P: int, Q: int) -> tuple[Array, Array, Array]:
    """The column and row that each output reads, with 32 bits of fraction, and whether it reads any."""
    q, p = np.arange(Q)[None, :], np.arange(P)[:, None]
    u = m[0] * q + m[1] * p + (m[2] + int((m[0] + m[1]) / 2))
    v = m[3] * q + m[4] * p + (m[5] + int((m[3] + m[4]) / 2))
    reads = np.ones((P, Q), bool)
    if m[6] or m[7]:
        w = (m[6] * q + m[7] * p + (2**32 + int((m[6] + m[7]) / 2))).astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            across, down = u / w, v / w
        reads = (w > 0) & (np.abs(across) < 2**24) & (np.abs(down) < 2**24)
        u, v = (np.where(reads, place * 2**32, 0).astype(np.int64) for place in (across, down))
    if m[8] or m[9]:
        du, dv = u - m[10], v - m[11]
        x, y = ((du >> 16) * m[12]) >> 26, ((dv >> 16) * m[12]) >> 26
        r = (x * x + y * y) >> 20
        factor = (1 << 20) + ((m[8] * r) >> 20) + ((((m[9] * r) >> 20) * r) >> 20)
        u, v = m[10] + (((du >> 12) * factor) >> 8), m[11] + (((dv >> 12) * factor) >> 8)
    return u, v, reads


def warp(x: Array, size: tuple[int, ...], maps: Array, bilinear: bool, fill: Array) -> Array:
    """See :func:`fastnet.augment.kernels.warp`."""
    H, W = x.shape[2:]
    y = np.empty((*x.shape[:2], *size), np.uint8)
    for image, target, numbers in zip(x, y, maps.tolist(), strict=True):
        u, v, reads = _sources(numbers, *size)
        framed = np.pad(image, ((0, 0), (1, 1), (1, 1))).astype(np.int64)
        framed[:, [0, -1]] = fill[:, None, None]
        framed[:, :, [0, -1]] = fill[:, None, None]
        if bilinear:
            u, v = u - (1 << 31), v - (1 << 31)
        row, column = (v >> 32) + 1, (u >> 32) + 1
        pixels = [framed[:, (row + i).clip(0, H + 1), (column + j).clip(0, W + 1)] for i in range(2) for j in range(2)]
        if not bilinear:
            target[...] = np.where(reads, pixels[0], fill[:, None, None])
            continue
        right, below = (u >> 21) & 2047, (v >> 21) & 2047
        upper, lower = (pixels[k] * (2048 - right) + pixels[k + 1] * right for k in (0, 2))
        mixed = (upper * (2048 - below) + lower * below + (1 << 21)) >> 22
        target[...] = np.where(reads, mixed, fill[:, None, None])
    return y


def stream_words(numbers: Array, first: int, blocks: int, key: tuple[int, int]) -> Array:
    """See :func:`fastnet.augment.kernels.stream_words`."""
    number, block = np.broadcast_arrays(numbers.astype(np.uint64)[:, None], first + np.arange(blocks, dtype=np.uint64))
    low, high = (np.full_like(block, half) for half in (key[1] & 0xFFFFFFFF, key[1] >> 32))
    return philox.bijection((block, number, low, high), key[0])
