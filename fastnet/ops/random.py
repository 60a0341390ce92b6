"""Random numbers from Philox streams, the same on every backend and for any number of threads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnet.ops import philox
from fastnet.ops.checks import FLOATS
from fastnet.ops.record import REQUIRED, Example, Input, Op, register
from fastnet.types import Array, DTypeLike, Shape, Shaped

__all__ = ["Stream"]


class Stream:
    """A position in a Philox stream: the next call's i-th number is number ``offset + i`` of stream `seed`.

    Attributes
    ----------
    position : array of two uint64
        Seed and offset, which kernels read and advance.
    """

    __slots__ = ("position",)

    def __init__(self, seed: int, offset: int = 0) -> None:
        check_position("Stream", seed, offset)
        self.position = np.array([seed, offset], np.uint64)

    @property
    def seed(self) -> int:
        return int(self.position[0])

    @property
    def offset(self) -> int:
        return int(self.position[1])

    def set(self, seed: int, offset: int) -> None:
        """Move to another position."""
        check_position("Stream", seed, offset)
        self.position[:] = seed, offset

    def take(self, count: int) -> tuple[int, int]:
        """(seed, offset) of the next `count` numbers, in whole Philox blocks of four."""
        seed, start = self.seed, self.offset
        self.position[1] = start + -(-count // 4) * 4
        return seed, start

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and (self.seed, self.offset) == (other.seed, other.offset)

    __hash__ = None  # type: ignore[assignment]  # it moves

    def __copy__(self) -> Stream:
        return Stream(self.seed, self.offset)

    def __repr__(self) -> str:
        return f"Stream({self.seed}, {self.offset})"


def check_position(op: str, seed: int, offset: int) -> None:
    """Raise ValueError unless the position is in the stream."""
    if not 0 <= seed < 2**64 or not 0 <= offset < 2**62:
        raise ValueError(f"{op}: seed must lie in [0, 2**64) and offset in [0, 2**62), got {seed} and {offset}")


def uniform(xp: Any, shape: Sequence[int], dtype: DTypeLike, seed: int, offset: int) -> Any:
    """Numbers in [0, 1) in memory order: N, H, W, C, or N, L, C."""
    shape = tuple(shape)
    count = math.prod(shape)
    if len(shape) not in (3, 4):
        return xp.asarray(philox.uniform(seed, offset, count, dtype)).reshape(shape)
    N, C, *pixels = shape
    return xp.moveaxis(xp.asarray(philox.uniform(seed, offset, count, dtype)).reshape(N, *pixels, C), -1, 1)


def _uniform_shape(shape: Sequence[int], dtype: DTypeLike, seed: int, offset: int = 0) -> Shape:
    check_position("random_uniform", seed, offset)
    if dtype not in FLOATS:
        raise TypeError(f"random_uniform: dtype must be float32 or float64, got {dtype}")
    return tuple(shape)


register(
    Op(
        "random_uniform",
        (),
        shape=_uniform_shape,
        forward=uniform,
        attributes={"shape": REQUIRED, "dtype": REQUIRED, "seed": REQUIRED, "offset": 0},
        examples=(Example((), {"shape": (50001,), "dtype": "float32", "seed": 3, "offset": 5}),),
        doc="Numbers in [0, 1) from number `offset` of Philox stream `seed` on (0 <= seed < 2**64), in memory order: "
        "N, H, W, C.",
    )
)


def _dropout_shape(x: Shaped, p: float, stream: Stream) -> Shape:
    if not 0 <= p < 1:
        raise ValueError(f"dropout: p, the probability of zeroing, must lie in [0, 1), got {p}")
    check_position("dropout", stream.seed, stream.offset)
    return tuple(x.shape)


def _dropout(xp: Any, x: Array, p: float, stream: Stream) -> tuple[Array, Any]:
    keep = uniform(xp, x.shape, x.dtype, *stream.take(x.size)) >= x.dtype.type(p)
    scale = x.dtype.type(1 / (1 - p))
    return xp.where(keep, x * scale, xp.zeros_like(x)), (keep, scale)


def _dropout_backward(xp: Any, dy: Array, saved: Any, needs: Sequence[bool] = (True,)) -> Any:
    keep, scale = saved
    return xp.where(keep, dy * scale, xp.zeros_like(dy))


register(
    Op(
        "dropout",
        (Input("x"),),
        shape=_dropout_shape,
        forward=_dropout,
        backward=_dropout_backward,
        attributes={"p": REQUIRED, "stream": REQUIRED},
        flops=(3, 1),
        onnx="Dropout",
        examples=(Example(((9, 33, 17, 16),), {"p": 0.3, "stream": Stream(5, 7)}),),
        doc="Inverted dropout: zero with probability p, and the rest divided by 1 - p (Srivastava et al. 2014).  "
        "Element i, in memory order N, H, W, C, is kept if the i-th of the stream's next numbers is >= p.",
    )
)
