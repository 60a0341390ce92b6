"""Dropout (Srivastava et al. 2014)."""

from __future__ import annotations

from fastnet.arguments import integer, real
from fastnet.graph import Node, Recorder
from fastnet.layers.base import Layer
from fastnet.ops import Stream
from fastnet.types import DType, Generator, Shape

__all__ = ["Dropout"]


class Dropout(Layer):
    """Inverted dropout: in training, zero with probability `p` and divide the rest by 1 - p; else the identity.

    Masks come from a Philox stream and do not depend on threads or backends: element i of a pass uses number
    ``offset + i`` of stream `seed`, and each training pass advances `offset`.

    Parameters
    ----------
    p : float
        The probability of zeroing, in [0, 1).
    inplace : bool
        Accepted so that PyTorch's calls work; it has no effect.
    seed : int, optional
        Of the stream, in [0, 2**64); by default drawn from the model's seed when the layer is built.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False, *, seed: int | None = None) -> None:
        self.p = real(p, "Dropout: p, the probability of zeroing,")
        if not 0 <= self.p < 1:
            raise ValueError(f"Dropout: p, the probability of zeroing, must be in [0, 1), got {p!r}")
        if not isinstance(inplace, bool):
            raise TypeError(
                f"Dropout: inplace must be True or False, got {inplace!r}; the seed is Dropout({p}, seed=...)"
            )
        self.inplace = inplace
        self.seed = None if seed is None else integer(seed, "Dropout: seed", 0, 64)
        self._stream = Stream(0 if self.seed is None else self.seed)

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        if self.seed is None:
            self.seed = int(rng.integers(2**63))
            self._stream.set(self.seed, self._stream.offset)
        return shape

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        if not training or self.p == 0:
            return x
        return ops.dropout(x, self.p, self._stream)

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
