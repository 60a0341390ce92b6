"""Pieces of work as CUDA graphs: run once op by op, captured at the next run, and launched from then on.

While a stream is captured, kernels are not run but listed, with the addresses of their arrays, so a graph needs arrays
that stay where they are.  What each run brings (a batch) is copied into arrays of the graph's own; parameters and
running statistics are used in place, and a graph ends when one of them is replaced; all else lies in an `Arena`, whose
memory is used again within the work, and by nothing else.  Positions of random streams are read from device memory.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Self

import cupy
import numpy as np

from fastnet.backends import algorithm, precision
from fastnet.backends.device import compiler
from fastnet.backends.device.random import Positions
from fastnet.types import Array

__all__ = ["Recorded", "Recording", "repeatable"]

Work = Callable[[list[Array]], tuple[list[Any], list[Array]]]


class _Here(threading.local):
    repeatable = 0


_here = _Here()


def repeatable() -> bool:
    """Whether this thread runs work that is captured, or will be: products then use our own kernels in every run, since
    cuBLAS cannot be captured, and its bits are others."""
    return _here.repeatable > 0


@contextlib.contextmanager
def _repeatable() -> Iterator[None]:
    _here.repeatable += 1
    try:
        yield
    finally:
        _here.repeatable -= 1


class Arena:
    """Memory of one piece of work; arrays that are made within ``with arena.used():`` lie there.

    It is handed out as if on the default stream, so that a captured stream finds what earlier runs have left, and
    blocks return to the device only when the arena and all arrays on it are gone: a graph knows their addresses, and
    CuPy's pools do not live for their arrays' sake.
    """

    def __init__(self) -> None:
        self._blocks: list[Any] = []
        self._pool = cupy.cuda.MemoryPool(self._new_block)

    def _new_block(self, size: int) -> Any:
        block = cupy.cuda.Memory(size)
        self._blocks.append(block)
        return cupy.cuda.MemoryPointer(block, 0)

    def _allocate(self, size: int) -> Any:
        with cupy.cuda.Stream.null:
            place = self._pool.malloc(size)
        memory = cupy.cuda.UnownedMemory(place.ptr, size, (place, self), cupy.cuda.Device().id)
        return cupy.cuda.MemoryPointer(memory, 0)

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        with cupy.cuda.using_allocator(self._allocate):
            yield

    def contains(self, array: Array) -> bool:
        address = _pointer(array).mem.ptr
        return any(block.ptr <= address < block.ptr + block.size for block in self._blocks)

    @property
    def total_bytes(self) -> int:
        total: int = self._pool.total_bytes()
        return total


class _Captured(NamedTuple):
    graph: Any
    positions: Positions
    losses: list[Array]
    outputs: list[Array]
    outside: list[Array]  # kernels' arguments outside of the arena, which caches may let go


class Recording:
    """A context manager around the first run of a piece of work, which compiles its kernels.

    Parameters
    ----------
    given : sequence of arrays
        What each run brings anew, in the same shapes, dtypes and memory order.
    kept : sequence of arrays
        What runs find where the last one left it, as parameters; positions of random streams are NumPy's.
    """

    reason = ""

    def __init__(self, given: Sequence[Array], kept: Sequence[Array] = ()) -> None:
        self._recorded = Recorded(kept)

    def __enter__(self) -> Self:
        self._run = self._recorded.surroundings()
        self._run.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._run.__exit__(*error)

    def finish(self, outputs: Sequence[Array], again: Work) -> Recorded:
        """What runs the work again: ``again(given)`` does it on other arrays, and returns (losses, outputs)."""
        self._recorded.again = again
        return self._recorded


class Recorded:
    """Work that runs as a CUDA graph, from the second run on which every kept array is where it was in the run before.

    FASTNET_GPU_GRAPHS=0 turns graphs off; the bits are the same.

    Attributes
    ----------
    reason : str
        Why the last run was op by op; "" if it was not.
    """

    again: Work

    def __init__(self, kept: Sequence[Array]) -> None:
        self.reason = ""
        self.arena = Arena()
        self._obstacle = "FASTNET_GPU_GRAPHS=0" if os.environ.get("FASTNET_GPU_GRAPHS") == "0" else ""
        self._key = _key(kept)
        self._buffers: list[Array] = []
        self._captured: _Captured | None = None
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def surroundings(self) -> Iterator[None]:
        """What each run takes place in."""
        with contextlib.nullcontext() if self._obstacle else self.arena.used(), _repeatable():
            yield

    def run(self, given: Sequence[Array], kept: Sequence[Array] = ()) -> tuple[list[float], list[Array]]:
        """(losses, outputs) of the work on these arrays.  The next run overwrites all outputs but the first."""
        with self._lock:
            key = _key(kept)
            moved, self._key = key != self._key, key
            if moved:
                self._captured = None
            elif self._captured is None and not self._obstacle:
                self._capture(given, kept)
            if self._captured is not None:
                self.reason = ""
                return self._replay(self._captured, given, kept)
            self.reason = self._obstacle or "arrays of the network are not where they were in the last step"
            with self.surroundings():
                return self.again(list(given))

    def _capture(self, given: Sequence[Array], kept: Sequence[Array]) -> None:
        stream, positions, graph = cupy.cuda.Stream(non_blocking=True), Positions(_positions(kept)), None
        outside: list[Array] = []

        def watch(arguments: tuple[Any, ...]) -> None:
            arrays = (x for x in arguments if isinstance(x, cupy.ndarray))
            outside.extend(x for x in arrays if not self.arena.contains(x))

        self._buffers = self._buffers or [cupy.empty_like(x) for x in given]
        with self.surroundings(), compiler.watching(watch), stream:
            stream.begin_capture()
            try:
                with positions:
                    losses, outputs = self.again(self._buffers)
                graph = stream.end_capture()
            except (RuntimeError, MemoryError) as error:
                self._obstacle = f"the step cannot be captured: {' '.join(str(error).split())}"
                self._buffers, self.arena = [], Arena()
            finally:
                if graph is None:  # the stream is captured still, or an error has ended that
                    with contextlib.suppress(RuntimeError):
                        stream.end_capture()
        if graph is not None:
            self._captured = _Captured(graph, positions, losses, outputs, outside)

    def _replay(
        self, captured: _Captured, given: Sequence[Array], kept: Sequence[Array]
    ) -> tuple[list[float], list[Array]]:
        for buffer, array in zip(self._buffers, given, strict=True):
            buffer[...] = array
        captured.positions.advance(_positions(kept))
        captured.graph.launch()
        first, *others = captured.outputs
        return [float(loss[0]) for loss in captured.losses], [first.copy(order="K"), *others]


def _positions(kept: Sequence[Array]) -> list[Array]:
    return [array for array in kept if isinstance(array, np.ndarray)]


def _key(kept: Sequence[Array]) -> tuple[Any, ...]:
    """What a graph depends on besides the arrays that are given to each run."""
    places = (_pointer(x).ptr for x in kept if isinstance(x, cupy.ndarray))
    return (cupy.cuda.Device().id, algorithm.chosen, precision.get(), *places)


def _pointer(array: Any) -> Any:
    """CuPy's pointer to an array's first element."""
    return array.data
