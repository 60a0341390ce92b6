"""Images of another size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastnet.backends import _native
from fastnet.backends.native.arrays import KERNELS, empty
from fastnet.ops.resample import TAPS
from fastnet.ops.taps import Taps
from fastnet.types import Array


def _resample(x: Array, rows: Taps, columns: Taps, outside: float = 0.0) -> Array:
    N, C = x.shape[:2]
    y = empty((N, C, *(rows.outputs, columns.outputs)[4 - x.ndim :]), x.dtype)  # signals have no rows
    _native.resample(N, C, rows.packed, columns.packed, outside, x, y)
    return y


def _forward(both: Callable[..., tuple[Taps, Taps]]) -> Callable[..., tuple[Array, Any]]:
    def forward(x: Array, **attributes: Any) -> tuple[Array, Any]:
        rows, columns = both(x.shape, **attributes)
        return _resample(x, rows, columns, attributes.get("value", 0.0)), (rows, columns)

    return forward


def _backward(dy: Array, saved: tuple[Taps, Taps], needs: Sequence[bool] = (True,)) -> Array:
    rows, columns = saved
    return _resample(dy, rows.transposed, columns.transposed)


for _name, _both in TAPS.items():
    KERNELS[_name], KERNELS[f"{_name}_backward"] = _forward(_both), _backward
