"""Group, layer and instance norm, and local response norm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from fastnet.backends import _native
from fastnet.backends.native.arrays import KERNELS, c_empty, empty, extents, kernel
from fastnet.backends.native.channels import ends_in_prelu
from fastnet.backends.native.elementwise import activation_gradient
from fastnet.backends.native.epilogue import ending, kept_before
from fastnet.backends.native.norm import RELU, doubles, track
from fastnet.ops.group_norm import Grouping, grouping
from fastnet.types import Activation, Array


class _Grouped(NamedTuple):
    """What these norms save for their gradient.

    Attributes
    ----------
    mean, var
        In float64, (images, groups).
    activation, kept
        One that is not a ReLU, and what its gradient, or PReLU's, needs.
    """

    grouping: Grouping
    eps: float
    relu: bool
    x: Array
    gamma: Array | None
    beta: Array | None
    mean: Array
    var: Array
    activation: Activation | None
    kept: Array | None


def _normalize(
    read: Grouping,
    x: Array,
    gamma: Array | None,
    beta: Array | None,
    eps: float,
    activation: Activation | None,
    slopes: Array | None,
) -> tuple[Array, _Grouped]:
    y, relu = empty(x.shape, x.dtype), activation == RELU
    mean, var = doubles(read.images * read.groups), doubles(read.images * read.groups)
    before = kept_before(y, activation, slopes)
    end = ending(x.shape[1], activation, slopes, before=before)
    _native.group_norm(*read, eps, x, gamma, beta, end, y, mean, var)
    other = None if relu else activation
    return y, _Grouped(read, eps, relu, x, gamma, beta, mean, var, other, y if before is None and other else before)


@kernel
def group_norm(
    x: Array,
    gamma: Array | None,
    beta: Array | None,
    groups: int,
    eps: float,
    activation: Activation | None = None,
    slopes: Array | None = None,
) -> tuple[Array, _Grouped]:
    return _normalize(grouping("group_norm", x.shape, groups=groups), x, gamma, beta, eps, activation, slopes)


@kernel
def layer_norm(
    x: Array,
    gamma: Array | None,
    beta: Array | None,
    normalized_shape: Sequence[int],
    eps: float,
    activation: Activation | None = None,
    slopes: Array | None = None,
) -> tuple[Array, _Grouped]:
    read = grouping("layer_norm", x.shape, normalized_shape=normalized_shape)
    return _normalize(read, x, gamma, beta, eps, activation, slopes)


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
    slopes: Array | None = None,
) -> tuple[Array, _Grouped]:
    y, saved = _normalize(grouping("instance_norm", x.shape), x, gamma, beta, eps, activation, slopes)
    if running_mean is not None and x.size:
        N, C, count = *x.shape[:2], math.prod(x.shape[2:])
        for running, moment, factor in ((running_mean, saved.mean, 1.0), (running_var, saved.var, count / (count - 1))):
            total = doubles(C)
            _native.column_sum(N, C, moment, total)
            track(running, momentum, factor / N, total)
    return y, saved


def _backward(dy: Array, saved: _Grouped, needs: Sequence[bool]) -> tuple[Array | None, ...]:
    read, eps, relu, x, gamma, beta, mean, var, activation, kept = saved
    dy = activation_gradient(dy, kept, activation)
    dx = empty(x.shape, x.dtype) if needs[0] else None
    wanted = [parameter if need else None for parameter, need in zip((gamma, beta), needs[1:3], strict=True)]
    dgamma, dbeta = (None if parameter is None else c_empty(parameter.shape, x.dtype) for parameter in wanted)
    if any(needs):
        _native.group_norm_backward(*read, eps, relu, dy, x, gamma, beta, mean, var, dx, dgamma, dbeta)
    return dx, dgamma, dbeta


for _name in ("group_norm", "layer_norm", "instance_norm"):
    KERNELS[f"{_name}_backward"] = _backward
    ends_in_prelu(_name, lambda saved: saved.kept)


@kernel
def local_response_norm(x: Array, size: int, alpha: float, beta: float, k: float) -> tuple[Array, Any]:
    (N, pixels, C), y = extents(x.shape), empty(x.shape, x.dtype)
    _native.response_norm(N * pixels, C, size, alpha, beta, k, x, y)
    return y, (x, size, alpha, beta, k)


@kernel
def local_response_norm_backward(dy: Array, saved: Any, needs: Sequence[bool]) -> Array:
    x, size, alpha, beta, k = saved
    (N, pixels, C), dx = extents(x.shape), empty(x.shape, x.dtype)
    _native.response_norm_backward(N * pixels, C, size, alpha, beta, k, dy, x, dx)
    return dx
