"""Max pooling with windows of several sizes: adaptive, and fractional."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import cupy
import numpy as np

from fastnet.backends.device.arrays import KERNELS, c_empty, empty, kernel
from fastnet.backends.device.compiler import launch, spread
from fastnet.backends.device.pool import index_arrays
from fastnet.backends.device.random import stream_numbers
from fastnet.backends.device.rows import blocks_of_rows
from fastnet.ops import Stream
from fastnet.ops.fractional import reach
from fastnet.ops.taps import intervals
from fastnet.types import Array, DType, Shape


class _Windows(NamedTuple):
    """The windows of an image, or of each, along its axes: arrays of (first, end), and what they advance by."""

    rows: Array
    columns: Array
    row_step: int
    column_step: int


@lru_cache(256)
def _intervals(size: int, outputs: int, device: int) -> Array:
    found: Array = cupy.asarray(np.array(intervals(size, outputs), np.int64))
    return found


def _pool(x: Array, size: tuple[int, int], reached: tuple[int, int], windows: _Windows) -> tuple[Array, Any]:
    """The maxima; `reached` is the size of the largest window."""
    (N, C, H, W), (P, Q), (R, S) = x.shape, size, reached
    y, index = empty((N, C, P, Q), x.dtype), index_arrays((N, C, P, Q), R * S)
    sizes = N * P * Q, C, H, W, P, Q, S
    launch("spans", "span_max", x.dtype, *blocks_of_rows(N * P * Q, C), x, *windows, y, *index, *sizes)
    return y, (index, x.shape, S, windows)


def _backward(dy: Array, saved: tuple[Any, Shape, int, _Windows], needs: Sequence[bool] = (True,)) -> Array:
    index, (N, C, H, W), S, windows = saved
    (P, Q), dx = dy.shape[2:], empty((N, C, H, W), dy.dtype)
    sizes = N * H * W, C, H, W, P, Q, S
    launch("spans", "span_max_backward", dy.dtype, *blocks_of_rows(N * H * W, C), dy, *windows, *index, dx, *sizes)
    return dx


@kernel
def adaptive_max_pool2d(x: Array, size: tuple[int, int]) -> tuple[Array, Any]:
    (H, W), (P, Q), device = x.shape[2:], size, cupy.cuda.Device().id
    largest = [max(end - first for first, end in intervals(*axis)) for axis in ((H, P), (W, Q))]
    windows = _Windows(_intervals(H, P, device), _intervals(W, Q, device), 0, 0)
    return _pool(x, size, (largest[0], largest[1]), windows)


def _spans(
    dtype: DType, images: int, size: int, outputs: int, window: int, overlapping: bool, random: bool, stream: Any
) -> Array:
    """fastnet.ops.fractional.spans on the device."""
    steps = outputs - 1 if window else outputs
    numbers = None if stream is None else stream_numbers(stream, images * steps if random else images, dtype)
    found = c_empty((images, outputs, 2), np.int64)
    given = numbers, found, images, size, outputs, window, int(overlapping), int(random)
    launch("spans", "fractional_spans", dtype, *spread(images), *given)
    return found


@kernel
def fractional_max_pool2d(
    x: Array,
    size: tuple[int, int],
    window: tuple[int, int] | None = None,
    overlapping: bool = True,
    random: bool = False,
    stream: Stream | None = None,
) -> tuple[Array, Any]:
    (N, _, H, W), (P, Q), (R, S) = x.shape, size, window or (0, 0)
    rows = _spans(x.dtype, N, H, P, R, overlapping, random, stream)
    columns = _spans(x.dtype, N, W, Q, S, overlapping, random, stream)
    reached = reach(H, P, R, overlapping), reach(W, Q, S, overlapping)
    return _pool(x, size, reached, _Windows(rows, columns, 2 * P, 2 * Q))


KERNELS["adaptive_max_pool2d_backward"] = KERNELS["fractional_max_pool2d_backward"] = _backward
