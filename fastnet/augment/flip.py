"""Mirror images."""

from __future__ import annotations

import numpy as np

from fastnet.augment.kernels import crop
from fastnet.augment.streams import Streams
from fastnet.augment.transform import Transform, probability
from fastnet.types import Array

__all__ = ["RandomHorizontalFlip", "RandomVerticalFlip"]


class RandomHorizontalFlip(Transform):
    """Exchange left and right with probability p.

    Parameters
    ----------
    p : float
        Probability, in [0, 1].
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability(p, "RandomHorizontalFlip: p")

    def apply(self, x: Array, streams: Streams) -> Array:
        at = np.zeros((len(x), 4), np.int64)
        at[:, 3] = streams.happens(self.p)
        return crop(x, x.shape[2:], at)


class RandomVerticalFlip(Transform):
    """Exchange top and bottom with probability p.

    Parameters
    ----------
    p : float
        Probability, in [0, 1].
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability(p, "RandomVerticalFlip: p")

    def apply(self, x: Array, streams: Streams) -> Array:
        at = np.zeros((len(x), 4), np.int64)
        at[:, 2] = streams.happens(self.p)
        return crop(x, x.shape[2:], at)
