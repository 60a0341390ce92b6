"""Colours and sharpness of uint8 batches (N, C, H, W), with one number for each image; torchvision's definitions."""

from __future__ import annotations

import numpy as np

from fastnet.augment import kernels
from fastnet.augment.reference import OPERATIONS
from fastnet.types import Array

__all__ = [
    "NUMBERS",
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

NUMBERS = {name: number for number, name in enumerate(OPERATIONS)}
"""The number of each operation in the programs of :func:`kernels.adjust`."""


def _alone(x: Array, name: str, strength: Array) -> Array:
    return kernels.adjust(x, np.full((len(x), 1), NUMBERS[name]), strength[:, None])


def brightness(x: Array, factor: Array) -> Array:
    """factor * x."""
    return _alone(x, "brightness", factor)


def contrast(x: Array, factor: Array) -> Array:
    """factor * x + (1 - factor) * (mean of the image in grey)."""
    return _alone(x, "contrast", factor)


def saturation(x: Array, factor: Array) -> Array:
    """factor * x + (1 - factor) * (the image in grey); images without colour stay."""
    return _alone(x, "saturation", factor)


def hue(x: Array, shift: Array) -> Array:
    """The hue of HSV moved by a share of the circle."""
    return _alone(x, "hue", shift)


def sharpness(x: Array, factor: Array) -> Array:
    """factor * x + (1 - factor) * (x blurred over 3 x 3 pixels); the border stays."""
    return _alone(x, "sharpness", factor)


def posterize(x: Array, bits: Array) -> Array:
    """The upper bits of each value."""
    return _alone(x, "posterize", bits)


def solarize(x: Array, threshold: Array) -> Array:
    """255 - x where x >= threshold."""
    return _alone(x, "solarize", threshold)


def invert(x: Array) -> Array:
    """255 - x."""
    return _alone(x, "invert", np.zeros(len(x)))


def autocontrast(x: Array) -> Array:
    """Each channel stretched to 0..255."""
    return _alone(x, "autocontrast", np.zeros(len(x)))


def equalize(x: Array) -> Array:
    """Each channel with a uniform histogram, as Pillow does it."""
    return _alone(x, "equalize", np.zeros(len(x)))


def offset(x: Array, amount: Array) -> Array:
    """x + amount, (N, C), rounded."""
    values = np.arange(256) + np.rint(amount)[..., None]
    return kernels.lookup(x, np.clip(values, 0, 255).astype(np.uint8))
