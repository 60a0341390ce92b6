"""Input arrays between inaccessible pages (POSIX): an access outside them is a segmentation fault."""

from __future__ import annotations

import ctypes
import mmap

import numpy as np
import pytest

GUARD = 1 << 20  # inaccessible bytes, on each side
LIBRARY = ctypes.CDLL(None, use_errno=True)
if hasattr(LIBRARY, "mprotect"):
    LIBRARY.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def guarded(x, at_end):
    """A copy of a dense array, with the same strides, adjacent to the inaccessible pages behind or before it."""
    if not hasattr(LIBRARY, "mprotect"):
        pytest.skip("no mprotect here")
    accessible = -(-max(x.nbytes, 1) // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, accessible + 2 * GUARD)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for guard in (start, start + GUARD + accessible):
        _protect(guard, GUARD)
    offset = GUARD + (accessible - x.nbytes if at_end else 0)
    order = np.argsort([-stride for stride in x.strides], kind="stable")
    view = np.ndarray([x.shape[axis] for axis in order], x.dtype, memory, offset).transpose(np.argsort(order))
    assert view.strides == x.strides or x.size <= 1 or 1 in x.shape, "a dense array is expected"
    view[...] = x
    return view


def _protect(address, size):
    if LIBRARY.mprotect(address, size, 0):
        raise OSError(ctypes.get_errno(), "mprotect")
