"""Colours and sharpness of uint8 batches (N, C, H, W), with one number for each image; torchvision's definitions.

Tables of 256 values do what depends on a value alone; the kernels do the rest with factors of 16 bits of fraction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnet.augment import kernels
from fastnet.types import Array

__all__ = [
    "autocontrast",
    "brightness",
    "contrast",
    "equalize",
    "hue",
    "invert",
    "offset",
    "posterize",
    "saturation",
    "sharpness",
    "solarize",
]

_VALUES = np.arange(256)


def _mapped(x: Array, values: Any) -> Array:
    """x through tables, (N, 256) or (N, C, 256), which are cut off at 0 and 255 and rounded down."""
    tables = np.clip(values, 0, 255).astype(np.uint8)
    shape = (len(x), x.shape[1], 256)
    tables = np.broadcast_to(tables[:, None] if tables.ndim == 2 else tables, shape)
    return kernels.lookup(x, np.ascontiguousarray(tables))


def brightness(x: Array, factor: Array) -> Array:
    """factor * x."""
    return _mapped(x, _VALUES.astype(np.float32) * factor[:, None].astype(np.float32))


def contrast(x: Array, factor: Array) -> Array:
    """factor * x + (1 - factor) * (mean of the image in grey)."""
    counts = kernels.histogram(kernels.gray(x) if x.shape[1] == 3 else x).sum(axis=1)
    mean = counts @ _VALUES / counts.sum(axis=1)
    return _mapped(x, _VALUES * factor[:, None] + ((1 - factor) * mean)[:, None])


def saturation(x: Array, factor: Array) -> Array:
    """factor * x + (1 - factor) * (the image in grey); images without colour stay."""
    return kernels.saturate(x, _fixed(factor)) if x.shape[1] == 3 else x


def hue(x: Array, shift: Array) -> Array:
    """The hue of HSV moved by a share of the circle."""
    if x.shape[1] != 3:
        raise ValueError(f"a hue needs images of 3 channels (red, green, blue), got {x.shape[1]}; use hue=0")
    return kernels.hue(x, np.rint(shift * 6 * 65536).astype(np.int64))


def sharpness(x: Array, factor: Array) -> Array:
    """factor * x + (1 - factor) * (x blurred over 3 x 3 pixels); the border stays."""
    return kernels.sharpen(x, _fixed(1 - factor))


def posterize(x: Array, bits: Array) -> Array:
    """The upper bits of each value."""
    return _mapped(x, _VALUES & (256 - (1 << (8 - bits.astype(np.int64))))[:, None])


def solarize(x: Array, threshold: Array) -> Array:
    """255 - x where x >= threshold."""
    return _mapped(x, np.where(threshold[:, None] <= _VALUES, 255 - _VALUES, _VALUES))


def invert(x: Array) -> Array:
    """255 - x."""
    return ~x


def offset(x: Array, amount: Array) -> Array:
    """x + amount, (N, C), rounded."""
    return _mapped(x, _VALUES + np.rint(amount)[..., None])


def autocontrast(x: Array) -> Array:
    """Each channel stretched to 0..255."""
    seen = kernels.histogram(x) > 0
    low, high = seen.argmax(axis=-1)[..., None], 255 - seen[..., ::-1].argmax(axis=-1)[..., None]
    stretched = (_VALUES - low) * np.where(high > low, 255, 1) // np.maximum(high - low, 1)
    return _mapped(x, np.where(high > low, stretched, _VALUES))


def equalize(x: Array) -> Array:
    """Each channel with a uniform histogram, as Pillow does it."""
    counts = kernels.histogram(x)
    last = np.take_along_axis(counts, 255 - (counts > 0)[..., ::-1].argmax(axis=-1)[..., None], axis=-1)
    step = (counts.sum(axis=-1, keepdims=True) - last) // 255
    below = np.cumsum(counts, axis=-1) - counts
    return _mapped(x, np.where(step > 0, (below + step // 2) // np.maximum(step, 1), _VALUES))


def _fixed(factor: Array) -> Array:
    """16 bits of fraction; beyond 64 a factor makes no difference."""
    fixed: Array = np.rint(np.clip(factor, -64, 64) * 65536).astype(np.int64)
    return fixed


OPERATIONS: dict[str, Callable[[Array, Array], Array]] = {
    "brightness": brightness,
    "contrast": contrast,
    "saturation": saturation,
    "hue": hue,
}
