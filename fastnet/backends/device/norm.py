"""Batch norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnet.backends.device.arrays import c_empty, c_order, empty, extents, kernel, put_back
from fastnet.backends.device.compiler import launch, spread
from fastnet.backends.device.elementwise import activation_code, activation_gradient
from fastnet.backends.device.ending import kept_before
from fastnet.backends.device.rows import blocks_of_rows, parts_of_rows, tile_of_parts
from fastnet.types import Activation, Array

__all__ = ["F64", "RELU"]

F64 = np.dtype(np.float64)
RELU: Activation = ("relu", {})
_PER_THREAD = 8  # rows that share a thread's coefficients


class Normalized(NamedTuple):
    """What batch norm saves for its gradient.

    Attributes
    ----------
    forward, exact
        The tables of csrc/cuda/norm.cu.
    y
        The result, if an array was added before a ReLU.
    relu, added
        Whether it ended in a ReLU, and whether an array was added.
    activation, kept
        One that is not a ReLU, and what its gradient needs.
    """

    x: Array
    gamma: Array | None
    forward: Array
    exact: Array
    training: bool
    relu: bool
    added: bool
    y: Array | None
    activation: Activation | None
    kept: Array | None


def _tables(
    x: Array,
    gamma: Array | None,
    beta: Array | None,
    running: tuple[Any, Any],
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Array, Array]:
    """(forward, exact), from the batch's moments, which the running statistics move towards, or from these."""
    (images, pixels, C), in_order = extents(x.shape), [None if each is None else c_order(each) for each in running]
    rows, forward, exact = images * pixels, c_empty((3, C), x.dtype), c_empty((2, C), F64)
    if not training:
        blocks = spread(C)
        launch("norm", "norm_running", x.dtype, *blocks, *in_order, gamma, beta, forward, exact, C, float(eps))
        return forward, exact
    grid, threads = parts_of_rows(rows, C)
    parts = grid[0]
    sums, pivots, before = c_empty((2, parts, C), F64), c_empty((C,), F64), None
    launch("norm", "norm_moments", x.dtype, grid, threads, x, before, pivots, sums, rows, C)
    if x.dtype == F64:
        before, sums = sums, c_empty(sums.shape, F64)
        launch("norm", "norm_moments", x.dtype, grid, threads, x, before, pivots, sums, rows, C)
    arrays, numbers = (sums, parts, pivots, gamma, beta, *in_order, forward, exact), (float(momentum), float(eps))
    launch("norm", "norm_batch", x.dtype, *tile_of_parts(parts, C), *arrays, rows, C, *numbers)
    put_back(running, in_order)
    return forward, exact


@kernel
def batch_norm(
    x: Array,
    gamma: Array | None,
    beta: Array | None,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Array, Normalized]:
    return batch_norm_activation(x, gamma, beta, running_mean, running_var, None, training, momentum, eps)


@kernel
def batch_norm_activation(
    x: Array,
    gamma: Array | None,
    beta: Array | None,
    running_mean: Any,
    running_var: Any,
    add: Array | None,
    training: bool,
    momentum: float,
    eps: float,
    activation: Activation | None = None,
) -> tuple[Array, Normalized]:
    forward, exact = _tables(x, gamma, beta, (running_mean, running_var), training, momentum, eps)
    images, pixels, C = extents(x.shape)
    y, rows, relu, added = empty(x.shape, x.dtype), images * pixels, activation == RELU, add is not None
    before, code = kept_before(y, activation), activation_code(activation)
    blocks = blocks_of_rows(rows, C, _PER_THREAD)
    launch("norm", "norm_apply", x.dtype, *blocks, x, forward, add, y, before, rows, C, *code)
    other = None if relu else activation
    kept = y if before is None and other else before
    return y, Normalized(x, gamma, forward, exact, training, relu, added, y if relu and added else None, other, kept)


@kernel
def batch_norm_activation_backward(dy: Array, saved: Normalized, needs: Sequence[bool]) -> tuple[Array | None, ...]:
    x, gamma, forward, exact, training, relu, added, y, activation, kept = saved
    dy = activation_gradient(dy, kept, activation)
    (images, pixels, C), dtype, gate = extents(x.shape), x.dtype, relu and not added
    rows, gated = images * pixels, None if y is None else empty(x.shape, dtype)
    dgamma, dbeta = (c_empty((C,), dtype) if need else None for need in needs[1:3])
    parts, sums, backward = 0, None, c_empty((3, C), dtype)
    if any(needs[1:3]) or training or gated is not None:
        grid, threads = parts_of_rows(rows, C)
        parts = grid[0]
        sums = c_empty((2, parts, C), F64)
        launch("norm", "norm_sums", dtype, grid, threads, dy, x, y, forward, gated, sums, int(gate), rows, C)
    arrays = sums, parts, exact, forward, gamma, dgamma, dbeta, backward
    launch("norm", "norm_gradients", dtype, *tile_of_parts(parts, C), *arrays, int(training), rows, C)
    if gated is not None:
        dy = gated
    dx = None
    if needs[0]:
        dx = empty(x.shape, dtype)
        values, blocks = x if training or gate else None, blocks_of_rows(rows, C, _PER_THREAD)
        launch("norm", "norm_backward", dtype, *blocks, dy, values, forward, backward, dx, int(gate), rows, C)
    return dx, dgamma, dbeta, dy if added else None


@kernel
def batch_norm_backward(dy: Array, saved: Normalized, needs: Sequence[bool]) -> tuple[Array | None, ...]:
    return batch_norm_activation_backward(dy, saved, needs)[:3]
