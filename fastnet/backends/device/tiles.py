"""How products are cut into blocks: the tiles of csrc/cuda/tile.h, and the parts of long sums.

All of it follows from shapes alone.  The choice of a tile affects no bits, the number of parts does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastnet.types import DTypeLike

__all__ = ["THREADS", "Cut", "cut"]

THREADS = 256
_BLOCKS = 132  # enough to occupy the multiprocessors of any GPU of today
_LEAST_STEPS = 256  # of a part
_MOST_STEPS = 4096  # of a part: more are added in double


class Cut(NamedTuple):
    """A product's tile, blocks, shared memory of a block in bytes, and how many parts its sums are cut into."""

    tile: str
    blocks: int
    shared: int
    parts: int


def _tiles(rows: int, columns: int, count: int, height: int, width: int) -> int:
    return count * -(-rows // height) * -(-columns // width)


def _shape(rows: int, columns: int, count: int, dtype: DTypeLike) -> tuple[int, int]:
    """The tile's height and width: narrow for few columns, large where that leaves enough blocks."""
    if columns <= 16:
        return 256, 16
    if columns <= 32:
        return 128, 32
    single = np.dtype(dtype) == np.float32
    if single and columns > 64 and _tiles(rows, columns, count, 128, 128) >= _BLOCKS:
        return 128, 128
    return (128, 64) if _tiles(rows, columns, count, 128, 64) >= _BLOCKS else (64, 64)


def cut(rows: int, columns: int, count: int, steps: int, dtype: DTypeLike) -> Cut:
    """How to compute `count` products of rows x columns outputs, each a sum of `steps` products."""
    height, width = _shape(rows, columns, count, dtype)
    tiles = _tiles(rows, columns, count, height, width)
    parts = 1 if tiles >= _BLOCKS else min(2 * _BLOCKS // max(tiles, 1), steps // _LEAST_STEPS)
    parts = max(1, parts, -(-steps // _MOST_STEPS))
    shared = 2 * 64 * (height + width + 8)  # two halves of 64 bytes for each row and column, as in tile.h
    return Cut(f"{height}x{width}", tiles * parts, shared, parts)
