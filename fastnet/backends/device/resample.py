"""Images of another size."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import cupy

from fastnet.backends.device.arrays import KERNELS, empty
from fastnet.backends.device.compiler import launch
from fastnet.backends.device.rows import blocks_of_rows
from fastnet.ops.resample import kernels
from fastnet.ops.taps import Taps
from fastnet.types import Array

_there: WeakKeyDictionary[Taps, dict[int, tuple[Array, ...]]] = WeakKeyDictionary()


def _tables(taps: Taps) -> tuple[Array, ...]:
    """starts, inputs and weights on the current device, uploaded once."""
    found, device = _there.setdefault(taps, {}), cupy.cuda.Device().id
    if device not in found:
        found[device] = tuple(cupy.asarray(array) for array in (taps.starts, taps.inputs, taps.weights))
    return found[device]


def _resample(x: Array, rows: Taps, columns: Taps, outside: float) -> Array:
    (N, C), P, Q = x.shape[:2], rows.outputs, columns.outputs
    y = empty((N, C, *(P, Q)[4 - x.ndim :]), x.dtype)  # signals have no rows
    sizes = N * P * Q, C, rows.size, columns.size, P, Q, float(outside)
    blocks = blocks_of_rows(N * P * Q, C)
    launch("resample", "resample", x.dtype, *blocks, x, y, *_tables(rows), *_tables(columns), *sizes)
    return y


KERNELS.update(kernels(_resample))
