"""Features, then a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from fastnet.arguments import flag, several
from fastnet.classical.base import Classifier, labels_of
from fastnet.classical.features import Features, images_of
from fastnet.types import Array, ArrayLike

__all__ = ["Pipeline"]


class Pipeline:
    """All features of an image in one row, each scaled to mean 0 and variance 1, for a classifier.

    Parameters
    ----------
    features : Features or sequence of Features
    classifier : Classifier
    scale : bool
        Whether to scale each feature by its mean and standard deviation on the training images.
    """

    def __init__(self, features: Features | Sequence[Features], classifier: Classifier, scale: bool = True) -> None:
        if isinstance(features, Features):
            features = [features]
        self.features: list[Features] = several(features, "Pipeline: features", "Features")
        if not self.features or not all(isinstance(each, Features) for each in self.features):
            raise TypeError(f"Pipeline: features must be one or several Features, got {features!r}")
        if not isinstance(classifier, Classifier):
            raise TypeError(f"Pipeline: classifier must be a Classifier, got {classifier!r}")
        self.classifier, self.scale = classifier, flag(scale, "Pipeline: scale")

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit the features on images X (N, C, H, W), and the classifier on what they give and y (N,)."""
        images = images_of("Pipeline.fit: X", X)
        labels_of("Pipeline.fit: y", images, y)
        rows = np.hstack([features.fit_transform(images, y) for features in self.features])
        self._mean = rows.mean(axis=0) if self.scale else np.zeros(rows.shape[1])
        deviation = rows.std(axis=0) if self.scale else np.ones(rows.shape[1])
        self._deviation = np.where(deviation > 1e-12, deviation, 1)  # constant features become 0
        self.classifier.fit((rows - self._mean) / self._deviation, y)
        return self

    def transform(self, X: ArrayLike) -> Array:
        """The rows that the classifier is given, (M, F)."""
        if not hasattr(self, "_mean"):
            raise RuntimeError("Pipeline.transform: call fit(X, y) first")
        rows = np.hstack([features.transform(X) for features in self.features])
        return np.asarray((rows - self._mean) / self._deviation)

    def predict(self, X: ArrayLike) -> Array:
        """The label of each image, (M,)."""
        return self.classifier.predict(self.transform(X))

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """The fraction of images whose prediction is y."""
        return self.classifier.score(self.transform(X), y)
