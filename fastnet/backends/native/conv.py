"""Convolution, alone and fused with the ops that follow it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnet.backends import _native
from fastnet.backends.native.arrays import c_empty, empty, kernel
from fastnet.backends.native.channels import ends_in_prelu
from fastnet.backends.native.elementwise import activation_gradient
from fastnet.backends.native.epilogue import NOTHING, Epilogue, ending, kept_before
from fastnet.backends.native.norm import doubles, norm_sums, normalize
from fastnet.backends.native.pool import max_pool2d, pooled
from fastnet.geometry import Conv2dGeometry, Pool2dGeometry
from fastnet.ops.fused_inference import scale_and_shift
from fastnet.types import Activation, Array, DType


def _gradients(g: Conv2dGeometry, dtype: DType, needs: Sequence[bool]) -> tuple[Array | None, Array | None]:
    """Uninitialised arrays for dx and dw; None for one that is not needed."""
    return empty(g.x_shape, dtype) if needs[0] else None, c_empty(g.w_shape, dtype) if needs[1] else None


@kernel
def conv2d(
    x: Array,
    w: Array,
    b: Array | None,
    geometry: Conv2dGeometry,
    activation: Activation | None = None,
    slopes: Array | None = None,
) -> tuple[Array, Any]:
    y = empty(geometry.y_shape, x.dtype)
    before = kept_before(y, activation, slopes)
    _native.conv_forward(geometry.packed, x, w, ending(geometry.K, activation, slopes, shift=b, before=before), y)
    kept = y if before is None and activation else before
    return y, (x, w, geometry, kept, activation)


@kernel
def conv2d_backward(dy: Array, saved: Any, needs: Sequence[bool], add: Array | None = None) -> tuple[Array | None, ...]:
    x, w, g, kept, activation = saved
    dy = activation_gradient(dy, kept, activation)
    dx, dw = _gradients(g, x.dtype, needs)
    db = None
    if dx is not None:
        _native.conv_grad_input(g.packed, dy, w, add, dx)
    if dw is not None:
        _native.conv_grad_weight(g.packed, x, dy, dw)
    if needs[2]:
        db = empty((g.K,), x.dtype)
        _native.column_sum(g.N * g.P * g.Q, g.K, dy, db)
    return dx, dw, db


@kernel
def conv_transpose2d(x: Array, w: Array, b: Array | None, geometry: Conv2dGeometry) -> tuple[Array, Any]:
    y = empty(geometry.x_shape, x.dtype)
    _native.conv_transpose(geometry.packed, x, w, b, y)
    return y, (x, w, geometry)


@kernel
def conv_transpose2d_backward(dy: Array, saved: Any, needs: Sequence[bool]) -> tuple[Array | None, ...]:
    x, w, g = saved
    dx, dw, db = empty(g.y_shape, dy.dtype) if needs[0] else None, None, None
    if dx is not None:
        _native.conv_forward(g.packed, dy, w, NOTHING, dx)
    if needs[1]:
        dw = c_empty(g.w_shape, dy.dtype)
        _native.conv_grad_weight(g.packed, dy, x, dw)
    if needs[2]:
        db = empty((g.C,), dy.dtype)
        _native.column_sum(g.N * g.H * g.W, g.C, dy, db)
    return dx, dw, db


@kernel
def im2col(x: Array, geometry: Conv2dGeometry) -> Array:
    g = geometry
    columns = c_empty((g.N, g.C * g.R * g.S, g.P * g.Q), x.dtype)
    _native.im2col(g.packed, x, columns)
    return columns


@kernel
def col2im(columns: Array, geometry: Conv2dGeometry) -> Array:
    x = empty(geometry.x_shape, columns.dtype)
    _native.col2im(geometry.packed, columns, x)
    return x


# ---------------------------------------------------------------- maxout after a convolution


@kernel
def conv2d_maxout(x: Array, w: Array, b: Array | None, geometry: Conv2dGeometry, pieces: int) -> tuple[Array, Any]:
    N, K, P, Q = geometry.y_shape
    y = empty((N, K // pieces, P, Q), x.dtype)
    index = empty(y.shape, np.dtype(np.uint8))
    _native.conv_maxout_forward(geometry.packed, pieces, x, w, b, y, index)
    return y, (x, w, geometry, index, pieces)


@kernel
def conv2d_maxout_backward(
    dy: Array, saved: Any, needs: Sequence[bool], add: Array | None = None
) -> tuple[Array | None, ...]:
    x, w, g, index, pieces = saved
    dx, dw = _gradients(g, dy.dtype, needs)
    db = empty((g.K,), dy.dtype) if needs[2] else None
    _native.conv_maxout_backward(g.packed, pieces, x, w, dy, index, add, dx, dw, db)
    return dx, dw, db


# ---------------------------------------------------------------- batch norm after a convolution


@kernel
def conv2d_scaled(
    x: Array,
    w: Array,
    scale: Array | None,
    shift: Array | None,
    slopes: Array | None,
    add: Array | None,
    geometry: Conv2dGeometry,
    activation: Activation | None = None,
) -> Array:
    y = empty(geometry.y_shape, x.dtype)
    end = ending(geometry.K, activation, slopes, scale=scale, shift=shift, add=add)
    _native.conv_forward(geometry.packed, x, w, end, y)
    return y


@kernel
def conv2d_post(
    x: Array,
    w: Array,
    b: Array | None,
    gamma: Array | None,
    beta: Array | None,
    running_mean: Any,
    running_var: Any,
    slopes: Array | None,
    add: Array | None,
    geometry: Conv2dGeometry,
    eps: float,
    activation: Activation | None = None,
    pool_geometry: Pool2dGeometry | None = None,
) -> Array:
    if running_mean is not None:
        scale, b = scale_and_shift(np, b, gamma, beta, running_mean, running_var, eps)
    elif add is None and slopes is None and pool_geometry is not None and activation in (None, ("relu", {})):
        return conv2d_max_pool(x, w, b, geometry, pool_geometry, activation)[0]
    else:
        scale = None
    y = conv2d_scaled(x, w, scale, b, slopes, add, geometry, activation)
    return y if pool_geometry is None else max_pool2d(y, pool_geometry)[0]


@kernel
def conv2d_batch_norm(
    x: Array,
    w: Array,
    b: Array | None,
    gamma: Array | None,
    beta: Array | None,
    running_mean: Any,
    running_var: Any,
    add: Array | None,
    geometry: Conv2dGeometry,
    training: bool,
    momentum: float,
    eps: float,
    activation: Activation | None = None,
    slopes: Array | None = None,
) -> tuple[Array, Any]:
    between, moments = empty(geometry.y_shape, x.dtype), None
    if training:
        moments = doubles(geometry.K), doubles(geometry.K)
        _native.conv_norm_forward(geometry.packed, x, w, b, between, *moments)
    else:
        _native.conv_forward(geometry.packed, x, w, Epilogue(shift=b), between)
    statistics = gamma, beta, running_mean, running_var
    y, saved = normalize(between, moments, statistics, momentum, eps, add, activation, slopes)
    return y, (x, w, geometry, saved)


@kernel
def conv2d_batch_norm_backward(
    dy: Array, saved: Any, needs: Sequence[bool], add: Array | None = None
) -> tuple[Array | None, ...]:
    x, w, g, saved = saved
    sums = norm_sums(dy, saved, needs[3], needs[4] or needs[2])
    dx, dw = _gradients(g, dy.dtype, needs)
    dgamma, dbeta = sums.gradients
    db = None
    if needs[2] and not saved.training:
        slope = saved.norm.inverse_std if saved.norm.gamma is None else saved.norm.inverse_std * saved.norm.gamma
        db = (slope * dbeta).astype(dy.dtype)
    elif needs[2]:  # subtracting the batch's mean removes any bias
        db = empty((g.K,), dy.dtype)
        _native.fill(g.K, 0.0, db)
    if dx is not None or dw is not None:
        _native.conv_norm_backward(g.packed, sums.norm, x, w, sums.dy, saved.x, *sums.totals, add, dx, dw)
    return dx, dw, db, dgamma if needs[3] else None, dbeta if needs[4] else None, sums.gated


ends_in_prelu("conv2d", lambda saved: saved[3])
ends_in_prelu("conv2d_batch_norm", lambda saved: saved[3].kept)

# ---------------------------------------------------------------- max pooling after a convolution


@kernel
def conv2d_max_pool(
    x: Array,
    w: Array,
    b: Array | None,
    geometry: Conv2dGeometry,
    pool_geometry: Pool2dGeometry,
    activation: Activation | None = None,
) -> tuple[Array, Any]:
    y, index = pooled(pool_geometry, x.dtype)
    _native.conv_pool_forward(geometry.packed, pool_geometry.packed, x, w, b, activation is not None, y, index)
    return y, (x, w, geometry, index, pool_geometry)


@kernel
def conv2d_max_pool_backward(
    dy: Array, saved: Any, needs: Sequence[bool], add: Array | None = None
) -> tuple[Array | None, ...]:
    x, w, g, index, pool = saved
    dx, dw = _gradients(g, dy.dtype, needs)
    db = empty((g.K,), dy.dtype) if needs[2] else None
    _native.conv_pool_backward(g.packed, pool.packed, x, w, dy, index, add, dx, dw, db)
    return dx, dw, db
