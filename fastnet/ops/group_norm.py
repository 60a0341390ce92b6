"""Group, layer and instance normalisation: three names for statistics of each image alone.

Wu & He 2018 (arXiv:1803.08494), Ba, Kiros & Hinton 2016 (arXiv:1607.06450), Ulyanov, Vedaldi & Lempitsky 2016
(arXiv:1607.08022).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from fastnet.ops.checks import check_channels, check_shape
from fastnet.ops.elementwise import ELEMENTWISE, activate, activate_gradient
from fastnet.ops.norm import NORM_INPUTS
from fastnet.ops.record import REQUIRED, WEIGHT, Example, Input, Op, register
from fastnet.types import Activation, Array, Shape, Shaped

__all__ = ["Grouping", "grouping"]

_AFFINE = (Input("gamma", WEIGHT, True), Input("beta", WEIGHT, True))


class Grouping(NamedTuple):
    """How a kernel reads an array for one of the norms.

    Attributes
    ----------
    images : int
        The parts of the array with statistics of their own, each of `pixels` adjacent pixels.
    pixels, channels : int
    groups : int
        The channels of a part are normalised in that many groups.
    by_pixel, by_channel : int
        The strides of gamma and beta.
    """

    images: int
    pixels: int
    channels: int
    groups: int
    by_pixel: int
    by_channel: int


class _Split(NamedTuple):
    """The same for an array library: x is reshaped to `shape`, moments are taken over `axes`, and gamma and beta
    broadcast as `affine`; their gradients are sums over the axes `summed`."""

    shape: Shape
    axes: tuple[int, ...]
    affine: Shape
    summed: tuple[int, ...]


def _of_groups(shape: Shape, groups: int) -> tuple[Grouping, _Split]:
    N, C, *pixels = shape
    spatial = range(3, 3 + len(pixels))
    split = _Split(
        (N, groups, C // groups, *pixels), (2, *spatial), (1, C, *(1,) * len(pixels)), (0, *range(2, len(shape)))
    )
    return Grouping(N, math.prod(pixels), C, groups, 0, 1), split


def _of_layer(shape: Shape, normalized_shape: Sequence[int]) -> tuple[Grouping, _Split]:
    N, C, *pixels = shape
    ndim, count = len(shape), len(normalized_shape)
    split = _Split(shape, tuple(range(ndim - count, ndim)), tuple(normalized_shape), tuple(range(ndim - count)))
    if count == ndim - 1:
        inside = math.prod(pixels)
        return Grouping(N, inside, C, 1, int(ndim > 2), inside), split
    return Grouping(N * math.prod(pixels[:-count]), math.prod(pixels[-count:]), C, C, 1, 0), split


_READ: dict[str, Callable[..., tuple[Grouping, _Split]]] = {
    "group_norm": lambda shape, groups, **_: _of_groups(shape, groups),
    "layer_norm": lambda shape, normalized_shape, **_: _of_layer(shape, normalized_shape),
    "instance_norm": lambda shape, **_: _of_groups(shape, shape[1]),
}


def grouping(op: str, shape: Sequence[int], **attributes: Any) -> Grouping:
    """How a kernel reads x of this shape, for one of the ops of this module."""
    return _READ[op](tuple(shape), **attributes)[0]


# ---------------------------------------------------------------- shapes


def _check(op: str, x: Shaped, shape: Shape, **parameters: Shaped | None) -> Shape:
    for name, array in parameters.items():
        if array is not None:
            check_shape(op, name, array, shape)
    return tuple(x.shape)


def _group_shape(
    x: Shaped,
    gamma: Shaped | None,
    beta: Shaped | None,
    groups: int,
    eps: float = 1e-5,
    activation: Activation | None = None,
) -> Shape:
    check_channels("group_norm", x)
    if groups < 1 or x.shape[1] % groups:
        raise ValueError(f"group_norm: groups must divide the {x.shape[1]} channels of x, got {groups}")
    return _check("group_norm", x, x.shape[1:2], gamma=gamma, beta=beta)


def _layer_shape(
    x: Shaped,
    gamma: Shaped | None,
    beta: Shaped | None,
    normalized_shape: Sequence[int],
    eps: float = 1e-5,
    activation: Activation | None = None,
) -> Shape:
    check_channels("layer_norm", x)
    shape = tuple(normalized_shape)
    if not shape or len(shape) >= x.ndim or tuple(x.shape[x.ndim - len(shape) :]) != shape:
        raise ValueError(
            f"layer_norm: normalized_shape must be the last sizes of x, without its first axis, got {shape} for x of "
            f"shape {tuple(x.shape)}"
        )
    return _check("layer_norm", x, shape, gamma=gamma, beta=beta)


def _instance_shape(
    x: Shaped,
    gamma: Shaped | None,
    beta: Shaped | None,
    running_mean: Shaped | None,
    running_var: Shaped | None,
    momentum: float = 0.1,
    eps: float = 1e-5,
    activation: Activation | None = None,
) -> Shape:
    check_channels("instance_norm", x)
    if math.prod(x.shape[2:]) < 2 and x.shape[0] * x.shape[1]:
        raise ValueError(
            f"instance_norm: needs more than one value in each channel of an image, got x.shape={tuple(x.shape)}"
        )
    if (running_mean is None) != (running_var is None):
        raise ValueError("instance_norm: give both running_mean and running_var, or neither")
    given = dict(gamma=gamma, beta=beta, running_mean=running_mean, running_var=running_var)
    return _check("instance_norm", x, x.shape[1:2], **given)


# ---------------------------------------------------------------- definition


def _mean(xp: Any, wide: Array, split: _Split) -> Any:
    """Means over `split.axes`, which are kept; 0 where there is nothing."""
    count = max(1, math.prod(split.shape[axis] for axis in split.axes))
    return wide.sum(axis=split.axes, keepdims=True, dtype=xp.float64) / count


def _normalize(
    xp: Any,
    x: Array,
    gamma: Array | None,
    beta: Array | None,
    split: _Split,
    eps: float,
    activation: Activation | None,
) -> tuple[Array, Any, Any, Any]:
    """(y, saved values, mean, biased variance); the moments with `split.axes` kept."""
    wide = x.reshape(split.shape)
    mean = _mean(xp, wide, split)
    var = _mean(xp, (wide - mean) ** 2, split)
    inverse_std = 1.0 / xp.sqrt(var + eps)
    xhat = ((wide - mean) * inverse_std).astype(x.dtype).reshape(x.shape)
    y = xhat if gamma is None else xhat * gamma.reshape(split.affine)
    y, kept = activate(xp, y if beta is None else y + beta.reshape(split.affine), activation)
    return y, (xhat, gamma, beta, inverse_std, split, kept, activation), mean, var


def _backward(xp: Any, dy: Array, saved: Any, needs: Sequence[bool] = (True, True, True)) -> tuple[Array | None, ...]:
    xhat, gamma, beta, inverse_std, split, kept, activation = saved
    dy = activate_gradient(xp, dy, kept, activation)
    dx = dgamma = dbeta = None
    if needs[1] and gamma is not None:
        dgamma = (dy * xhat).sum(axis=split.summed, dtype=xp.float64).astype(dy.dtype).reshape(gamma.shape)
    if needs[2] and beta is not None:
        dbeta = dy.sum(axis=split.summed, dtype=xp.float64).astype(dy.dtype).reshape(beta.shape)
    if needs[0]:
        g = (dy if gamma is None else dy * gamma.reshape(split.affine)).reshape(split.shape)
        wide = xhat.reshape(split.shape)
        g = (g - _mean(xp, g, split) - wide * _mean(xp, g * wide, split)) * inverse_std
        dx = g.astype(dy.dtype).reshape(dy.shape)
    return dx, dgamma, dbeta


def _group_norm(
    xp: Any,
    x: Array,
    gamma: Array | None,
    beta: Array | None,
    groups: int,
    eps: float = 1e-5,
    activation: Activation | None = None,
) -> tuple[Array, Any]:
    return _normalize(xp, x, gamma, beta, _of_groups(x.shape, groups)[1], eps, activation)[:2]


def _layer_norm(
    xp: Any,
    x: Array,
    gamma: Array | None,
    beta: Array | None,
    normalized_shape: Sequence[int],
    eps: float = 1e-5,
    activation: Activation | None = None,
) -> tuple[Array, Any]:
    return _normalize(xp, x, gamma, beta, _of_layer(x.shape, normalized_shape)[1], eps, activation)[:2]


def _instance_norm(
    xp: Any,
    x: Array,
    gamma: Array | None,
    beta: Array | None,
    running_mean: Any,
    running_var: Any,
    momentum: float = 0.1,
    eps: float = 1e-5,
    activation: Activation | None = None,
) -> tuple[Array, Any]:
    split, count = _of_groups(x.shape, x.shape[1])[1], math.prod(x.shape[2:])
    y, saved, mean, var = _normalize(xp, x, gamma, beta, split, eps, activation)
    if running_mean is not None and x.size:
        mean, var = (moment.reshape(x.shape[:2]).mean(axis=0) for moment in (mean, var))
        running_mean += momentum * (mean.astype(x.dtype) - running_mean)
        running_var += momentum * ((var * (count / (count - 1))).astype(x.dtype) - running_var)
    return y, saved


# ---------------------------------------------------------------- records

_X, _C = (5, 36, 9, 8), (36,)
_RELU: Activation = ("relu", {})


def _register(
    op: str,
    shape: Callable[..., Shape],
    forward: Callable[..., Any],
    inputs: tuple[Input, ...],
    own: dict[str, Any],
    onnx: str,
    examples: tuple[Example, ...],
    doc: str,
) -> None:
    register(
        Op(
            op,
            (Input("x"), *_AFFINE, *inputs),
            shape=shape,
            forward=forward,
            backward=_backward,
            attributes={**own, "eps": 1e-5, "activation": None},
            activations=ELEMENTWISE,
            flops=(8, 14),  # mean 1, variance 3, normalising 4; sums 6, dx 8
            onnx=onnx,
            examples=examples,
            doc=doc,
        )
    )


_register(
    "group_norm",
    _group_shape,
    _group_norm,
    (),
    {"groups": REQUIRED},
    "GroupNormalization",
    (
        Example((_X, _C, _C), {"groups": 4}),
        Example((_X, _C, _C), {"groups": 1, "activation": _RELU}),
        Example(((3, 70, 11), None, (70,)), {"groups": 7}),
        Example(((17, 12), (12,), (12,)), {"groups": 3}),
    ),
    "y = gamma * (x - mean) / sqrt(var + eps) + beta: mean and biased variance over each group of C/groups adjacent "
    "channels of each image, (N, C), (N, C, L) or (N, C, H, W); gamma and beta (C,), or None for 1 and 0.  A fused "
    "activation acts on y.  Wu & He 2018, arXiv:1803.08494.",
)
_register(
    "layer_norm",
    _layer_shape,
    _layer_norm,
    (),
    {"normalized_shape": REQUIRED},
    "LayerNormalization",
    (
        Example(((131, 100), (100,), (100,)), {"normalized_shape": (100,)}),
        Example((_X, _X[1:], _X[1:]), {"normalized_shape": _X[1:], "activation": _RELU}),
        Example((_X, _X[2:], None), {"normalized_shape": _X[2:]}),
        Example((_X, _X[3:], _X[3:]), {"normalized_shape": _X[3:]}),
        Example(((4, 7, 65), (65,), (65,)), {"normalized_shape": (65,)}),
        Example((_X, None, None), {"normalized_shape": _X[1:]}),
    ),
    "y = gamma * (x - mean) / sqrt(var + eps) + beta: mean and biased variance over the last axes of x, whose sizes "
    "are normalized_shape, as are those of gamma and beta; x has 2 to 4 axes.  A fused activation acts on y.  Ba, "
    "Kiros & Hinton 2016, arXiv:1607.06450.",
)
_register(
    "instance_norm",
    _instance_shape,
    _instance_norm,
    NORM_INPUTS[2:],
    {"momentum": 0.1},
    "InstanceNormalization",
    (
        Example((_X, None, None, None, None)),
        Example((_X, *(_C,) * 4), {"activation": _RELU}, positive=("running_var",)),
        Example(((3, 5, 200), (5,), (5,), None, None)),
    ),
    "y = gamma * (x - mean) / sqrt(var + eps) + beta: mean and biased variance over each channel of each image, "
    "(N, C, L) or (N, C, H, W); gamma and beta (C,).  Running statistics, if given, move towards the means over the "
    "images of mean and unbiased variance, in place.  A fused activation acts on y.  Ulyanov et al. 2016, "
    "arXiv:1607.08022.",
)
