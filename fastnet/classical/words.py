"""Bag of visual words: a codebook of patches, found by k-means, and how often each occurs in an image."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Self

import numpy as np

from fastnet.arguments import integer
from fastnet.arrays import on_host
from fastnet.backends import current
from fastnet.classical.base import in_chunks, rows_of
from fastnet.classical.features import Features, images_of
from fastnet.drawing import new_figure, save
from fastnet.functional import conv2d
from fastnet.types import Array, ArrayLike

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BagOfVisualWords", "KMeans"]


class KMeans:
    """k centres, each the mean of the examples that are nearest to it (Lloyd 1982).

    Parameters
    ----------
    k : int
    iterations : int
        At most so many; it ends when no example changes its centre.
    seed : int
        Draws the first centres, the next each with a probability proportional to the squared distance to the nearest
        one so far (k-means++, Arthur & Vassilvitskii 2007).
    centers : array (k, D), optional
        First centres to use instead.

    Attributes
    ----------
    centers_ : array (k, D)
    inertia_ : float
        The sum of squared distances to the nearest centre.
    iterations_ : int
    """

    def __init__(self, k: int, iterations: int = 100, seed: int = 0, centers: ArrayLike | None = None) -> None:
        self.k, self.iterations = integer(k, "KMeans: k"), integer(iterations, "KMeans: iterations")
        self.seed = integer(seed, "KMeans: seed", 0, 63)
        self.centers = None if centers is None else rows_of("KMeans: centers", centers)

    def fit(self, X: ArrayLike) -> Self:
        """Find the centres of X (N, D); ValueError if it has fewer than k examples."""
        rows = rows_of("KMeans.fit: X", X)
        if self.k > len(rows):
            raise ValueError(f"KMeans.fit: k={self.k} centres are asked for, X has {len(rows)} examples")
        self.centers_ = self._first(rows)
        nearest = np.full(len(rows), -1)
        for count in range(1, self.iterations + 1):
            self.iterations_ = count
            before, nearest, distances = nearest, *self._nearest(rows)
            self.inertia_ = float((distances**2).sum())
            if (nearest == before).all():
                break
            self.centers_ = self._means(rows, nearest, distances)
        return self

    def predict(self, X: ArrayLike) -> Array:
        """The number of the nearest centre of each example, (M,)."""
        return self._nearest(rows_of("KMeans.predict: X", X, self.centers_.shape[1]))[0]

    def _nearest(self, rows: Array) -> tuple[Array, Array]:
        """The number of the nearest centre, and the distance to it."""
        norms = np.einsum("ij,ij->i", self.centers_, self.centers_)

        def nearest(some: Array) -> Array:
            values = current().linear(some.astype(np.float64) * -2, self.centers_, norms)[0]
            return on_host(current().smallest(values, 1)[:, 0])

        def distance(start: int) -> Array:
            difference = rows[start : start + step] - self.centers_[index[start : start + step]]
            return np.asarray(np.sqrt(np.einsum("ij,ij->i", difference, difference)))

        index, step = in_chunks(nearest, rows, self.k), 10000
        return index, np.concatenate([distance(start) for start in range(0, len(rows), step)])

    def _means(self, rows: Array, nearest: Array, distances: Array) -> Array:
        """The centres' next places; one that lost all examples goes to the example farthest from its centre."""
        order = np.argsort(nearest, kind="stable")
        counts = np.bincount(nearest, minlength=self.k)
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        held = counts > 0
        centers = np.empty((self.k, rows.shape[1]))
        centers[held] = np.add.reduceat(rows[order].astype(np.float64), starts[held]) / counts[held, None]
        farthest = np.argsort(-distances, kind="stable")
        centers[~held] = rows[farthest[: int((~held).sum())]]
        return centers

    def _first(self, rows: Array) -> Array:
        if self.centers is not None:
            centers = self.centers.astype(np.float64)
            if centers.shape != (self.k, rows.shape[1]):
                raise ValueError(f"KMeans: centers must have shape {(self.k, rows.shape[1])}, got {centers.shape}")
            return centers
        rng = np.random.default_rng(self.seed)
        centers = np.empty((self.k, rows.shape[1]))
        centers[0] = rows[rng.integers(len(rows))]
        nearest = np.full(len(rows), np.inf)
        for n in range(1, self.k):
            difference = rows - centers[n - 1]
            nearest = np.minimum(nearest, np.einsum("ij,ij->i", difference, difference))
            total = nearest.sum()
            chances = nearest / total if total > 0 else None  # None: fewer than k different examples
            centers[n] = rows[rng.choice(len(rows), p=chances)]
        return centers


class BagOfVisualWords(Features):
    """How often each word of a codebook of small patches occurs in an image, as fractions (Fei-Fei & Perona 2005).

    `fit` draws patches from the training images and clusters them with :class:`KMeans`: the centres are the words.
    `transform` assigns each patch of an image to its nearest word, by a convolution with the words as kernels.  Every
    patch is first made independent of brightness and contrast: minus its mean, divided by ``sqrt(variance + 0.01 * that
    of all)`` (Coates et al. 2011).

    Parameters
    ----------
    words : int
    patch : int
        Pixels along a patch's sides.
    stride : int
        Pixels between patches.
    samples : int
        Patches for the codebook.
    grid : int
        Count in grid x grid parts of the image separately, which keeps some of the layout (Lazebnik et al. 2006).
    seed : int

    Attributes
    ----------
    codebook_ : array (words, C, patch, patch)
    """

    def __init__(
        self, words: int = 100, patch: int = 6, stride: int = 1, samples: int = 20000, grid: int = 1, seed: int = 0
    ) -> None:
        self.words, self.patch = integer(words, "BagOfVisualWords: words"), integer(patch, "BagOfVisualWords: patch")
        self.stride = integer(stride, "BagOfVisualWords: stride")
        self.samples = integer(samples, "BagOfVisualWords: samples")
        self.grid = integer(grid, "BagOfVisualWords: grid")
        self.seed = integer(seed, "BagOfVisualWords: seed", 0, 63)

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Find the codebook of images X (N, C, H, W)."""
        images = images_of("BagOfVisualWords.fit: X", X)
        self._check(images)
        rng = np.random.default_rng(self.seed)
        height, width = (size - self.patch + 1 for size in images.shape[2:])
        which, top, left = (rng.integers(most, size=self.samples) for most in (len(images), height, width))
        windows = np.lib.stride_tricks.sliding_window_view(images, (self.patch, self.patch), axis=(2, 3))
        patches = windows[which, :, top, left].astype(np.float64)
        self._softening = 0.01 * float(patches.var())
        self._channels = images.shape[1]
        means = KMeans(self.words, 30, self.seed).fit(self._even(patches.reshape(self.samples, -1)))
        self.codebook_ = means.centers_.reshape(self.words, self._channels, self.patch, self.patch)
        return self

    def _check(self, images: Array) -> None:
        if min(images.shape[2:]) < self.patch:
            raise ValueError(
                f"BagOfVisualWords: images of {images.shape[2]} x {images.shape[3]} pixels are smaller than a patch of "
                f"{self.patch} x {self.patch}"
            )

    def _even(self, patches: Array) -> Array:
        patches = patches - patches.mean(axis=1, keepdims=True)
        scale = np.sqrt(patches.var(axis=1, keepdims=True) + self._softening)
        return np.asarray(np.divide(patches, scale, out=np.zeros_like(patches), where=scale > 0))

    def _size(self, images: Array) -> int:
        H, W = images.shape[2:]
        return int(3 * self.words * (H // self.stride + 1) * (W // self.stride + 1))

    def _features(self, images: Array) -> Array:
        if not hasattr(self, "codebook_"):
            raise RuntimeError("BagOfVisualWords.transform: call fit(X) first")
        if images.shape[1] != self._channels:
            raise ValueError(f"BagOfVisualWords: images must have {self._channels} channels, got {images.shape[1]}")
        self._check(images)
        x, ones = images.astype(np.float64), np.ones((1, *self.codebook_.shape[1:]))
        products, _ = conv2d(x, self.codebook_, stride=self.stride)
        sums, _ = conv2d(x, ones, stride=self.stride)
        squares, _ = conv2d(x * x, ones, stride=self.stride)
        mean = sums / ones.size
        scale = np.sqrt(np.maximum(squares / ones.size - mean**2, 0) + self._softening)
        # |patch - word|^2 without the patch's own norm; words have mean 0, so a patch's mean does not matter
        norms = (self.codebook_**2).sum(axis=(1, 2, 3))[:, None, None]
        products /= np.where(scale > 0, scale, 1)
        values = norms - 2 * products
        N, words, down, across = values.shape
        rows = current().own(values.transpose(0, 2, 3, 1).reshape(-1, words))
        found = on_host(current().smallest(rows, 1)[:, 0])
        part = np.arange(down)[:, None] * self.grid // down * self.grid + np.arange(across) * self.grid // across
        place = np.arange(N)[:, None] * self.grid**2 + part.ravel()
        index = place.ravel() * words + found
        counts = np.bincount(index, minlength=N * self.grid**2 * words)
        return np.asarray(counts.reshape(N, -1) / (down * across))

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the words of the codebook, each from its darkest to its brightest pixel; and write it to `path`."""
        if not hasattr(self, "codebook_"):
            raise RuntimeError("BagOfVisualWords.plot: call fit(X) first")
        side = math.ceil(math.sqrt(self.words))
        figure = new_figure(path, 6, 6)
        for n, word in enumerate(self.codebook_):
            axes = figure.add_subplot(side, side, n + 1)
            scaled = (word - word.min()) / (np.ptp(word) or 1.0)
            axes.imshow(scaled.transpose(1, 2, 0) if len(word) == 3 else scaled[0], cmap="gray", vmin=0, vmax=1)
            axes.set_axis_off()
        figure.suptitle(f"Codebook: {self.words} words of {self.patch} x {self.patch} pixels")
        return save(figure, path)
