"""Devices and streams of the stand-in: one device, whose work is done when a call returns."""

from __future__ import annotations

import contextlib

from cuda.emulator import address_of


class MemoryPointer:
    """Where an array's first element lies."""

    def __init__(self, array):
        self.ptr = address_of(array)


class Device:
    """The only device."""

    id = 0
    compute_capability = "00"
    mem_info = (1 << 34, 1 << 34)

    def __init__(self, number=0):
        if number:
            raise runtime.CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")

    def synchronize(self):
        pass


class Stream(contextlib.nullcontext):
    """A stream; calls on it are done at once."""

    null: Stream

    def __init__(self, null=False, non_blocking=False, ptds=False):
        super().__init__(self)

    def synchronize(self):
        pass

    def is_capturing(self):
        return False


Stream.null = Stream()


def get_current_stream():
    """The stream of calls."""
    return Stream.null


class runtime:
    """The few calls of the CUDA runtime that fastnet makes."""

    class CUDARuntimeError(RuntimeError):
        """As CuPy's."""

    @staticmethod
    def getDeviceCount():
        return 1

    @staticmethod
    def getDeviceProperties(number):
        return {"name": b"emulator", "major": 0, "minor": 0, "totalGlobalMem": 1 << 34, "multiProcessorCount": 1}

    @staticmethod
    def runtimeGetVersion():
        return 0

    @staticmethod
    def driverGetVersion():
        return 0
