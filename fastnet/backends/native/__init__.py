"""NativeOps: ops on the compiled kernels of csrc/. Each kernel's function allocates, calls, and returns.

4-d arrays, (N, C, H, W), and 3-d ones, (N, C, L), are channels-last in memory; others are copied once, when they are
passed in.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastnet.backends import _native
from fastnet.backends.native import (
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
    scalar,
    shape,
    softmax,
    updates,
)
from fastnet.backends.native.arrays import KERNELS
from fastnet.backends.native.plan import NativePlan
from fastnet.backends.native.recording import Recording
from fastnet.backends.native.updates import UPDATES
from fastnet.backends.reference import Ops
from fastnet.cores import default_num_threads
from fastnet.graph import Graph
from fastnet.ops import ACTIVATION, REGISTRY, WEIGHT, Op
from fastnet.types import Array, DTypeLike

__all__ = ["NativeOps"]

# They fill KERNELS when imported.
_FAMILIES = (
    *(channels, conv, dense, distance, elementwise, group_norm, loss, norm, pool, random, resample, scalar),
    *(shape, softmax, updates),
)


def _start() -> None:
    """Set the instruction set (FASTNET_ISA) and the number of threads once, when the kernels are loaded."""
    isa = os.environ.get("FASTNET_ISA") or None
    if not _native.set_isa(isa):
        raise ValueError(f"FASTNET_ISA={isa!r} is not available here; this CPU runs {', '.join(_native.isas())}")
    _native.set_threads(default_num_threads())


_start()


def _itself(x: Any) -> Any:
    return x


def _in_order(op: Op, function: Callable[..., Any]) -> Callable[..., Any]:
    """A definition on NumPy whose result is in the kernels' memory order; composed ops call kernels themselves."""
    if op.composed or op.name not in REGISTRY:
        return function

    def run(*given: Any, **more: Any) -> Any:
        result = function(*given, **more)
        return (arrays.dense(result[0]), *result[1:]) if isinstance(result, tuple) else arrays.dense(result)

    return run


_ENTER: dict[str, Callable[[Any], Any]] = {ACTIVATION: arrays.dense, WEIGHT: arrays.c_order}


class NativeOps(Ops):
    """Ops on compiled kernels; an op without a kernel runs its record's definition."""

    name = "native"

    @property
    def choices(self) -> tuple[Any, ...]:
        return _native.isa(), _native.conv_algorithm()

    @property
    def threads(self) -> int:
        return _native.threads()

    def kernel(self, op: Op) -> Callable[..., Any]:
        return KERNELS.get(op.name) or _in_order(op, super().kernel(op))

    def gradient(self, op: Op) -> Callable[..., Any]:
        return KERNELS.get(f"{op.name}_backward") or _in_order(op, super().gradient(op))

    def enter(self, role: str, x: Any) -> Any:
        return _ENTER.get(role, _itself)(x)

    def call(self, op: Op, given: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
        kernel = KERNELS.get(op.name) if op.in_place and len(given) > 1 else None
        if kernel and _native.alike([given]):  # the common case, kept fast: such arrays need no other check
            return kernel(*given, **attributes)
        return super().call(op, given, attributes)

    def update(self, op: Op, given: tuple[Any, ...], attributes: dict[str, Any]) -> None:
        updates.in_place(self.kernel(op), [i.name in op.in_place for i in op.inputs], given, attributes)

    def update_each(self, op: Op, updates: list[updates.Arrays], attributes: dict[str, Any]) -> None:
        update = UPDATES.get(op.name)
        if update and _native.alike(updates):
            update(updates, **attributes)
        else:
            super().update_each(op, updates, attributes)

    def power_sums_each(self, given: Sequence[Array]) -> list[tuple[float, float]]:
        if _native.alike([(x,) for x in given]):
            return updates.power_sums_each(given)
        return super().power_sums_each(given)

    asarray = staticmethod(arrays.asarray)
    contiguous = staticmethod(arrays.contiguous)

    def empty(self, shape: Sequence[int], dtype: DTypeLike) -> Array:
        return arrays.empty(tuple(shape), np.dtype(dtype))

    def zeros(self, shape: Sequence[int], dtype: DTypeLike) -> Array:
        y = self.empty(shape, dtype)
        y[...] = 0
        return y

    smallest = staticmethod(distance.smallest)

    def records(self, op: Op) -> bool:
        return op.name in KERNELS and (op.backward is None or f"{op.name}_backward" in KERNELS)

    def recording(self, given: Sequence[Any], kept: Sequence[Any] = ()) -> Recording:
        return Recording([*given, *kept])

    def plan(self, graph: Graph, batch_size: int = 1) -> NativePlan:
        return NativePlan(self, graph, batch_size)
