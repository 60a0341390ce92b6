"""Recordings: the kernel calls of a piece of work, kept while it runs and then run again in one call.

A recording knows the arrays that it was given, and each array that was allocated meanwhile, with the place in the
sequence of calls where it was allocated and freed. csrc/engine/recording.c repeats all of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any, NamedTuple, Self

import numpy as np

from fastnet.backends import _native
from fastnet.types import Array, DType

_DOUBLE = 8  # bytes


@dataclass(eq=False)
class _Block:
    """The memory of an array that was given, or allocated during the recording."""

    address: int
    size: int
    number: int  # among all arrays
    written: bool = False  # by a kernel, or by the caller
    wanted: bool = False  # an output

    def contains(self, address: int) -> bool:
        return self.address <= address < self.address + max(1, self.size)


class Recording:
    """A context manager: keeps the kernel calls that this thread makes inside.

    Parameters
    ----------
    given : sequence of contiguous arrays
        All that is read or changed and is not allocated inside.  They are told apart by their addresses, so no two may
        share memory.

    Attributes
    ----------
    reason : str
        Why the calls cannot be run again: a kernel read something that no kernel wrote and that was not given, or given
        arrays share memory. "" if they can.
    """

    def __init__(self, given: Sequence[Array]) -> None:
        self._given = [_Block(_address(array), array.nbytes, n, written=True) for n, array in enumerate(given)]
        neighbours = pairwise(sorted(self._given, key=lambda block: block.address))
        overlap = any(one.contains(other.address) for one, other in neighbours)
        self.reason = "two of the arrays share memory" if overlap else ""
        if not all(_native.layout(array) for array in given):
            self.reason = "one of the arrays is not contiguous"
        self._blocks: list[_Block] = []
        self._alive: dict[int, _Block] = {}
        self._actions: list[tuple[int, int]] = []
        self._calls: list[tuple[int, int, int, int]] = []
        self._words: list[int | bytes] = []
        self._references: list[tuple[int, int, int]] = []  # word, array, offset
        self._results = 0

    def __enter__(self) -> Self:
        _native.set_recorder(self)
        return self

    def __exit__(self, *error: object) -> None:
        _native.set_recorder(None)

    # ---------------------------------------------------------------- what the bindings report

    def born(self, address: int, size: int) -> None:
        block = _Block(address, size, len(self._given) + 1 + len(self._blocks))  # 1: the results
        self._alive[address] = block
        self._blocks.append(block)
        self._actions.append((_native.DO_ALLOC, block.number))

    def died(self, address: int) -> None:
        block = self._alive.pop(address, None)
        if block is not None:
            self._actions.append((_native.DO_FREE, block.number))

    def batch(self, deed: int) -> None:
        self._actions.append((deed, 0))

    def call(self, name: str, kinds: str, function: int, dtype: int, words: list[int | bytes]) -> None:
        self._actions.append((_native.DO_CALL, len(self._calls)))
        self._calls.append((function, dtype, len(self._words), len(self._references)))
        written = []
        for at, (kind, word) in enumerate(zip(kinds, words, strict=True), len(self._words)):
            if kind == "d":
                self._references.append((at, len(self._given), self._results * _DOUBLE))
                self._results += 1
            elif kind in "rw" and isinstance(word, int) and word:
                block = self._find(word)
                if block is None or (kind == "r" and not block.written):
                    self.reason = self.reason or f"{name} reads an array that was computed outside the kernels"
                    continue
                self._references.append((at, block.number, word - block.address))
                written += [block] if kind == "w" else []
        for block in written:
            block.written = True
        self._words += words

    def _find(self, address: int) -> _Block | None:
        return next((block for block in chain(self._alive.values(), self._given) if block.contains(address)), None)

    # ---------------------------------------------------------------- the result

    def finish(self, outputs: Sequence[Array], again: object = None) -> Recorded | None:
        """What runs the calls again; None if that is impossible, for the `reason`.

        outputs : sequence of arrays
            Those that were computed inside and are wanted.
        again : function, optional
            What does the work again: for backends that run it to record it.
        """
        made = []
        for array in outputs:
            block = self._alive.get(_address(array))
            if block is None or not block.written or block.wanted:
                self.reason = self.reason or "a result was computed outside the kernels"
                return None
            block.wanted = True
            made.append(_Output(block.number, array.shape, array.dtype, array.strides))
        if self.reason:
            return None
        rest = [(_native.DO_FREE, block.number) for block in self._alive.values() if not block.wanted]
        native = _native.Recorded(
            self._actions + rest,
            [*self._calls, (0, 0, len(self._words), len(self._references))],
            self._words,
            self._references,
            [block.size for block in self._blocks],
            len(self._given),
            self._results,
        )
        return Recorded(native, made, len(self._calls))


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


class _Output(NamedTuple):
    number: int
    shape: tuple[int, ...]
    dtype: DType
    strides: tuple[int, ...]


class Recorded:
    """Kernel calls that run again, from any number of threads.

    Attributes
    ----------
    calls : int
        The number of kernel calls.
    """

    reason = ""  # why the last run was op by op

    def __init__(self, native: _native.Recorded, outputs: list[_Output], calls: int) -> None:
        self.calls = calls
        self._native, self._outputs, self._wanted = native, outputs, [output.number for output in outputs]

    def run(self, given: Sequence[Array], kept: Sequence[Array] = ()) -> tuple[list[float], list[Array]]:
        """Run on other arrays of the same shapes, dtypes and memory order: (results, outputs)."""
        results, memory = self._native.run([*given, *kept], self._wanted)
        blocks: list[Any] = memory
        made = zip(self._outputs, blocks, strict=True)
        return results, [np.ndarray(shape, dtype, block, 0, strides) for (_, shape, dtype, strides), block in made]
