"""CupyOps: ops on an NVIDIA GPU, on kernels of csrc/cuda, else on CuPy's own.

4-d arrays, (N, C, H, W), and 3-d ones, (N, C, L), are channels-last in memory, as in the native backend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cupy
import numpy as np

from fastnet.backends.device import (
    arrays,
    channels,
    conv,
    dense,
    distance,
    elementwise,
    group_norm,
    loss,
    norm,
    pool,
    random,
    resample,
    response_norm,
    scalar,
    shape,
    softmax,
    spans,
    sums,
    updates,
    upload,
)
from fastnet.backends.device.arrays import KERNELS
from fastnet.backends.device.graph import Recording
from fastnet.backends.device.tables import Row
from fastnet.backends.reference import Ops
from fastnet.ops import ACTIVATION, REGISTRY, WEIGHT, Op
from fastnet.types import Array, DTypeLike

__all__ = ["CupyOps"]

# They fill KERNELS when imported.
_FAMILIES = (
    channels,
    conv,
    dense,
    distance,
    elementwise,
    group_norm,
    loss,
    norm,
    pool,
    random,
    resample,
    response_norm,
    scalar,
    shape,
    softmax,
    spans,
    sums,
    updates,
)

_ENTER: dict[str, Callable[[Any], Any]] = {ACTIVATION: arrays.dense, WEIGHT: arrays.c_order}


def _in_order(op: Op, function: Callable[..., Any]) -> Callable[..., Any]:
    """A definition on CuPy whose result is in the kernels' memory order; composed ops call kernels themselves."""
    if op.composed or op.name not in REGISTRY:
        return function

    def run(*given: Any, **more: Any) -> Any:
        result = function(*given, **more)
        return (_ordered(result[0]), *result[1:]) if isinstance(result, tuple) else _ordered(result)

    return run


def _ordered(x: Any) -> Any:
    return arrays.dense(x) if isinstance(x, cupy.ndarray) else x


class CupyOps(Ops):
    """Ops on the current device and stream of CuPy."""

    name = "cupy"
    xp = cupy
    array_types = (cupy.ndarray,)
    fixed_addresses = True

    @property
    def device(self) -> str:
        properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
        return f"{properties['name'].decode()}, CuPy {cupy.__version__}"

    def kernel(self, op: Op) -> Callable[..., Any]:
        return KERNELS.get(op.name) or _in_order(op, super().kernel(op))

    def gradient(self, op: Op) -> Callable[..., Any]:
        return KERNELS.get(f"{op.name}_backward") or _in_order(op, super().gradient(op))

    def enter(self, role: str, x: Any) -> Any:
        return _ENTER[role](x) if role in _ENTER else x

    def protected(self, x: Array) -> Array:
        view: Array = x.view()
        return view

    def update(self, op: Op, given: tuple[Any, ...], attributes: dict[str, Any]) -> None:
        updates.in_place(self.kernel(op), [i.name in op.in_place for i in op.inputs], given, attributes)

    def update_each(self, op: Op, rows: list[Row], attributes: dict[str, Any]) -> None:
        update = updates.EACH.get(op.name)
        if not (rows and update and update(rows, **attributes)):
            super().update_each(op, rows, attributes)

    def power_sums_each(self, given: Sequence[Array]) -> list[tuple[float, float]]:
        return sums.power_sums_each(given) or super().power_sums_each(given)

    smallest = staticmethod(distance.smallest)

    def asarray(self, x: Any, dtype: DTypeLike | None = None) -> Array:
        return arrays.dense(super().asarray(x, dtype))

    ahead = staticmethod(upload.ahead)

    def to_numpy(self, x: Any) -> Array:
        array: Array = cupy.asnumpy(x)
        return array

    def empty(self, shape: Sequence[int], dtype: DTypeLike) -> Array:
        return arrays.empty(tuple(shape), np.dtype(dtype))

    def zeros(self, shape: Sequence[int], dtype: DTypeLike) -> Array:
        y = self.empty(shape, dtype)
        y.fill(0)
        return y

    def records(self, op: Op) -> bool:
        return op.name in REGISTRY

    def recording(self, given: Sequence[Any], kept: Sequence[Any] = ()) -> Recording:
        return Recording(given, kept)
