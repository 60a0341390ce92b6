"""Allocators of the stand-in: pools count bytes and use blocks again; addresses are invented, NumPy has the arrays."""

from __future__ import annotations

import contextlib
import itertools
import threading
import weakref
from collections import defaultdict

from cuda.emulator import address_of

from . import graphs

_ROUNDED = 512
_addresses = itertools.count(1 << 40, 1 << 34)
_at = {}  # address: weak reference to the NumPy array that has it
_owners = {}  # id of the NumPy array that owns memory: weak reference to the MemoryPointer of the device's arrays on it


class Memory:
    """A block that cudaMalloc returned, which a capture in CuPy's mode, relaxed, may call."""

    def __init__(self, size):
        self.size, self.ptr = size, next(_addresses)


class UnownedMemory:
    """A block that lives as long as its owner, which it keeps."""

    def __init__(self, ptr, size, owner, device_id=-1):
        self.ptr, self.size, self._owner = ptr, size, owner


class MemoryPointer:
    """A place in a block, given back to its pool with the last array on it."""

    def __init__(self, mem, offset, give_back=None):
        self.mem, self.ptr, self._give_back = mem, mem.ptr + offset, give_back

    def __del__(self):
        if self._give_back is not None:
            self._give_back()


class MemoryPool:
    """A pool: blocks by their sizes, each list's last first."""

    def __init__(self, allocator=None):
        self._allocator = allocator or _malloc
        self._free, self._used, self._total = defaultdict(list), 0, 0
        self._given = set()  # addresses

    def malloc(self, size):
        size = max(_ROUNDED, -(-size // _ROUNDED) * _ROUNDED)
        if self._free[size]:
            mem = self._free[size].pop()
        else:
            mem = self._allocator(size).mem
            self._total += size
        self._used += size
        pool = weakref.ref(self)
        self._given.add(mem.ptr)
        return MemoryPointer(mem, 0, lambda: pool() is not None and pool()._take_back(mem, size))

    def __del__(self):
        """CuPy's pool returns its blocks to the device, even those that arrays lie on."""
        for address in self._given:
            if address in _at and (array := _at[address]()) is not None:
                graphs.poison(array)

    def _take_back(self, mem, size):
        self._free[size].append(mem)
        self._given.discard(mem.ptr)
        self._used -= size

    def used_bytes(self):
        return self._used

    def total_bytes(self):
        return self._total

    def free_bytes(self):
        return self._total - self._used


def _malloc(size):
    return MemoryPointer(Memory(size), 0)


_default = MemoryPool()
_local = threading.local()


def get_default_memory_pool():
    """The pool that is used outside of `using_allocator`."""
    return _default


@contextlib.contextmanager
def using_allocator(allocator=None):
    """This thread's allocator, within."""
    before = getattr(_local, "allocator", _default.malloc)
    _local.allocator = allocator or _malloc
    try:
        yield
    finally:
        _local.allocator = before


def place(array):
    """The memory of an array of NumPy on which arrays of the device lie; allocated for the first of them."""
    while isinstance(array.base, type(array)):
        array = array.base
    known = _owners.get(id(array))
    found = known and known()
    if found is None:
        found = getattr(_local, "allocator", _default.malloc)(array.nbytes)
        if (graph := graphs.capturing()) is not None:
            graph.placed(array, found.ptr)
        _owners[id(array)], _at[found.ptr] = weakref.ref(found), weakref.ref(array)
    return found


class Place:
    """Where an array begins: `ndarray.data`."""

    def __init__(self, array, memory):
        self.mem, self.ptr = memory.mem, address_of(array)
