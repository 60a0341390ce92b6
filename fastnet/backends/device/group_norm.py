"""Group, layer and instance norm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from fastnet.backends.device.arrays import KERNELS, c_empty, c_order, empty, kernel, put_back
from fastnet.backends.device.compiler import launch
from fastnet.backends.device.elementwise import activation_code, activation_gradient
from fastnet.backends.device.ending import kept_before
from fastnet.backends.device.norm import F64, RELU
from fastnet.backends.device.rows import BLOCK, parts_of_images, parts_of_rows, tile_of_parts
from fastnet.ops.group_norm import Grouping, grouping
from fastnet.types import Activation, Array


class _Grouped(NamedTuple):
    """What these norms save for their gradient.

    Attributes
    ----------
    table : array
        The groups' coefficients, (images, groups, 3).
    relu : bool
    activation, kept
        One that is not a ReLU, and what its gradient needs.
    """

    grouping: Grouping
    x: Array
    gamma: Array | None
    beta: Array | None
    table: Array
    relu: bool
    activation: Activation | None
    kept: Array | None


def _tiles(g: Grouping) -> tuple[tuple[int, int, int], tuple[int, int], int]:
    """(blocks, threads, groups of a block) of csrc/cuda/group_norm.cu."""
    run = g.channels // g.groups
    tiles = -(-g.groups // max(1, BLOCK // run))
    many = -(-g.groups // tiles)
    X = min(many * run, BLOCK)
    Y = max(1, min(BLOCK // X, g.pixels))
    return (g.images, tiles, parts_of_images(g.images * tiles, g.pixels, Y)), (X, Y), many


def _normalize(
    g: Grouping, x: Array, gamma: Array | None, beta: Array | None, eps: float, activation: Activation | None
) -> tuple[Array, _Grouped, Array]:
    """(y, saved, moments)"""
    y, relu, dtype = empty(x.shape, x.dtype), activation == RELU, x.dtype
    before, table = kept_before(y, activation), c_empty((g.images, g.groups, 3), dtype)
    moments = c_empty((2, g.images, g.groups), F64)
    if x.size:
        blocks, threads, many = _tiles(g)
        sums, sizes = c_empty((2, blocks[2], g.images, g.groups), F64), (g.pixels, g.channels, g.groups, many)
        pivots = c_empty((g.images, g.groups), F64)
        launch("group_norm", "group_moments", dtype, blocks, threads, x, None, pivots, sums, *sizes)
        if dtype == F64:
            before_sums, sums = sums, c_empty(sums.shape, F64)
            launch("group_norm", "group_moments", dtype, blocks, threads, x, before_sums, pivots, sums, *sizes)
        arrays = x, pivots, sums, gamma, beta, y, before, table, moments
        numbers = *sizes, g.by_pixel, g.by_channel, float(eps), *activation_code(activation)
        launch("group_norm", "group_apply", dtype, blocks, threads, *arrays, *numbers)
    other = None if relu else activation
    kept = y if before is None and other else before
    return y, _Grouped(g, x, gamma, beta, table, relu, other, kept), moments


@kernel
def group_norm(
    x: Array,
    gamma: Array | None,
    beta: Array | None,
    groups: int,
    eps: float,
    activation: Activation | None = None,
) -> tuple[Array, _Grouped]:
    return _normalize(grouping("group_norm", x.shape, groups=groups), x, gamma, beta, eps, activation)[:2]


@kernel
def layer_norm(
    x: Array,
    gamma: Array | None,
    beta: Array | None,
    normalized_shape: Sequence[int],
    eps: float,
    activation: Activation | None = None,
) -> tuple[Array, _Grouped]:
    read = grouping("layer_norm", x.shape, normalized_shape=normalized_shape)
    return _normalize(read, x, gamma, beta, eps, activation)[:2]


@kernel
def instance_norm(
    x: Array,
    gamma: Array | None,
    beta: Array | None,
    running_mean: Any,
    running_var: Any,
    momentum: float,
    eps: float,
    activation: Activation | None = None,
) -> tuple[Array, _Grouped]:
    y, saved, moments = _normalize(grouping("instance_norm", x.shape), x, gamma, beta, eps, activation)
    if running_mean is not None and x.size:
        (N, C), count, running = x.shape[:2], math.prod(x.shape[2:]), (running_mean, running_var)
        in_order = [c_order(each) for each in running]
        numbers = N, C, float(momentum), count / (count - 1)
        launch("group_norm", "group_track", x.dtype, *tile_of_parts(N, C), moments, *in_order, *numbers)
        put_back(running, in_order)
    return y, saved


def _backward(dy: Array, saved: _Grouped, needs: Sequence[bool]) -> tuple[Array | None, ...]:
    g, x, gamma, beta, table, relu, activation, kept = saved
    dy, dtype = activation_gradient(dy, kept, activation), x.dtype
    dx = empty(x.shape, dtype) if needs[0] else None
    wanted = [parameter if need else None for parameter, need in zip((gamma, beta), needs[1:3], strict=True)]
    dgamma, dbeta = (None if parameter is None else c_empty(parameter.shape, dtype) for parameter in wanted)
    if x.size == 0:
        for gradient in (dgamma, dbeta):
            if gradient is not None:
                gradient.fill(0)
        return dx, dgamma, dbeta
    arrays, strides = (dy, x, gamma, beta, table), (g.by_pixel, g.by_channel)
    if dx is not None:
        blocks, threads, many = _tiles(g)
        sums, numbers = c_empty((2, blocks[2], g.images, g.groups), F64), (g.pixels, g.channels, g.groups, many)
        launch("group_norm", "group_sums", dtype, blocks, threads, *arrays, sums, *numbers, *strides, int(relu))
        launch("group_norm", "group_backward", dtype, blocks, threads, *arrays, sums, dx, *numbers, *strides, int(relu))
    if dgamma is not None or dbeta is not None:
        each = g.pixels if g.by_pixel else 1  # pixels with parameters of their own
        columns, per_image = each * g.channels, g.pixels // each
        rows, inner = g.images * per_image, 1 if g.by_channel else g.channels
        grid, threads = parts_of_rows(rows, columns)
        parts = grid[0]
        sums, sizes = c_empty((2, parts, columns), F64), (rows, columns, per_image, g.channels, g.groups)
        launch("group_norm", "group_parameter_sums", dtype, grid, threads, *arrays, sums, *sizes, *strides, int(relu))
        tiles, outputs = tile_of_parts(parts * inner, columns // inner), (sums, parts, dgamma, dbeta)
        launch("group_norm", "group_parameters", dtype, *tiles, *outputs, columns, inner, g.channels, *strides)
    return dx, dgamma, dbeta


for _name in ("group_norm", "layer_norm", "instance_norm"):
    KERNELS[f"{_name}_backward"] = _backward
