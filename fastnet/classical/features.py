"""Features of images: colour histograms, histograms of oriented gradients; each a row of numbers for an image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np

from fastnet.arguments import flag, integer, pair, positive
from fastnet.arrays import on_host
from fastnet.classical.base import in_chunks
from fastnet.types import Array, ArrayLike, Pair

__all__ = ["HOG", "ColorHistogram", "Features", "hue"]


def images_of(name: str, X: ArrayLike) -> Array:
    """X as images (N, C, H, W); TypeError or ValueError if it is not."""
    images = on_host(X, name)
    if images.ndim != 4 or not images.size:
        raise ValueError(f"{name} must be images (N, C, H, W), got shape {images.shape}")
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        raise ValueError(f"{name} holds NaN or infinity")
    return images


class Features(ABC):
    """The base class: ``fit(X)`` returns itself, ``transform(X)`` turns images (N, C, H, W) into rows (N, F)."""

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Learn what the features need to know of the training images: nothing, for most."""
        return self

    def transform(self, X: ArrayLike) -> Array:
        """The features of images (N, C, H, W), float64 (N, F)."""
        images = images_of(f"{type(self).__name__}.transform: X", X)
        return in_chunks(self._features, images, self._size(images))

    def _size(self, images: Array) -> int:
        """How many numbers :meth:`_features` needs for an image at a time."""
        return int(images[0].size)

    def fit_transform(self, X: ArrayLike, y: ArrayLike | None = None) -> Array:
        """``fit(X).transform(X)``."""
        return self.fit(X, y).transform(X)

    @abstractmethod
    def _features(self, images: Array) -> Array:
        """The features of checked images."""


def hue(rgb: Array) -> Array:
    """The hue, in [0, 1), of colours (..., 3): 0 is red, 1/3 green, 2/3 blue; grey has 0.

    The H of HSV (Smith 1978, "Color gamut transform pairs").
    """
    rgb = np.asarray(rgb, np.float64)
    high, low = rgb.max(axis=-1), rgb.min(axis=-1)
    span = np.where(high > low, high - low, 1)
    r, g, b = np.moveaxis((high[..., None] - rgb) / span[..., None], -1, 0)
    sixths = np.where(rgb[..., 0] == high, b - g, np.where(rgb[..., 1] == high, 2 + r - b, 4 + g - r))
    return np.asarray(np.where(high > low, sixths / 6 % 1, 0))


class ColorHistogram(Features):
    """The fractions of an image's pixels with each hue, or with each value of red, green and blue.

    Parameters
    ----------
    bins : int
    space : "hue" or "rgb"
        Of "hue" there are `bins` numbers, of "rgb" `bins` for each channel.
    highest : float, optional
        The value of full brightness: by default 255 for integers, 1 for floats.  Larger values are an error.
    """

    def __init__(self, bins: int = 10, space: str = "hue", highest: float | None = None) -> None:
        if space not in ("hue", "rgb"):
            raise ValueError(f"ColorHistogram: space must be 'hue' or 'rgb', got {space!r}")
        self.bins, self.space = integer(bins, "ColorHistogram: bins"), space
        self.highest = None if highest is None else positive(highest, "ColorHistogram: highest")

    def _features(self, images: Array) -> Array:
        if images.shape[1] != 3:
            raise ValueError(f"ColorHistogram: images must have 3 channels, got {images.shape[1]}")
        highest = self.highest or (255 if images.dtype.kind in "iu" else 1)
        if images.min() < 0 or images.max() > highest:
            raise ValueError(
                f"ColorHistogram: values must lie in [0, {highest:g}], got [{images.min():g}, {images.max():g}]; give "
                "highest="
            )
        if self.space == "hue":
            values = hue(images.transpose(0, 2, 3, 1) / highest).reshape(len(images), 1, -1)
        else:
            values = images.reshape(len(images), 3, -1) / highest
        rows, channels, pixels = values.shape
        which = np.minimum((values * self.bins).astype(np.int64), self.bins - 1)
        which += self.bins * np.arange(rows * channels).reshape(rows, channels, 1)
        counts = np.bincount(which.ravel(), minlength=rows * channels * self.bins)
        return np.asarray(counts.reshape(rows, channels * self.bins) / pixels)


_EPS = 1e-5


def _normalize(blocks: Array, norm: str) -> Array:
    """Blocks of numbers along the last axis, normalised as Dalal and Triggs name it."""
    if norm == "none":
        return blocks
    if norm.startswith("L1"):
        blocks = blocks / (np.abs(blocks).sum(axis=-1, keepdims=True) + _EPS)
        return np.asarray(np.sqrt(blocks) if norm == "L1-sqrt" else blocks)
    blocks = blocks / np.sqrt((blocks**2).sum(axis=-1, keepdims=True) + _EPS**2)
    if norm == "L2-Hys":
        blocks = np.minimum(blocks, 0.2)
        blocks = blocks / np.sqrt((blocks**2).sum(axis=-1, keepdims=True) + _EPS**2)
    return np.asarray(blocks)


_NORMS = ("L2-Hys", "L2", "L1", "L1-sqrt", "none")


class HOG(Features):
    """Histograms of oriented gradients (Dalal & Triggs 2005), with scikit-image's definition.

    Gradients are differences of the two neighbours, 0 at the border; of several channels, a pixel takes that of the
    largest gradient.  A cell's histogram adds the lengths of its pixels' gradients by their direction, without a sign,
    and divides by the number of pixels.  Overlapping blocks of cells are normalised, and all are strung together.

    Parameters
    ----------
    orientations : int
        Bins of 180 degrees.
    cell : int or pair
        Pixels of a cell, (rows, columns); pixels beyond the last whole cell do not count.
    block : int or pair
        Cells of a block.
    norm : "L2-Hys", "L2", "L1", "L1-sqrt" or "none"
    sqrt : bool
        Take the square root of the pixels first, which evens out illumination.
    """

    def __init__(
        self, orientations: int = 9, cell: Pair = 8, block: Pair = 3, norm: str = "L2-Hys", sqrt: bool = False
    ) -> None:
        if norm not in _NORMS:
            raise ValueError(f"HOG: norm must be one of {list(_NORMS)}, got {norm!r}")
        self.orientations, self.norm = integer(orientations, "HOG: orientations"), norm
        self.cell, self.block, self.sqrt = pair(cell, "HOG: cell"), pair(block, "HOG: block"), flag(sqrt, "HOG: sqrt")

    def _features(self, images: Array) -> Array:
        cells = self.cells(images)
        N, down, across, bins = cells.shape
        if down < self.block[0] or across < self.block[1]:
            size = " x ".join(str(a * b) for a, b in zip(self.cell, self.block, strict=True))
            raise ValueError(f"HOG: images must have at least the {size} pixels of a block, got {images.shape[2:]}")
        blocks = np.lib.stride_tricks.sliding_window_view(cells, self.block, axis=(1, 2))
        blocks = blocks.transpose(0, 1, 2, 4, 5, 3).reshape(N, blocks.shape[1], blocks.shape[2], -1)
        return _normalize(blocks, self.norm).reshape(N, -1)

    def cells(self, X: ArrayLike) -> Array:
        """The histograms of the cells, (N, rows, columns, orientations), before blocks."""
        images = images_of("HOG: X", X).astype(np.float64)
        if self.sqrt:
            if images.min() < 0:
                raise ValueError(f"HOG: sqrt=True needs pixels >= 0, got {images.min():g}")
            images = np.sqrt(images)
        down, across = np.zeros_like(images), np.zeros_like(images)
        down[:, :, 1:-1] = images[:, :, 2:] - images[:, :, :-2]
        across[:, :, :, 1:-1] = images[:, :, :, 2:] - images[:, :, :, :-2]
        length = np.hypot(across, down)
        strongest = length.argmax(axis=1)[:, None]
        down, across, length = (np.take_along_axis(x, strongest, axis=1)[:, 0] for x in (down, across, length))
        angle = np.degrees(np.arctan2(down, across)) % 180
        which = (angle // (180 / self.orientations)).astype(np.int64) % self.orientations
        (height, width), (N, H, W) = self.cell, length.shape
        rows, columns = H // height, W // width
        place = np.arange(N)[:, None, None] * rows * columns
        place = place + (np.arange(H) // height * columns)[:, None] + np.arange(W) // width
        inside = np.s_[:, : rows * height, : columns * width]
        index = (place * self.orientations + which)[inside].ravel()
        sums = np.bincount(index, length[inside].ravel(), N * rows * columns * self.orientations)
        return np.asarray(sums.reshape(N, rows, columns, self.orientations) / (height * width))

    def picture(self, X: ArrayLike, size: int = 8) -> Array:
        """A picture of each image's cells, (N, rows * size, columns * size): strokes along its edges."""
        cells, size = self.cells(X), integer(size, "HOG.picture: size", 3)
        offsets = np.arange(size) - (size - 1) / 2
        strokes = []
        for k in range(self.orientations):
            angle = np.pi * (k + 0.5) / self.orientations + np.pi / 2  # an edge is at right angles to its gradient
            across = np.abs(np.outer(offsets, np.full(size, np.cos(angle))) - offsets * np.sin(angle))
            strokes.append(np.clip(1 - across, 0, 1))
        drawn: Any = np.einsum("nrck,kij->nricj", cells, np.array(strokes))
        N, rows, columns, _ = cells.shape
        return np.asarray(drawn.reshape(N, rows * size, columns * size))
