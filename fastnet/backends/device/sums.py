"""Sums over parameters and gradients, of all in one launch, and bounds of their rows' norms."""

from __future__ import annotations

from collections.abc import Sequence

import cupy
import numpy as np

from fastnet.backends.device.arrays import kernel
from fastnet.backends.device.compiler import launch
from fastnet.backends.device.tables import Row, table
from fastnet.types import Array

__all__ = ["limit_norms", "power_sums", "power_sums_each"]

_THREADS = 256
_SUMMED = 4096  # elements of a partial sum
_WHOLE = 2**62  # of a piece that is a whole array


def power_sums_each(arrays: Sequence[Array]) -> list[tuple[float, float]] | None:
    """(sum of |x|, sum of x*x) of each array, in float64: two launches and one download for all.

    None if they have no `table`.
    """
    given = table([(x,) for x in arrays], _SUMMED) if arrays else None
    if given is None:
        return None
    totals = cupy.zeros((given.rows, 2), np.float64)
    if given.blocks:
        sums = cupy.empty((given.blocks, 2), np.float64)
        launch("sums", "piece_sums", given.dtype, given.blocks, _THREADS, given.addresses, given.pieces, sums)
        launch("sums", "row_sums", given.dtype, given.rows, _THREADS, sums, given.starts, totals)
    return [(magnitudes, squares) for magnitudes, squares in cupy.asnumpy(totals).tolist()]


@kernel
def power_sums(x: Array) -> tuple[float, float]:
    found = power_sums_each([x])
    if found is None:
        raise TypeError("power_sums takes an array in C order, float32 or float64")
    return found[0]


def limit_norms(each: Sequence[Row], /, rows: int, after: int, limit: float) -> bool:
    """The op of this name on several arrays (one a tuple of `each`), in one launch; False if they have no `table`."""
    given = table(each, _WHOLE)
    if given is None:
        return False
    if given.blocks:
        more = int(rows), int(after), float(limit)
        arrays = given.addresses, given.pieces
        launch("sums", "limit_norms", given.dtype, (int(rows), given.blocks), _THREADS, *arrays, *more)
    return True
