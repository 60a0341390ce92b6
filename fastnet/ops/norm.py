"""Batch normalisation (Ioffe & Szegedy 2015, arXiv:1502.03167)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnet.ops.checks import check_shape
from fastnet.ops.record import REQUIRED, STATE, WEIGHT, Example, Input, Op, register
from fastnet.types import Array, Shape, Shaped

__all__ = ["NORM_INPUTS", "NORM_NUMBERS", "batch_norm_shape"]

_C = 33
NORM_INPUTS = (
    Input("gamma", WEIGHT, True),
    Input("beta", WEIGHT, True),
    Input("running_mean", STATE, True, differentiable=False),
    Input("running_var", STATE, True, differentiable=False),
)
NORM_NUMBERS = {"training": REQUIRED, "momentum": 0.1, "eps": 1e-5}


def batch_norm_shape(
    x: Shaped,
    gamma: Shaped | None,
    beta: Shaped | None,
    running_mean: Shaped | None,
    running_var: Shaped | None,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Shape:
    """The shape of batch_norm's y; also checks its fused forms."""
    if x.ndim not in (2, 3, 4):
        raise ValueError(f"batch_norm: x must have shape (N, C), (N, C, L) or (N, C, H, W), got {tuple(x.shape)}")
    for name, array in dict(gamma=gamma, beta=beta, running_mean=running_mean, running_var=running_var).items():
        if array is not None:
            check_shape("batch_norm", name, array, x.shape[1:2])
    if (running_mean is None) != (running_var is None):
        raise ValueError("batch_norm: give both running_mean and running_var, or neither")
    if not training and running_mean is None:
        raise ValueError("batch_norm: running_mean and running_var are needed when training=False")
    if training and values_per_channel(x.shape) < 2:
        raise ValueError(f"batch_norm: training needs more than one value per channel, got x.shape={tuple(x.shape)}")
    return tuple(x.shape)


def values_per_channel(shape: Sequence[int]) -> int:
    """The number of values in each channel's statistics."""
    count = shape[0]
    for size in shape[2:]:
        count *= size
    return count if shape[1] else 0


def _axes(x: Shaped) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes that statistics are taken over, and the shape in which one value a channel broadcasts against x."""
    return (0, *range(2, x.ndim)), (1, -1, *(1,) * (x.ndim - 2))


def _batch_norm(
    xp: Any,
    x: Array,
    gamma: Array | None,
    beta: Array | None,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Array, Any]:
    axes, shape = _axes(x)
    count = values_per_channel(x.shape)
    if training:
        mean = x.mean(axis=axes, dtype=xp.float64)
        var = ((x - mean.reshape(shape)) ** 2).mean(axis=axes, dtype=xp.float64)
        if running_mean is not None:
            running_mean += momentum * (mean.astype(x.dtype) - running_mean)
            running_var += momentum * ((var * (count / (count - 1))).astype(x.dtype) - running_var)
    else:
        mean, var = running_mean.astype(xp.float64), running_var.astype(xp.float64)
    inverse_std = 1.0 / xp.sqrt(var + eps)
    xhat = ((x - mean.reshape(shape)) * inverse_std.reshape(shape)).astype(x.dtype)
    y = xhat if gamma is None else xhat * gamma.reshape(shape)
    y = y if beta is None else y + beta.reshape(shape)
    return y, (xhat, gamma, inverse_std, training)


def _batch_norm_backward(
    xp: Any, dy: Array, saved: Any, needs: Sequence[bool] = (True, True, True)
) -> tuple[Array | None, ...]:
    xhat, gamma, inverse_std, training = saved
    axes, shape = _axes(xhat)
    dbeta = dy.sum(axis=axes, dtype=xp.float64)
    dgamma = (dy * xhat).sum(axis=axes, dtype=xp.float64)
    dx = None
    if needs[0]:
        count = dy.size / dy.shape[1] if dy.shape[1] else 1
        scale = inverse_std if gamma is None else inverse_std * gamma
        dx = dy
        if training:
            dx = dy - (dbeta / count).reshape(shape) - xhat * (dgamma / count).reshape(shape)
        dx = (dx * scale.reshape(shape)).astype(dy.dtype)
    return dx, dgamma.astype(dy.dtype) if needs[1] else None, dbeta.astype(dy.dtype) if needs[2] else None


EXAMPLES = tuple(
    Example(((9, _C, 17, 16), *((_C,),) * 4), {"training": training}, positive=("running_var",))
    for training in (True, False)
)
register(
    Op(
        "batch_norm",
        (Input("x"), *NORM_INPUTS),
        shape=batch_norm_shape,
        forward=_batch_norm,
        backward=_batch_norm_backward,
        attributes=NORM_NUMBERS,
        flops=(8, 9),  # mean 1, variance 3, normalising 4; dbeta 1, dgamma 3, dx 5
        onnx="BatchNormalization",
        examples=(*EXAMPLES, Example(((127, _C), None, None, None, None), {"training": True})),
        doc="Normalise each channel, axis 1 of (N, C) or (N, C, H, W); gamma and beta may be None (1 and 0).  "
        "Training uses the batch's mean and biased variance, and updates the running statistics in place, running = (1 "
        "- momentum) * running + momentum * batch, with the unbiased variance (PyTorch's rule).  Otherwise the "
        "running statistics normalise.  They may be None when training.",
    )
)
