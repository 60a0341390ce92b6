"""Transforms that some of the images of a batch get."""

from __future__ import annotations

import numpy as np

from fastnet.augment.streams import Streams
from fastnet.augment.transform import Transform, probability
from fastnet.types import Array

__all__ = ["Sometimes", "replaced"]


class Sometimes(Transform):
    """A change that does not affect the size, with probability p; a subclass defines ``change(x, streams)``."""

    def __init__(self, p: float) -> None:
        self.p = probability(p, f"{type(self).__name__}: p")

    def apply(self, x: Array, streams: Streams) -> Array:
        index = np.flatnonzero(streams.happens(self.p))
        return replaced(x, index, self.change(x[index], streams.take(index))) if len(index) else x

    def change(self, x: Array, streams: Streams) -> Array:
        """The images x, changed."""
        raise NotImplementedError(f"{type(self).__name__} must define change(x, streams)")


def replaced(x: Array, index: Array, images: Array) -> Array:
    """x with `images` in place of some of its own."""
    if len(index) == len(x):
        return images
    y = x.copy()
    y[index] = images
    return y
