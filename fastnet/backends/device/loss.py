"""Losses: Python floats; while a step is captured, where nothing may wait for the device, arrays of one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import cupy
import numpy as np

from fastnet.backends.device.arrays import KERNELS, c_empty, c_order, empty, extents, kernel
from fastnet.backends.device.compiler import launch, spread
from fastnet.backends.device.softmax import lane_bits
from fastnet.ops.target_loss import KINDS
from fastnet.types import Array

_NONE = -(2**63)  # no label
_THREADS = 256
_Counted = tuple[Array | None, int, float]  # parts of the number that a loss is divided by, their number; or the number


def _numbers(labels: Array) -> Any:
    """Class numbers as kernels read them."""
    return c_order(labels.astype(np.int64, copy=False))


def _value(loss: Array) -> Any:
    return loss if cupy.cuda.get_current_stream().is_capturing() else float(loss[0])


def _finished(parts: Array, dtype: Any, counted: _Counted) -> Any:
    """The loss, from its blocks' parts."""
    if parts.size == 1:
        return _value(parts)
    loss = c_empty((1,), np.float64)
    launch("losses", "finish_loss", dtype, 1, _THREADS, parts, parts.size, *counted, loss)
    return _value(loss)


def _counted(labels: Array, weight: Array | None, ignored: int, dtype: Any) -> _Counted:
    """How many labels are not ignored, or the sum of their weights."""
    if weight is None and ignored == _NONE:
        return None, 0, float(labels.size)
    blocks = min(spread(labels.size, _THREADS)[0], _THREADS)
    counts = c_empty((blocks,), np.float64)
    launch("losses", "count_labels", dtype, blocks, _THREADS, labels, weight, labels.size, ignored, counts)
    return counts, blocks, 0.0


def _cross_entropy(
    scores: Array,
    labels: Array | None,
    targets: Array | None,
    weight: Array | None,
    counted: _Counted,
    ignored: int,
    smoothing: float,
) -> tuple[Any, Array]:
    (N, pixels, C), dscores = extents(scores.shape), empty(scores.shape, scores.dtype)
    rows, bits = N * pixels, lane_bits(C)
    blocks, threads = spread(rows << bits, _THREADS)
    parts = c_empty((blocks,), np.float64)
    given = labels, targets, weight, *counted, ignored, float(smoothing)
    launch("losses", "cross_entropy", scores.dtype, blocks, threads, scores, *given, rows, C, bits, dscores, parts)
    return _finished(parts, scores.dtype, counted), dscores


@kernel
def softmax_cross_entropy(
    scores: Array,
    labels: Array,
    weight: Array | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
) -> tuple[Any, Array]:
    wanted, ignored = _numbers(labels), _NONE if ignore_index is None else int(ignore_index)
    counted = _counted(wanted, weight, ignored, scores.dtype)
    return _cross_entropy(scores, wanted, None, weight, counted, ignored, label_smoothing)


@kernel
def soft_cross_entropy(
    scores: Array, targets: Array, weight: Array | None = None, label_smoothing: float = 0.0
) -> tuple[Any, Array]:
    N, pixels, _ = extents(scores.shape)
    return _cross_entropy(scores, None, targets, weight, (None, 0, float(N * pixels)), _NONE, label_smoothing)


def _hinge(
    squared: bool, scores: Array, labels: Array, weight: Array | None, margin: float, ignore_index: int | None
) -> tuple[Any, Array]:
    (N, C), dscores, wanted = scores.shape, empty(scores.shape, scores.dtype), _numbers(labels)
    ignored, bits = _NONE if ignore_index is None else int(ignore_index), lane_bits(C)
    counted = _counted(wanted, None, ignored, scores.dtype)
    blocks, threads = spread(N << bits, _THREADS)
    parts = c_empty((blocks,), np.float64)
    given = wanted, weight, *counted, ignored, float(margin), int(squared)
    launch("losses", "multiclass_hinge", scores.dtype, blocks, threads, scores, *given, N, C, bits, dscores, parts)
    return _finished(parts, scores.dtype, counted), dscores


@kernel
def svm_loss(
    scores: Array, labels: Array, weight: Array | None = None, margin: float = 1.0, ignore_index: int | None = None
) -> tuple[Any, Array]:
    return _hinge(False, scores, labels, weight, margin, ignore_index)


@kernel
def squared_hinge_loss(
    scores: Array, labels: Array, weight: Array | None = None, margin: float = 1.0, ignore_index: int | None = None
) -> tuple[Any, Array]:
    return _hinge(True, scores, labels, weight, margin, ignore_index)


def _target_loss(kind: int, scores: Array, targets: Array, a: float = 0.0, **named: float) -> tuple[Any, Array]:
    """`a`, or the only one of `named`: the loss's parameter."""
    dscores, number = empty(scores.shape, scores.dtype), float(next(iter(named.values()), a))
    blocks, threads = spread(scores.size, _THREADS)
    parts, n = c_empty((blocks,), np.float64), scores.size
    launch("losses", "target_loss", scores.dtype, blocks, threads, scores, targets, dscores, parts, n, kind, number)
    return _finished(parts, scores.dtype, (None, 0, float(n))), dscores


_LOSSES: dict[str, Callable[..., tuple[Any, Array]]] = {n: partial(_target_loss, kind) for n, kind in KINDS.items()}
KERNELS.update(_LOSSES)
