"""Devices and streams of the stand-in: one device, whose work is done when a call returns."""

from __future__ import annotations

import contextlib

from . import graphs
from .graphs import Event, Graph, Stream, get_current_stream
from .memory import Memory, MemoryPointer, MemoryPool, UnownedMemory, using_allocator

__all__ = ["Device", "Event", "Graph", "Memory", "MemoryPointer", "MemoryPool", "Stream"]
__all__ += ["UnownedMemory", "alloc_pinned_memory", "get_current_stream", "runtime", "using_allocator"]


class Device(contextlib.nullcontext):
    """The only device."""

    id = 0
    compute_capability = "00"
    mem_info = (1 << 34, 1 << 34)

    def __init__(self, number=0):
        super().__init__(self)
        if number:
            raise runtime.CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")

    def synchronize(self):
        graphs.refuse("cudaDeviceSynchronize")


def alloc_pinned_memory(size):
    """Page-locked memory; CuPy's is at least as large as asked for."""
    return bytearray(max(size, 512))


class runtime:
    """The few calls of the CUDA runtime that fastnet makes."""

    CUDARuntimeError = graphs.CUDARuntimeError

    @staticmethod
    def getDeviceCount():
        return 1

    @staticmethod
    def getDeviceProperties(number):
        return {"name": b"emulator", "major": 0, "minor": 0, "totalGlobalMem": 1 << 34, "multiProcessorCount": 1}
