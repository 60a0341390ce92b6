"""Losses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from fastnet.backends import _native
from fastnet.backends.native.arrays import KERNELS, empty, extents, kernel
from fastnet.ops.target_loss import KINDS
from fastnet.types import Array

_NONE = -(2**63)  # no label


@kernel
def softmax_cross_entropy(scores: Array, labels: Array, ignore_index: int | None = None) -> tuple[float, Array]:
    (N, pixels, C), dscores = extents(scores.shape), empty(scores.shape, scores.dtype)
    wanted, ignored = np.require(labels, np.int64, ["C", "A"]), _NONE if ignore_index is None else ignore_index
    return _native.softmax_loss(N * pixels, C, scores, wanted, ignored, dscores), dscores


@kernel
def svm_loss(scores: Array, labels: Array, margin: float) -> tuple[float, Array]:
    (N, C), dscores = scores.shape, empty(scores.shape, scores.dtype)
    return _native.svm_loss(N, C, scores, np.require(labels, np.int64, ["C", "A"]), margin, dscores), dscores


def _target_loss(kind: int, scores: Array, targets: Array, delta: float = 0.0) -> tuple[float, Array]:
    dscores = empty(scores.shape, scores.dtype)
    return _native.target_loss(kind, scores.size, delta, scores, targets, dscores), dscores


_LOSSES: dict[str, Callable[..., tuple[float, Array]]] = {n: partial(_target_loss, kind) for n, kind in KINDS.items()}
KERNELS.update(_LOSSES)
