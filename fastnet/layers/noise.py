"""Noise: what layers with a random stream have in common."""

from __future__ import annotations

from fastnet.arguments import integer, real
from fastnet.layers.base import Layer
from fastnet.ops import Stream
from fastnet.types import DType, Generator, Shape

__all__ = ["Noise", "probability"]


def probability(p: float, name: str) -> float:
    """A probability of zeroing, in [0, 1); TypeError or ValueError otherwise."""
    number = real(p, f"{name}: p, the probability of zeroing,")
    if not 0 <= number < 1:
        raise ValueError(f"{name}: p, the probability of zeroing, must be in [0, 1), got {p!r}")
    return number


class Noise(Layer):
    """A layer that draws from a Philox stream in training; ``model.rng_state()`` knows its position.

    Parameters
    ----------
    seed : int, optional
        Of the stream, in [0, 2**64); by default drawn from the model's seed when the layer is built.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = None if seed is None else integer(seed, f"{type(self).__name__}: seed", 0, 64)
        self._stream = Stream(0 if self.seed is None else self.seed)

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        if self.seed is None:
            self.seed = int(rng.integers(2**63))
            self._stream.set(self.seed, self._stream.offset)
        return shape

    @property
    def offset(self) -> int:
        """The number of stream elements used so far."""
        return self._stream.offset

    def stream(self) -> dict[str, int]:
        """The position of the stream; see ``rng_state``."""
        return {"seed": self._stream.seed, "offset": self._stream.offset}

    def set_stream(self, seed: int, offset: int) -> None:
        """Restore the position that :meth:`stream` returned."""
        self._stream.set(seed, offset)
