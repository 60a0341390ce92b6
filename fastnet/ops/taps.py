"""Linear maps along an axis, as the inputs and weights of each output: padding, interpolation, averages."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from fastnet.types import Array

__all__ = ["PADDINGS", "Taps", "area", "intervals", "linear", "nearest", "padded"]

PADDINGS = ("constant", "reflect", "replicate", "circular")


@dataclass(frozen=True, eq=False)
class Taps:
    """Output p is the sum of weights[t] * x[inputs[t]] for t from starts[p] to starts[p + 1] - 1.

    Attributes
    ----------
    size, outputs : int
    starts, inputs : array of int64, (outputs + 1,) and (taps,)
    weights : array of float64, (taps,)
    """

    size: int
    outputs: int
    starts: Array
    inputs: Array
    weights: Array

    @classmethod
    def of(cls, size: int, outputs: int, output: Array, inputs: Array, weights: Array) -> Taps:
        """From the output, input and weight of each tap, in any order; taps without weight are left out."""
        kept = weights != 0
        output, inputs, weights = output[kept], inputs[kept], weights[kept]
        order = np.lexsort((inputs, output))
        starts = np.concatenate([[0], np.cumsum(np.bincount(output, minlength=outputs))])
        arrays = starts.astype(np.int64), inputs[order].astype(np.int64), weights[order].astype(np.float64)
        for array in arrays:
            array.flags.writeable = False
        return cls(size, outputs, *arrays)

    @cached_property
    def transposed(self) -> Taps:
        """The adjoint map, from the outputs to the inputs."""
        output = np.repeat(np.arange(self.outputs), np.diff(self.starts))
        return Taps.of(self.outputs, self.size, self.inputs, output, self.weights)

    @cached_property
    def packed(self) -> bytes:
        """The same as ``fn_axis`` of csrc/fastnet.h."""
        head = np.array([self.size, self.outputs, len(self.inputs)], np.int64)
        return b"".join(array.tobytes() for array in (head, self.starts, self.inputs, self.weights))

    def __call__(self, xp: Any, x: Array, axis: int) -> Any:
        """The map along an axis of x; outputs without taps are 0."""
        x = xp.moveaxis(x, axis, 0)
        y, counts = xp.zeros((self.outputs, *x.shape[1:]), x.dtype), np.diff(self.starts)
        for rank in range(int(counts.max(initial=0))):
            some = np.flatnonzero(counts > rank)
            at = self.starts[:-1][some] + rank
            weights = xp.asarray(self.weights[at].astype(x.dtype)).reshape(-1, *(1,) * (x.ndim - 1))
            terms, some = x[xp.asarray(self.inputs[at])] * weights, xp.asarray(some)
            y[some] = terms if rank == 0 else y[some] + terms
        return xp.moveaxis(y, 0, axis)


@lru_cache(256)
def padded(size: int, before: int, after: int, mode: str) -> Taps:
    """An axis with `before` and `after` more elements; negative numbers remove elements.

    Parameters
    ----------
    mode : "constant", "reflect", "replicate" or "circular"
        What is outside: nothing; the axis mirrored at its first and last element; these elements; the axis repeated.
    """
    outputs = size + before + after
    output = np.arange(outputs)
    position = output - before
    if mode == "constant":
        output = output[(position >= 0) & (position < size)]
        inputs = output - before
    elif mode == "reflect":
        mirrored = np.abs(position) % max(2 * size - 2, 1)
        inputs = np.minimum(mirrored, 2 * size - 2 - mirrored)
    elif mode == "circular":  # what is left of the axis is repeated
        removed = max(-before, 0)
        inputs = removed + (position - removed) % max(size - removed - max(-after, 0), 1)
    else:
        inputs = np.clip(position, 0, size - 1)
    return Taps.of(size, outputs, output, inputs, np.ones(len(output)))


@lru_cache(256)
def nearest(size: int, outputs: int, scale: float | None = None) -> Taps:
    """Output p is x[floor(p / scale)]; by default, and for outputs of size or 2 size, `scale` is outputs / size."""
    output = np.arange(outputs)
    if outputs in (size, 2 * size):
        scale = None
    # PyTorch rounds given scales to float32
    position = output * size // outputs if scale is None else np.float32(1 / scale) * output.astype(np.float32)
    return Taps.of(size, outputs, output, np.minimum(position.astype(np.int64), size - 1), np.ones(outputs))


@lru_cache(256)
def linear(size: int, outputs: int, align_corners: bool, scale: float | None = None) -> Taps:
    """Interpolation between the two nearest elements.

    Elements are the centres of intervals that tile the axis, and output p lies at (p + 1/2) / scale - 1/2, but not
    before element 0; with `align_corners` the first and last outputs are the first and last elements.  By default,
    and where nothing is enlarged, `scale` is outputs / size.
    """
    output = np.arange(outputs)
    if outputs == size:
        scale = None
    if align_corners:
        position = output * ((size - 1) / (outputs - 1) if outputs > 1 else 0.0)
    else:
        position = np.maximum((output + 0.5) * (size / outputs if scale is None else 1 / scale) - 0.5, 0)
    low = np.minimum(position.astype(np.int64), size - 1)
    high, part = np.minimum(low + 1, size - 1), np.minimum(position - low, 1.0)
    inside = high > low
    return Taps.of(
        size,
        outputs,
        np.concatenate([output, output[inside]]),
        np.concatenate([low, high[inside]]),
        np.concatenate([np.where(inside, 1 - part, 1.0), part[inside]]),
    )


def intervals(size: int, outputs: int) -> list[tuple[int, int]]:
    """(first, end) of the elements of each output of adaptive pooling: they cover the axis and may overlap."""
    return [(p * size // outputs, -(-(p + 1) * size // outputs)) for p in range(outputs)]


@lru_cache(256)
def area(size: int, outputs: int) -> Taps:
    """Output p is the mean of its interval."""
    spans = intervals(size, outputs)
    counts = np.array([end - first for first, end in spans])
    inputs = np.concatenate([np.arange(first, end) for first, end in spans])
    return Taps.of(size, outputs, np.repeat(np.arange(outputs), counts), inputs, np.repeat(1 / counts, counts))
