"""The Neocognitron: layers of S cells, which learn features without a teacher, and of C cells, which pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from fastnet.arguments import integer, real, several
from fastnet.classical.base import Classifier, in_chunks, labels_of
from fastnet.classical.features import images_of
from fastnet.classical.linear import SoftmaxClassifier
from fastnet.functional import avg_pool2d, conv2d
from fastnet.types import Array, ArrayLike

__all__ = ["Neocognitron", "Stage"]


class Stage(NamedTuple):
    """One S layer and the C layer after it.

    Attributes
    ----------
    weight : array (planes, C, R, R)
        The feature that the cells of each S plane look for, at every position the same; of length 1.
    threshold : float
        The similarity from which on an S cell responds.
    pool : int
        S cells under a C cell, along each side.
    """

    weight: Array
    threshold: float
    pool: int

    def simple(self, x: Array) -> Array:
        """The S cells' responses (N, planes, H, W), from 0 to 1."""
        R = self.weight.shape[-1]
        drive, _ = conv2d(x, self.weight, padding="same")
        energy, _ = conv2d(x * x, np.ones((1, x.shape[1], R, R)), padding="same")
        similarity = drive / np.sqrt(np.maximum(energy, 1e-12))
        return np.asarray(np.maximum(similarity - self.threshold, 0) / (1 - self.threshold) * (energy > 1e-9))

    def complex(self, s: Array) -> Array:
        """The C cells' responses (N, planes, H / pool, W / pool): means over overlapping areas, which saturate."""
        size, side = 2 * self.pool - 1, self.pool - 1
        mean, _ = avg_pool2d(s, size, self.pool, side, ceil_mode=False)
        return np.asarray(mean / (mean + 0.1))


class Neocognitron(Classifier):
    """The self-organising network that ConvNets descend from (Fukushima 1980), an S-C-S-C sandwich.

    An S cell sees a small area of the layer below; all cells of a plane look for the same feature.  They learn by
    competition, layer by layer, without labels or gradients: a patch strengthens the plane that responds most to it,
    ``w += x``, and founds a new plane if none responds.  A C cell responds if S cells of its plane do anywhere in an
    area, so a shift of the feature changes little.

    Kept of the paper: the sandwich, shared weights, learning by winner-take-all, the threshold by inhibition in
    proportion to the strength of the input.  Simplified: a response is ``max(0, cos(w, x) - threshold) / (1 -
    threshold)``, as in Fukushima's later papers, in place of the original's ratio of excitation and inhibition; areas
    are square and weigh equally; winners are sought among random patches instead of within columns of cells; and the
    last layer is read by a linear classifier, where the paper had one plane for each category.

    Parameters
    ----------
    planes : sequence of int
        The most planes of each S layer.
    kernel : int
        The side of S cells' areas.
    thresholds : sequence of float
        Of each S layer, in [0, 1); the higher, the more selective.
    pool : int
        How many times smaller each C layer is than its S layer, along each side.
    patches : int
        Shown to each S layer.
    classifier : Classifier, optional
        On top of the last C layer; by default ``SoftmaxClassifier()``.
    seed : int

    Attributes
    ----------
    stages_ : list of Stage
    """

    def __init__(
        self,
        planes: Sequence[int] = (16, 64),
        kernel: int = 3,
        thresholds: Sequence[float] = (0.7, 0.8),
        pool: int = 2,
        patches: int = 4000,
        classifier: Classifier | None = None,
        seed: int = 0,
    ) -> None:
        self.planes = [integer(count, "Neocognitron: planes") for count in several(planes, "Neocognitron: planes")]
        self.thresholds = [
            real(threshold, "Neocognitron: thresholds") for threshold in several(thresholds, "Neocognitron: thresholds")
        ]
        if len(self.planes) != len(self.thresholds) or not self.planes:
            raise ValueError(f"Neocognitron: a threshold for each of the planes, got {planes!r} and {thresholds!r}")
        if not all(0 <= threshold < 1 for threshold in self.thresholds):
            raise ValueError(f"Neocognitron: thresholds must lie in [0, 1), got {thresholds!r}")
        self.kernel, self.pool = integer(kernel, "Neocognitron: kernel"), integer(pool, "Neocognitron: pool")
        self.patches, self.seed = integer(patches, "Neocognitron: patches"), integer(seed, "Neocognitron: seed", 0, 63)
        self.classifier = SoftmaxClassifier() if classifier is None else classifier
        if not isinstance(self.classifier, Classifier):
            raise TypeError(f"Neocognitron: classifier must be a Classifier, got {classifier!r}")

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Let the S layers organise themselves on images X (N, C, H, W), then fit the classifier to their labels y."""
        images = images_of("Neocognitron.fit: X", X)
        labels_of("Neocognitron.fit: y", images, y)
        if images.min() < 0:
            raise ValueError(f"Neocognitron.fit: cells respond to light, so pixels must be >= 0, got {images.min():g}")
        self.organize(images)
        self.classifier.fit(self.transform(images), y)
        self.classes_, self.n_features_in_ = self.classifier.classes_, images[0].size
        return self

    def organize(self, X: ArrayLike) -> Self:
        """Only the layers: learn the features of images X, without labels."""
        images = images_of("Neocognitron.organize: X", X)
        rng = np.random.default_rng(self.seed)
        self._channels = images.shape[1]
        self.stages_: list[Stage] = []
        x = images[rng.permutation(len(images))[: self.patches]].astype(np.float64)
        for count, threshold in zip(self.planes, self.thresholds, strict=True):
            stage = Stage(self._compete(x, count, threshold, rng), threshold, self.pool)
            self.stages_.append(stage)
            x = in_chunks(lambda some, stage=stage: stage.complex(stage.simple(some)), x)  # type: ignore[misc]
        return self

    def _compete(self, x: Array, count: int, threshold: float, rng: np.random.Generator) -> Array:
        """The planes' features, learned from random patches of x, one after the other."""
        side = self.kernel // 2
        after = self.kernel - 1 - side
        padded = np.pad(x, ((0, 0), (0, 0), (side, after), (side, after)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (self.kernel, self.kernel), axis=(2, 3))
        which, top, left = (rng.integers(most, size=4 * self.patches) for most in (len(x), *x.shape[2:]))
        patches = windows[which, :, top, left].reshape(4 * self.patches, -1)
        lengths = np.sqrt((patches**2).sum(axis=1))
        bright = lengths > 0.25 * lengths.max()  # the rest shows next to nothing
        patches = (patches[bright] / lengths[bright, None])[: self.patches]
        if not len(patches):
            raise ValueError("Neocognitron: the images are dark everywhere, so there is nothing to learn")
        weights, found = np.zeros((count, patches.shape[1])), 0
        units = np.zeros_like(weights)
        for patch in patches:
            responses = units[:found] @ patch
            winner = int(responses.argmax()) if found else -1
            if found < count and (winner < 0 or responses[winner] < threshold):
                winner, found = found, found + 1
            weights[winner] += patch
            units[winner] = weights[winner] / np.sqrt(weights[winner] @ weights[winner])
        return units[:found].reshape(found, x.shape[1], self.kernel, self.kernel)

    def responses(self, X: ArrayLike) -> list[tuple[Array, Array]]:
        """The responses of the S and C cells of each stage to images X."""
        if not hasattr(self, "stages_"):
            raise RuntimeError("Neocognitron.responses: call fit(X, y) first")
        x = images_of("Neocognitron: X", X).astype(np.float64)
        if x.shape[1] != self._channels:
            raise ValueError(f"Neocognitron: images must have {self._channels} channels, got {x.shape[1]}")
        found = []
        for stage in self.stages_:
            s = stage.simple(x)
            x = stage.complex(s)
            found.append((s, x))
        return found

    def transform(self, X: ArrayLike) -> Array:
        """The responses of the last C cells, (N, F)."""
        return in_chunks(lambda some: self.responses(some)[-1][1].reshape(len(some), -1), images_of("X", X))

    def predict(self, X: ArrayLike) -> Array:
        """The label of each image, (M,)."""
        return self.classifier.predict(self.transform(X))

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """The fraction of images whose prediction is y."""
        return self.classifier.score(self.transform(X), y)
