"""Random numbers, and the positions of their streams."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import cupy
import numpy as np

from fastnet.backends.device.arrays import c_empty, empty, kernel
from fastnet.backends.device.compiler import MOST_ACROSS, launch, spread
from fastnet.ops import Stream
from fastnet.ops.random import kept_scale, unit_extents
from fastnet.types import Array, DTypeLike

__all__ = ["Positions", "stream_numbers"]

_THREADS, _TILE = 256, 1024  # THREADS and TILE of csrc/cuda/random.cu
_UNITS = tuple[int, int, int]


class Positions:
    """Positions of random streams in device memory, for a captured piece of work.

    Within ``with positions:``, kernels are launched so that they read them there; each launch of the graph begins with
    :meth:`advance`.

    Parameters
    ----------
    positions : sequence of NumPy arrays
        ``Stream.position`` of each.
    """

    def __init__(self, positions: Sequence[Any]) -> None:
        self._positions = list(positions)
        self._starts = [int(position[1]) for position in positions]
        self._placed = [0] * len(self._positions)  # numbers that kernels read the position of
        self._there = cupy.empty((len(self._positions), 2), np.int64)

    def __enter__(self) -> Positions:
        _reading.positions = self
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        """The streams are where they were: nothing was drawn yet."""
        _reading.positions = None
        pairs = list(zip(self._positions, self._starts, strict=True))
        taken = [int(position[1]) - start for position, start in pairs]
        for position, start in pairs:
            position[1] = start
        if kind is None and taken != self._placed:
            raise RuntimeError("an op draws random numbers on the host")

    def advance(self, positions: Sequence[Any]) -> None:
        """Let the next launch draw from `positions`, of the same streams, and move these past it."""
        if not self._positions:
            return
        self._there.set(np.stack(positions).view(np.int64), cupy.cuda.get_current_stream())
        for position, count in zip(positions, self._placed, strict=True):
            position[1] += np.uint64(count)

    def place(self, stream: Stream, start: int, count: int) -> tuple[Any, int] | None:
        """The stream's position in device memory, and how far from it number `start`, the first of `count`, is."""
        for number, position in enumerate(self._positions):
            if position is stream.position:
                self._placed[number] += -(-count // 4) * 4
                return self._there[number], start - self._starts[number]
        return None


class _Reading(threading.local):
    positions: Positions | None = None  # of the `with` that this thread is in


_reading = _Reading()


def _signed(seed: int) -> int:
    """The seed as kernels' 64 bits."""
    return seed - (seed >> 63 << 64)


def _draw(n: int, seed: int, offset: int, dtype: Any, position: Array | None = None, **given: Any) -> None:
    """Launch draw_numbers for n numbers."""
    arrays = [given.get(name) for name in ("y", "keep", "x", "out")]
    blocks, _ = spread(-(-(n + 3) // _TILE) * _THREADS, _THREADS)
    numbers = given.get("p", 0.0), given.get("scale", 1.0)
    launch("random", "draw_numbers", dtype, blocks, _THREADS, position, _signed(seed), offset, n, *arrays, *numbers)


@kernel
def random_uniform(shape: Sequence[int], dtype: DTypeLike, seed: int, offset: int = 0) -> Array:
    y = empty(tuple(shape), np.dtype(dtype))
    _draw(y.size, seed, offset, y.dtype, y=y)
    return y


@kernel
def dropout(x: Array, p: float, stream: Stream, unit: str = "element", inverted: bool = True) -> tuple[Array, Any]:
    return _dropped(x, empty(x.shape, x.dtype), p, stream, unit_extents(x.shape, unit), kept_scale(p, inverted))


def stream_numbers(stream: Stream, count: int, dtype: DTypeLike) -> Array:
    """The stream's next numbers, in [0, 1)."""
    y, (seed, offset, position) = c_empty((count,), dtype), _taken(stream, count)
    _draw(count, seed, offset, dtype, position, y=y)
    return y


def _taken(stream: Stream, count: int) -> tuple[int, int, Array | None]:
    """Seed and offset of the stream's next numbers, and the position from which the offset counts; the stream moves."""
    seed, offset = stream.take(count)
    place = _reading.positions.place(stream, offset, count) if _reading.positions else None
    if place is None:
        return seed, offset, None
    return seed, place[1], place[0]


def _dropped(x: Array, y: Array, p: float, stream: Stream, extents: _UNITS, scale: float) -> tuple[Array, Any]:
    blocks, repeats, width = extents
    keep = c_empty((blocks * width,), np.uint8)
    seed, offset, position = _taken(stream, keep.size)
    apart = repeats != 1  # several elements share a number
    given = {} if apart else {"x": x, "out": y}
    _draw(keep.size, seed, offset, x.dtype, position, keep=keep, p=float(p), scale=scale, **given)
    if apart:
        _keep_units(keep, x, y, extents, scale)
    return y, (keep, extents, scale)


def _keep_units(keep: Array, x: Array, y: Array, extents: _UNITS, scale: float) -> None:
    blocks, repeats, width = extents
    columns, threads = spread(repeats * width)
    grid = columns, max(1, min(blocks, MOST_ACROSS))
    launch("random", "keep_units", x.dtype, grid, threads, keep, x, y, blocks, repeats, width, scale)


@kernel
def dropout_backward(dy: Array, saved: Any, needs: Sequence[bool] = (True,)) -> Array:
    keep, extents, scale = saved
    dx = empty(dy.shape, dy.dtype)
    _keep_units(keep, dy, dx, extents, scale)
    return dx


@kernel
def drop_weights(w: Array, p: float, stream: Stream) -> tuple[Array, Any]:
    extents = unit_extents(w.shape, "element")
    return _dropped(w, c_empty(w.shape, w.dtype), p, stream, extents, kept_scale(p, True))


@kernel
def drop_weights_backward(dy: Array, saved: Any, needs: Sequence[bool] = (True,)) -> Array:
    keep, extents, scale = saved
    dw = c_empty(dy.shape, dy.dtype)
    _keep_units(keep, dy, dw, extents, scale)
    return dw
