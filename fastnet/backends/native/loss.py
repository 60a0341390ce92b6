"""Losses."""

from __future__ import annotations

import numpy as np

from fastnet.backends import _native
from fastnet.backends.native.arrays import empty, kernel
from fastnet.types import Array


@kernel
def softmax_cross_entropy(scores: Array, labels: Array) -> tuple[float, Array]:
    (N, C), dscores = scores.shape, empty(scores.shape, scores.dtype)
    return _native.softmax_loss(N, C, scores, np.require(labels, np.int64, ["C", "A"]), dscores), dscores


@kernel
def svm_loss(scores: Array, labels: Array, margin: float) -> tuple[float, Array]:
    (N, C), dscores = scores.shape, empty(scores.shape, scores.dtype)
    return _native.svm_loss(N, C, scores, np.require(labels, np.int64, ["C", "A"]), margin, dscores), dscores
