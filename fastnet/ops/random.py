"""Random numbers from Philox streams, the same on every backend and for any number of threads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnet.ops import philox
from fastnet.ops.checks import FLOATS
from fastnet.ops.record import REQUIRED, WEIGHT, Example, Input, Op, register
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


UNITS = ("element", "channel", "example", "batch")  # what one random number keeps or zeroes


def unit_extents(shape: Sequence[int], unit: str) -> tuple[int, int, int]:
    """(blocks, repeats, width) of an array in memory order: element (b, r, i) has number b*width + i."""
    count = math.prod(shape)
    if unit == "element":
        return 1, 1, count
    if unit == "channel":
        return shape[0], math.prod(shape[2:]), shape[1]
    return (shape[0], math.prod(shape[1:]), 1) if unit == "example" else (1, count, 1)


def kept_scale(p: float, inverted: bool) -> float:
    """The factor on what is kept in training."""
    return 1 / (1 - p) if inverted else 1.0


def _check_dropout(op: str, p: float, stream: Stream) -> None:
    if not 0 <= p < 1:
        raise ValueError(f"{op}: p, the probability of zeroing, must lie in [0, 1), got {p}")
    check_position(op, stream.seed, stream.offset)


def _dropout_shape(x: Shaped, p: float, stream: Stream, unit: str = "element", inverted: bool = True) -> Shape:
    _check_dropout("dropout", p, stream)
    if unit not in UNITS:
        raise ValueError(f"dropout: unit must be one of {', '.join(map(repr, UNITS))}, got {unit!r}")
    if x.ndim < (least := {"channel": 2, "example": 1}.get(unit, 0)):
        axes = "(N, C, ...)" if least == 2 else "(N, ...)"
        raise ValueError(f"dropout: unit={unit!r} needs an array {axes}, got shape {tuple(x.shape)}")
    return tuple(x.shape)


def _dropout(
    xp: Any, x: Array, p: float, stream: Stream, unit: str = "element", inverted: bool = True
) -> tuple[Array, Any]:
    axes = {"element": x.ndim, "channel": 2, "example": 1, "batch": 0}[unit]
    shape = x.shape[:axes]
    numbers = uniform(xp, shape, x.dtype, *stream.take(math.prod(shape)))
    keep = (numbers >= x.dtype.type(p)).reshape((*shape, *(1,) * (x.ndim - axes)))
    scale = x.dtype.type(kept_scale(p, inverted))
    return xp.where(keep, x * scale, xp.zeros_like(x)), (keep, scale)


def _dropout_backward(xp: Any, dy: Array, saved: Any, needs: Sequence[bool] = (True,)) -> Any:
    keep, scale = saved
    return xp.where(keep, dy * scale, xp.zeros_like(dy))


_P = {"p": 0.3, "stream": Stream(5, 7)}
register(
    Op(
        "dropout",
        (Input("x"),),
        shape=_dropout_shape,
        forward=_dropout,
        backward=_dropout_backward,
        attributes={"p": REQUIRED, "stream": REQUIRED, "unit": "element", "inverted": True},
        flops=(3, 1),
        onnx="Dropout",
        examples=(
            Example(((9, 33, 17, 16),), _P),
            Example(((9, 33, 17, 16),), {**_P, "unit": "channel"}),
            Example(((40, 5, 7),), {**_P, "unit": "example", "inverted": False}),
            Example(((40, 50),), {**_P, "unit": "batch"}),
        ),
        doc="Zero with probability p, and divide the rest by 1 - p if inverted (Srivastava et al. 2014).  What is "
        "kept or zeroed is an element, a channel of an example (Tompson et al. 2015), an example, or all of x "
        "(Huang et al. 2016).  Unit i, in memory order N, H, W, C, is kept if the i-th of the stream's next numbers is "
        ">= p.",
    )
)


def _drop_weights_shape(w: Shaped, p: float, stream: Stream) -> Shape:
    _check_dropout("drop_weights", p, stream)
    return tuple(w.shape)


def _drop_weights(xp: Any, w: Array, p: float, stream: Stream) -> tuple[Array, Any]:
    numbers = xp.asarray(philox.uniform(*stream.take(w.size), w.size, w.dtype)).reshape(w.shape)
    keep, scale = numbers >= w.dtype.type(p), w.dtype.type(kept_scale(p, True))
    return xp.where(keep, w * scale, xp.zeros_like(w)), (keep, scale)


register(
    Op(
        "drop_weights",
        (Input("w", WEIGHT),),
        shape=_drop_weights_shape,
        forward=_drop_weights,
        backward=_dropout_backward,
        attributes={"p": REQUIRED, "stream": REQUIRED},
        gradient_role=WEIGHT,
        flops=(3, 1),
        examples=(Example(((33, 17, 5, 3),), _P),),
        doc="DropConnect (Wan et al. 2013): dropout of a weight's elements, in C order.",
    )
)
