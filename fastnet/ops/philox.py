"""Philox4x32-10: counter-based random numbers (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").

Number i of a stream depends on (seed, i) alone, so any thread can compute any part of it.
"""

from __future__ import annotations

import numpy as np

from fastnet.types import Array, DTypeLike

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW = np.uint64(0xFFFFFFFF)


def words(seed: int, offset: int, count: int) -> Array:
    """`count` 32-bit words of stream `seed`, from word number `offset` on; block i holds words 4i to 4i+3."""
    first, last = offset // 4, (offset + count + 3) // 4
    block = np.arange(first, last, dtype=np.uint64)
    zero = np.zeros_like(block)
    flat = bijection((block & _LOW, block >> np.uint64(32), zero, zero), seed).reshape(-1)
    return flat[offset - 4 * first : offset - 4 * first + count]


def bijection(counter: tuple[Array, Array, Array, Array], key: int) -> Array:
    """Four 32-bit words, uint32 (..., 4), for each 128-bit counter, given as four arrays of words, the lowest first."""
    c0, c1, c2, c3 = counter
    k0, k1 = key & 0xFFFFFFFF, (key >> 32) & 0xFFFFFFFF
    for _ in range(10):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (
            (p1 >> np.uint64(32)) ^ c1 ^ np.uint64(k0),
            p1 & _LOW,
            (p0 >> np.uint64(32)) ^ c3 ^ np.uint64(k1),
            p0 & _LOW,
        )
        k0, k1 = (k0 + _W0) & 0xFFFFFFFF, (k1 + _W1) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def uniform(seed: int, offset: int, count: int, dtype: DTypeLike) -> Array:
    """`count` numbers in [0, 1): the upper 24 bits of each word times 2**-24, in both dtypes."""
    scale = np.array(2.0**-24, dtype)[()]
    numbers: Array = (words(seed, offset, count) >> np.uint32(8)).astype(dtype) * scale
    return numbers
