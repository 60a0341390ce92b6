"""Transforms that copy a window of each image, perhaps mirrored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnet.augment.kernels import crop
from fastnet.augment.streams import Streams
from fastnet.augment.transform import Transform, probability
from fastnet.types import Array

__all__ = ["Flip", "Window"]


class Window(Transform):
    """A transform whose result is ``crop(*window(x, streams))``; `flipped` mirrors it in the same pass."""

    moves_pixels = True

    def window(self, x: Array, streams: Streams) -> tuple[Array, tuple[int, int], Array, Any]:
        """What `kernels.crop` takes: images, the windows' size, their places, and the colour around the images."""
        raise NotImplementedError(f"{type(self).__name__} must define window(x, streams)")

    def apply(self, x: Array, streams: Streams) -> Array:
        return crop(*self.window(x, streams))

    def flipped(self, x: Array, streams: Streams, flips: Sequence[Any]) -> Array:
        """This transform, and then `flips`, each a Flip."""
        x, size, at, fill = self.window(x, streams)
        for flip in flips:
            at[:, flip.column] ^= streams.happens(flip.p)
        return crop(x, size, at, fill)


class Flip(Window):
    """Mirror images, with probability p; `column` is that of the windows' places."""

    column = 0

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability(p, f"{type(self).__name__}: p")

    def window(self, x: Array, streams: Streams) -> tuple[Array, tuple[int, int], Array, Any]:
        at = np.zeros((len(x), 4), np.int64)
        at[:, self.column] = streams.happens(self.p)
        return x, (x.shape[2], x.shape[3]), at, 0
