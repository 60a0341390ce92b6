"""Random numbers from Philox streams, the same on every backend and for any number of threads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastnet.ops import philox
from fastnet.ops.checks import FLOATS
from fastnet.ops.record import REQUIRED, Example, Input, Op, register
from fastnet.types import Array, DTypeLike, Shape, Shaped

__all__ = ["Stream"]


@dataclass
class Stream:
    """A position in a Philox stream: the next call's i-th number is number ``offset + i`` of stream `seed`."""

    seed: int
    offset: int = 0

    def take(self, count: int) -> tuple[int, int]:
        """(seed, offset) of the next `count` numbers, in whole Philox blocks of four."""
        start = self.offset
        self.offset = start + -(-count // 4) * 4
        return self.seed, start


def check_stream(op: str, stream: Stream) -> None:
    """Raise ValueError unless the position is in the stream."""
    if not 0 <= stream.seed < 2**64 or not 0 <= stream.offset < 2**62:
        raise ValueError(
            f"{op}: seed must lie in [0, 2**64) and offset in [0, 2**62), got {stream.seed} and {stream.offset}"
        )


def uniform(xp: Any, shape: Sequence[int], dtype: DTypeLike, seed: int, offset: int) -> Any:
    """Numbers in [0, 1) in memory order: N, H, W, C."""
    shape = tuple(shape)
    if len(shape) == 4:
        N, C, H, W = shape
        shape = N, H, W, C
    u = xp.asarray(philox.uniform(seed, offset, math.prod(shape), dtype)).reshape(shape)
    return u.transpose(0, 3, 1, 2) if len(shape) == 4 else u


def _uniform_shape(shape: Sequence[int], dtype: DTypeLike, seed: int, offset: int = 0) -> Shape:
    check_stream("random_uniform", Stream(seed, offset))
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
    check_stream("dropout", stream)
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
