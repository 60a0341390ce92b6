"""Records what moves between the host's memory and the device's, for tests; CuPy has no such module."""

from __future__ import annotations

import contextlib

_open = []


class Transfers:
    """Copies within a block of code.

    Attributes
    ----------
    up, down : list of (shape, name of the dtype)
        Arrays, also those of one number; numbers among a kernel's arguments are none.
    """

    def __init__(self):
        self.up, self.down = [], []


def uploaded(array):
    for each in _open:
        each.up.append((array.shape, array.dtype.name))


def downloaded(array):
    for each in _open:
        each.down.append((array.shape, array.dtype.name))


@contextlib.contextmanager
def recorded():
    """Transfers, which grow during the block."""
    transfers = Transfers()
    _open.append(transfers)
    try:
        yield transfers
    finally:
        _open.remove(transfers)
