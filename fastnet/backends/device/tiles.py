"""How products are cut into blocks: the tiles of csrc/cuda/tile.h, and the parts of long sums.

All of it follows from shapes alone.  The choice of a tile affects no bits, the number of parts does.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fastnet.types import DType

__all__ = ["THREADS", "Cut", "cut"]

THREADS = 256
_MULTIPROCESSORS = 132  # of the GPU that the costs are reckoned for
_LEAST_STEPS = 256  # of a part
_MOST_STEPS = 4096  # of a part: more are added in double
_MOST_PARTS = 264
# Costs, in products of a multiprocessor (some 200 a nanosecond); estimates, not yet measurements.
_START = 64  # of a block, for each output
_ALONE = 1.3  # times more for a block that shares its multiprocessor with no other: nothing hides its waits
_TRAFFIC = 64  # of writing and reading a part of an output
_LAUNCH = 2**20  # of the kernel that adds parts

# Height, width, and the share of its time that a multiprocessor multiplies, estimated from the loads per product.
_NARROW = {16: (256, 16, 0.6), 32: (128, 32, 0.6)}
_WIDE = (64, 64, 0.6), (128, 64, 0.8)
_WIDEST = 128, 128, 0.9  # of float32 alone


class Cut(NamedTuple):
    """A product's tile, blocks, shared memory of a block in bytes, and how many parts its sums are cut into."""

    tile: str
    blocks: int
    shared: int
    parts: int


def _tiles(columns: int, dtype: DType) -> tuple[tuple[int, int, float], ...]:
    """The tiles among which to choose."""
    for width, tile in _NARROW.items():
        if columns <= width:
            return (tile,)
    return (*_WIDE, _WIDEST) if dtype == np.float32 and columns > 64 else _WIDE


@lru_cache(maxsize=4096)
def cut(rows: int, columns: int, count: int, steps: int, dtype: DType) -> Cut:
    """How to compute `count` products of rows x columns outputs, each a sum of `steps` products.

    It is the cheapest way: the time of the multiprocessor with the most blocks, and that of writing and adding parts.
    """
    least = max(1, -(-steps // _MOST_STEPS))
    most = max(least, min(steps // _LEAST_STEPS, _MOST_PARTS))
    ways = []
    for height, width, share in _tiles(columns, dtype):
        tiles = count * -(-rows // height) * -(-columns // width)
        for parts in range(least, most + 1):
            blocks = -(-tiles * parts // _MULTIPROCESSORS)
            products = blocks * height * width * (steps / parts + _START) / share * (_ALONE if blocks == 1 else 1)
            sums = _TRAFFIC * parts * rows * columns * count / _MULTIPROCESSORS + _LAUNCH if parts > 1 else 0
            ways.append((products + sums, parts, -height * width, height, width, tiles))
    _, parts, _, height, width, tiles = min(ways)
    shared = 2 * 64 * (height + width + 8)  # two halves of 64 bytes for each row and column, as in tile.h
    return Cut(f"{height}x{width}", tiles * parts, shared, parts)
