"""Images of another size."""

from __future__ import annotations

from fastnet.backends import _native
from fastnet.backends.native.arrays import KERNELS, empty
from fastnet.ops.resample import kernels
from fastnet.ops.taps import Taps
from fastnet.types import Array


def _resample(x: Array, rows: Taps, columns: Taps, outside: float) -> Array:
    N, C = x.shape[:2]
    y = empty((N, C, *(rows.outputs, columns.outputs)[4 - x.ndim :]), x.dtype)  # signals have no rows
    _native.resample(N, C, rows.packed, columns.packed, outside, x, y)
    return y


KERNELS.update(kernels(_resample))
