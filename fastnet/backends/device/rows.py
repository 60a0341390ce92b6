"""Arrays as rows of adjacent elements, pixels of channels: the blocks of csrc/cuda/rows.h, and how rows are summed."""

from __future__ import annotations

__all__ = ["BLOCK", "blocks_of_rows", "parts_of_images", "parts_of_rows", "tile", "tile_of_parts"]

BLOCK = 256  # threads
_BLOCKS = 512  # of sums: enough for every multiprocessor, and few enough to be added by few
_SERIAL = 32  # parts that one thread adds
_NARROW = 4  # columns, at least, of a block that adds parts: a sector of memory
_ROWS_PER_THREAD = 8  # at least, where rows are summed


def tile(rows: int, columns: int, widest: int = BLOCK) -> tuple[tuple[int, int], int]:
    """A block's threads, (columns, rows), and how many blocks of up to `widest` columns lie side by side."""
    across = max(1, -(-columns // widest))
    X = max(1, -(-columns // across))
    return (X, max(1, min(BLOCK // X, rows))), across


def blocks_of_rows(rows: int, columns: int, per_thread: int = 1) -> tuple[tuple[int, int], tuple[int, int]]:
    """(blocks, threads) for kernels whose threads visit up to `per_thread` rows, gridDim.x * blockDim.y apart."""
    threads, across = tile(rows, columns)
    return (max(1, -(-rows // (threads[1] * per_thread))), across), threads


def parts_of_rows(rows: int, columns: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """(blocks, threads) for sums over rows: part p of `parts` is rows*p // parts to rows*(p + 1) // parts - 1, one for
    each blockIdx.x.  The partition depends on the shape alone, and so do the bits of the sums."""
    threads, across = tile(rows, columns)
    parts = min(rows // (threads[1] * _ROWS_PER_THREAD), _BLOCKS // across)
    return (max(1, parts), across), threads


def parts_of_images(images: int, pixels: int, per_block: int) -> int:
    """How many blocks share the pixels of each image, of which a block visits `per_block` at a time; from the shape
    alone, too."""
    return max(1, min(pixels // (per_block * _ROWS_PER_THREAD), _BLOCKS // max(1, images), _SERIAL))


def tile_of_parts(parts: int, columns: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """(blocks, threads) for kernels that add the parts of each column: as many threads to a column as help."""
    threads, across = tile(parts, columns, max(_NARROW, BLOCK // max(1, parts)))
    return (1, across), threads
