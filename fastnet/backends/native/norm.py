"""Batch norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnet.backends import _native
from fastnet.backends.native.arrays import c_order, empty, extents, kernel
from fastnet.backends.native.channels import ends_in_prelu
from fastnet.backends.native.elementwise import activation_gradient
from fastnet.backends.native.epilogue import ending, kept_before
from fastnet.ops.norm import values_per_channel
from fastnet.types import Activation, Array, DType

_F64 = np.dtype(np.float64)
RELU: Activation = ("relu", {})
_RECTIFIERS = {"relu": 1, "relu6": 6}  # whose gradients batch norm's kernels compute by themselves


class Norm(NamedTuple):
    """The parameters of a normalisation, ``fn_norm`` of csrc/fastnet.h; mean and inverse_std are float64."""

    images: int
    pixels: int
    channels: int
    mean: Array
    inverse_std: Array
    gamma: Array | None
    beta: Array | None
    relu: int


class Normalized(NamedTuple):
    """What batch norm saves for its gradient.

    Attributes
    ----------
    y
        The result, if an array was added before a ReLU or ReLU6.
    added
        Whether an array was added.
    activation, kept
        One that is neither, and what its gradient, or PReLU's, needs.
    """

    x: Array
    norm: Norm
    training: bool
    y: Array | None
    added: bool
    activation: Activation | None
    kept: Array | None


class Sums(NamedTuple):
    """The results of the backward pass's reductions.

    Attributes
    ----------
    dy, norm
        For the input gradient: after an add, dy is the gradient before the ReLU, and norm.relu is 0.
    totals
        dgamma and dbeta in float64; (None, None) if the running statistics were used.
    gradients
        dgamma and dbeta; None where they are not needed.
    gated
        The gradient of the added array, or None.
    """

    dy: Array
    norm: Norm
    totals: tuple[Any, Any]
    gradients: tuple[Any, Any]
    gated: Array | None


def doubles(count: int) -> Array:
    """An uninitialised array of float64."""
    return empty((count,), _F64)


def track(running: Array, momentum: float, factor: float, statistic: Array) -> None:
    """Move a running statistic towards ``factor * statistic``."""
    in_order = c_order(running)
    _native.norm_track(len(statistic), momentum, factor, statistic, in_order)
    if in_order is not running:
        running[...] = in_order


def _rounded(totals: Array, dtype: DType) -> Array:
    """float64 totals in another dtype."""
    rounded = empty(totals.shape, dtype)
    _native.round_doubles(totals.size, totals, rounded)
    return rounded


def normalize(
    x: Array,
    moments: tuple[Array, Array] | None,
    statistics: tuple[Any, Any, Any, Any],
    momentum: float,
    eps: float,
    add: Array | None,
    activation: Activation | None,
    slopes: Array | None = None,
) -> tuple[Array, Normalized]:
    """Normalise x with `moments`, its (mean, variance), and update the running statistics with them; without moments,
    normalise with the running statistics.  Returns (y, Normalized)."""
    gamma, beta, running_mean, running_var = statistics
    if moments is None:
        mean, var = running_mean.astype(_F64), running_var.astype(_F64)
    else:
        mean, var = moments
        if running_mean is not None:
            count = values_per_channel(x.shape)
            track(running_mean, momentum, 1.0, mean)
            track(running_var, momentum, count / (count - 1), var)
    images, pixels, C = extents(x.shape)
    inverse_std = doubles(C)
    _native.norm_inverse_std(C, eps, var, inverse_std)
    relu, added = _RECTIFIERS.get(activation[0], 0) if activation else 0, add is not None
    norm = Norm(images, pixels, C, mean, inverse_std, gamma, beta, relu)
    y = empty(x.shape, x.dtype)
    before = None if relu else kept_before(y, activation, slopes)
    _native.norm_apply(norm, x, ending(C, activation, slopes, add=add, before=before), y)
    other = None if relu else activation
    kept = y if before is None and other else before
    return y, Normalized(x, norm, moments is not None, y if added and relu else None, added, other, kept)


def norm_sums(dy: Array, saved: Normalized, *needs: bool) -> Sums:
    """The reductions of dy for the gradients of gamma, beta and x; `needs`: whether dgamma and dbeta are wanted."""
    x, norm, training, y, added, activation, kept = saved
    dy = activation_gradient(dy, kept, activation)
    dtype, totals = x.dtype, (doubles(norm.channels), doubles(norm.channels))
    gated = None if y is None else empty(x.shape, dtype)
    if any(needs) or training or y is not None:
        _native.norm_sums(norm, dy, x, y, gated, *totals)
    dgamma, dbeta = (_rounded(total, dtype) if need else None for total, need in zip(totals, needs, strict=True))
    if gated is not None:
        dy, norm = gated, norm._replace(relu=0)
    elif added:
        gated = dy
    return Sums(dy, norm, totals if training else (None, None), (dgamma, dbeta), gated)


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
    slopes: Array | None = None,
) -> tuple[Array, Normalized]:
    moments = None
    if training:
        moments = doubles(x.shape[1]), doubles(x.shape[1])
        _native.norm_moments(*extents(x.shape), x, *moments)
    statistics = gamma, beta, running_mean, running_var
    return normalize(x, moments, statistics, momentum, eps, add, activation, slopes)


@kernel
def batch_norm_activation_backward(dy: Array, saved: Normalized, needs: Sequence[bool]) -> tuple[Array | None, ...]:
    sums = norm_sums(dy, saved, *needs[1:3])
    dx = None
    if needs[0]:
        dx = empty(saved.x.shape, saved.x.dtype)
        _native.norm_backward(sums.norm, sums.dy, saved.x, *sums.totals, dx)
    return dx, *sums.gradients, sums.gated


@kernel
def batch_norm_backward(dy: Array, saved: Normalized, needs: Sequence[bool]) -> tuple[Array | None, ...]:
    return batch_norm_activation_backward(dy, saved, needs)[:3]


ends_in_prelu("batch_norm_activation", lambda saved: saved.kept)
