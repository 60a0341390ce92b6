"""One random stream for each image of a batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.augment import kernels
from fastnet.types import Array, Generator

__all__ = ["Streams"]


class Streams:
    """Philox4x32-10 streams (Salmon et al. 2011): block b of image i has the counter (b, i, upper half of the key).

    The numbers of an image depend on the key, its place in the batch and how many were drawn before, not on the other
    images.

    Parameters
    ----------
    key : sequence of 2 integers of 64 bits
        The key of all streams.
    count : int
        Images in the batch.
    """

    def __init__(self, key: Any, count: int) -> None:
        self.key = (int(key[0]), int(key[1]))
        self.images = np.arange(count)
        self._next = [0]

    @classmethod
    def of(cls, rng: Generator, count: int) -> Streams:
        """Streams with a key that rng draws."""
        if not isinstance(rng, np.random.Generator):
            raise TypeError(f"rng must be a generator of NumPy, such as np.random.default_rng(0), got {rng!r}")
        return cls(rng.integers(0, 2**64, 2, dtype=np.uint64), count)

    def __len__(self) -> int:
        return len(self.images)

    def take(self, index: Any) -> Streams:
        """The streams of some of the images; drawing from them moves the others on as well."""
        part = Streams(self.key, 0)
        part.images, part._next = self.images[index], self._next
        return part

    def words(self, count: int) -> Array:
        """The next `count` words of each stream: uint32 (N, count)."""
        first, blocks = self._next[0], (count + 3) // 4
        self._next[0] += blocks
        return kernels.stream_words(self.images, first, blocks, self.key).reshape(len(self), 4 * blocks)[:, :count]

    def uniform(self, low: Any = 0.0, high: Any = 1.0, count: int = 1) -> Array:
        """`count` numbers in [low, high) for each image: float64 (N, count)."""
        numbers: Array = low + (np.asarray(high, np.float64) - low) * (self.words(count) * 2.0**-32)
        return numbers

    def integers(self, low: Any, high: Any, count: int = 1) -> Array:
        """`count` integers from `low` to `high` - 1 for each image: int64 (N, count)."""
        span = np.asarray(high, np.int64) - low
        numbers: Array = low + (self.words(count).astype(np.int64) * span >> 32)
        return numbers

    def happens(self, p: float) -> Array:
        """Whether an event of probability p happens: bool (N,)."""
        return self.words(1)[:, 0] < p * 2.0**32

    def normal(self, count: int = 1) -> Array:
        """`count` numbers of the standard normal distribution for each image (Box & Muller 1958): float64."""
        pairs = (self.words(2 * count).reshape(len(self), count, 2) + 0.5) * 2.0**-32
        numbers: Array = np.sqrt(-2 * np.log(pairs[..., 0])) * np.cos(2 * np.pi * pairs[..., 1])
        return numbers
