"""Tables of arrays in device memory, so that one launch can work on many arrays.

A table has a row for each parameter (its value, its gradient, its state, ...), cut into pieces of the same number of
elements, one for each block.  Tables are kept, by the addresses and lengths of their arrays: a training step whose
arrays lie where those of an earlier one did uploads none.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import cupy
import numpy as np

from fastnet.ops.checks import FLOATS
from fastnet.types import DType

__all__ = ["KEPT", "MOST", "PIECE", "Row", "Table", "table"]

PIECE = 1024  # elements of a block: four for each thread, so that small networks fill a GPU, too
MOST = 64  # tables kept

Row = tuple[Any, ...]  # arrays, or None
KEPT: dict[Any, Table] = {}
_seen: dict[tuple[int, ...], tuple[list[Callable[[], Any]], Table]] = {}


class Table:
    """Rows of arrays of one dtype, in C order, each row's of one length; None where a row has no such array.

    Attributes
    ----------
    dtype : DType
    addresses : array of int64 (rows * columns,)
        0 for None.
    pieces : array of int64 (blocks * 3,)
        Row, first element and end.
    starts : array of int64 (rows + 1,)
        The first piece of each row, and the number of all.
    rows, blocks : int
    kept : dict
        For users: what they keep in device memory for these arrays.
    """

    def __init__(self, dtype: DType, addresses: Sequence[int], sizes: Sequence[int], piece: int) -> None:
        n = np.array(sizes, np.int64)
        counts = -(-n // piece)
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        row = np.repeat(np.arange(len(n)), counts)
        first = (np.arange(starts[-1]) - starts[row]) * piece
        pieces = np.stack([row, first, np.minimum(first + piece, n[row])], axis=1).astype(np.int64)
        self.dtype, self.rows, self.blocks = dtype, len(n), len(pieces)
        self.addresses = cupy.asarray(np.array(addresses, np.int64))
        self.pieces, self.starts = cupy.asarray(pieces.ravel()), cupy.asarray(starts)
        self.kept: dict[str, Any] = {}


def table(rows: Sequence[Row], piece: int = PIECE, columns: int = 0) -> Table | None:
    """The table of rows of at least so many columns: one that was kept, or a new one.

    None unless kernels can take the arrays as they are: floats of one dtype, in C order, those of a row of one shape.
    """
    arrays = [x for row in rows for x in row]
    names = piece, columns, len(rows), *map(id, arrays)
    seen = _seen.get(
        names
    )  # the quick way, for arrays that were checked: these very objects, not new ones in their place
    if seen is not None and all(reference() is x for reference, x in zip(seen[0], arrays, strict=True)):
        return seen[1]
    if not _alike(rows):
        return None
    found = _by_address([(*row, *[None] * (columns - len(row))) for row in rows], piece)
    _seen.pop(names, None)
    _keep(_seen, names, ([_nothing if x is None else weakref.ref(x) for x in arrays], found))
    return found


def _by_address(rows: Sequence[Row], piece: int) -> Table:
    dtype = rows[0][0].dtype
    addresses = [0 if x is None else x.data.ptr for row in rows for x in row]
    sizes = [row[0].size for row in rows]
    key = piece, dtype.char, (*addresses,), (*sizes,)
    found = KEPT.pop(key, None) or Table(dtype, addresses, sizes, piece)
    _keep(KEPT, key, found)
    return found


def _keep(kept: dict[Any, Any], key: Any, value: Any) -> None:
    """Add a value as the last to go."""
    kept[key] = value
    if len(kept) > MOST:
        del kept[next(iter(kept))]


def _nothing() -> None:
    return None


def _alike(rows: Sequence[Row]) -> bool:
    dtype = next((x.dtype for row in rows for x in row if x is not None), None)
    if dtype not in FLOATS:
        return False
    for row in rows:
        if row[0] is None:
            return False
        shape = row[0].shape
        for x in row:
            if x is not None and not (
                isinstance(x, cupy.ndarray) and x.dtype == dtype and x.shape == shape and x.flags.c_contiguous
            ):
                return False
    return True
