"""Transforms that mix the images of a batch, and their labels with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.arguments import integer, real
from fastnet.augment.transform import Transform
from fastnet.types import Array, Generator

__all__ = ["CutMix", "MixUp"]

_ONE = 1 << 16  # weights of uint8 images are multiples of 1 / _ONE, so that integer arithmetic is exact


class Mixing(Transform):
    """A function ``(x, y, rng) -> (x, soft labels)``; a subclass defines ``mix(x, partners, share, rng)``.

    As in torchvision, the partner of image i is image i - 1 of the batch (of the first one, the last), and one number
    is drawn for the whole batch.

    Parameters
    ----------
    alpha : float
        The share of an image itself is drawn from Beta(alpha, alpha); it must be positive.
    num_classes : int, optional
        Needed for labels that are class numbers; a Loader passes soft labels.
    """

    mixes_labels = True

    def __init__(self, alpha: float = 1.0, num_classes: int | None = None) -> None:
        name = type(self).__name__
        self.alpha = real(alpha, f"{name}: alpha")
        if self.alpha <= 0:
            raise ValueError(f"{name}: alpha must be above 0, got {alpha!r}")
        self.num_classes = None if num_classes is None else integer(num_classes, f"{name}: num_classes")

    def __call__(self, x: Array, y: Array, rng: Generator) -> Any:  # type: ignore[override]  # labels, too
        """Mix a batch.

        Parameters
        ----------
        x : array (N, C, H, W), uint8 or float
        y : int array (N,) of class numbers, or float array (N, classes) of probabilities
        rng : numpy.random.Generator

        Returns
        -------
        x : array (N, C, H, W)
        y : float array (N, classes)
        """
        name = type(self).__name__
        if not isinstance(x, np.ndarray) or x.ndim != 4 or (x.dtype != np.uint8 and x.dtype.kind != "f"):
            given = f"{x.dtype} {x.shape}" if isinstance(x, np.ndarray) else repr(type(x).__name__)
            given += "; let RandomResizedCrop(size) come before it" if isinstance(x, list) else ""
            raise TypeError(f"{name}: x must be images of one size, (N, C, H, W), uint8 or floats, got {given}")
        if y.ndim == 1:
            if self.num_classes is None:
                raise ValueError(
                    f"{name}: labels that are class numbers need num_classes, such as {name}(num_classes=10)"
                )
            y = _one_hot(y, self.num_classes, name)
        if y.ndim != 2 or len(y) != len(x):
            raise ValueError(
                f"{name}: y must be classes ({len(x)},) or probabilities ({len(x)}, classes), got {y.shape}"
            )
        x, share = self.mix(x, np.roll(x, 1, axis=0), rng.beta(self.alpha, self.alpha), rng)
        return x, y * y.dtype.type(share) + np.roll(y, 1, axis=0) * y.dtype.type(1 - share)

    def mix(self, x: Array, partners: Array, share: float, rng: Generator) -> tuple[Array, float]:
        """The mixed images, and the share of x in them."""
        raise NotImplementedError(f"{type(self).__name__} must define mix(x, partners, share, rng)")


class MixUp(Mixing):
    """``share * x + (1 - share) * partner``, and labels likewise (Zhang et al. 2018, arXiv:1710.09412).

    uint8 images are rounded to the nearest integer; the share is then a multiple of 2^-16.
    """

    def mix(self, x: Array, partners: Array, share: float, rng: Generator) -> tuple[Array, float]:
        if x.dtype.kind == "f":
            return x * x.dtype.type(share) + partners * x.dtype.type(1 - share), share
        weight = round(share * _ONE)
        mixed: Array = x * np.uint32(weight) + partners * np.uint32(_ONE - weight) + np.uint32(_ONE // 2)
        return (mixed >> np.uint32(16)).astype(np.uint8), weight / _ONE


class CutMix(Mixing):
    """A box of the partner is pasted into the image, and labels are mixed by area (Yun et al. 2019, arXiv:1905.04899).

    The box covers 1 - share of the image's area around a random centre and is clipped at the border; the labels are
    mixed by the area that is actually pasted.
    """

    def mix(self, x: Array, partners: Array, share: float, rng: Generator) -> tuple[Array, float]:
        height, width = x.shape[2:]
        middle = np.array([rng.integers(height), rng.integers(width)])
        half = (np.array([height, width]) * (0.5 * np.sqrt(1 - share))).astype(int)
        top, left = np.maximum(middle - half, 0)
        bottom, right = np.minimum(middle + half, (height, width))
        mixed = x.copy()
        mixed[:, :, top:bottom, left:right] = partners[:, :, top:bottom, left:right]
        return mixed, 1 - (bottom - top) * (right - left) / (height * width)


def _one_hot(y: Array, classes: int, name: str) -> Array:
    """Class numbers (N,) as probabilities (N, classes), float32."""
    if y.dtype.kind not in "iu" or (len(y) and not 0 <= y.min() <= y.max() < classes):
        found = f"{y.min()} to {y.max()}" if y.dtype.kind in "iu" else f"{y.dtype}"
        raise ValueError(f"{name}: labels must be integers from 0 to {classes - 1}, got {found}")
    return np.eye(classes, dtype=np.float32)[y]
