"""Losses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from fastnet.backends import _native
from fastnet.backends.native.arrays import KERNELS, empty, extents, kernel
from fastnet.ops.target_loss import KINDS
from fastnet.types import Array

_NONE = -(2**63)  # no label


def _numbers(labels: Array) -> Any:
    """Class numbers as kernels read them."""
    return np.require(labels, np.int64, ["C", "A"])


@kernel
def softmax_cross_entropy(
    scores: Array,
    labels: Array,
    weight: Array | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
) -> tuple[float, Array]:
    (N, pixels, C), dscores = extents(scores.shape), empty(scores.shape, scores.dtype)
    wanted, ignored = _numbers(labels), _NONE if ignore_index is None else ignore_index
    loss = _native.softmax_loss(N * pixels, C, scores, wanted, weight, ignored, label_smoothing, dscores)
    return loss, dscores


@kernel
def soft_cross_entropy(
    scores: Array, targets: Array, weight: Array | None = None, label_smoothing: float = 0.0
) -> tuple[float, Array]:
    (N, pixels, C), dscores = extents(scores.shape), empty(scores.shape, scores.dtype)
    return _native.soft_label_loss(N * pixels, C, scores, targets, weight, label_smoothing, dscores), dscores


def _svm(
    squared: bool, scores: Array, labels: Array, weight: Array | None, margin: float, ignore_index: int | None
) -> tuple[float, Array]:
    (N, C), dscores = scores.shape, empty(scores.shape, scores.dtype)
    ignored = _NONE if ignore_index is None else ignore_index
    return _native.svm_loss(N, C, scores, _numbers(labels), weight, ignored, margin, squared, dscores), dscores


@kernel
def svm_loss(
    scores: Array, labels: Array, weight: Array | None = None, margin: float = 1.0, ignore_index: int | None = None
) -> tuple[float, Array]:
    return _svm(False, scores, labels, weight, margin, ignore_index)


@kernel
def squared_hinge_loss(
    scores: Array, labels: Array, weight: Array | None = None, margin: float = 1.0, ignore_index: int | None = None
) -> tuple[float, Array]:
    return _svm(True, scores, labels, weight, margin, ignore_index)


def _target_loss(kind: int, scores: Array, targets: Array, a: float = 0.0, **named: float) -> tuple[float, Array]:
    """`a`, or the only one of `named`: the loss's parameter."""
    dscores = empty(scores.shape, scores.dtype)
    number = next(iter(named.values()), a)
    return _native.target_loss(kind, scores.size, number, scores, targets, dscores), dscores


_LOSSES: dict[str, Callable[..., tuple[float, Array]]] = {n: partial(_target_loss, kind) for n, kind in KINDS.items()}
KERNELS.update(_LOSSES)
