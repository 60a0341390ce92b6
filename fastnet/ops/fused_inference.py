"""Fused inference ops: convolutions with an epilogue, and linear layers of images; none has a gradient."""

from __future__ import annotations

import math
from typing import Any

from fastnet.geometry import Conv2dGeometry, Pool2dGeometry
from fastnet.ops.channels import check_slopes
from fastnet.ops.checks import check_shape
from fastnet.ops.conv import CONV_INPUTS, EXAMPLES, conv2d_shape
from fastnet.ops.elementwise import ELEMENTWISE, activate
from fastnet.ops.fused import ADD, RELU, Described, check_add, conv_norm_examples
from fastnet.ops.fused_conv import pool_shape
from fastnet.ops.norm import NORM_INPUTS, batch_norm_shape
from fastnet.ops.record import REGISTRY, REQUIRED, WEIGHT, Example, Input, Op, register
from fastnet.types import Activation, Array, Shape, Shaped

_SLOPES = Input("slopes", WEIGHT, optional=True)


def _check_end(op: str, slopes: Shaped | None, channels: int, activation: Activation | None) -> None:
    """Raise ValueError unless slopes fit the channels, and are PReLU's alone."""
    if slopes is not None:
        check_slopes(op, slopes, channels)
        if activation is not None:
            raise ValueError(f"{op}: slopes are those of a PReLU, which {activation[0]} cannot follow")


# ---------------------------------------------------------------- convolution, scale and shift (inference)


def _scaled_shape(
    x: Shaped,
    w: Shaped,
    scale: Shaped,
    shift: Shaped,
    slopes: Shaped | None,
    add: Shaped | None,
    geometry: Conv2dGeometry,
    activation: Activation | None = None,
) -> Shape:
    conv2d_shape(x, w, None, geometry)
    _check_end("conv2d_scaled", slopes, geometry.K, activation)
    check_shape("conv2d_scaled", "scale", scale, (geometry.K,))
    check_shape("conv2d_scaled", "shift", shift, (geometry.K,))
    check_add("conv2d_scaled", add, geometry.y_shape)
    return geometry.y_shape


def _scaled(
    ops: Any,
    x: Array,
    w: Array,
    scale: Array,
    shift: Array,
    slopes: Array | None,
    add: Array | None,
    geometry: Conv2dGeometry,
    activation: Activation | None = None,
) -> Any:
    each = -1, *(1,) * (x.ndim - 2)
    y = ops.conv2d(x, w, None, geometry)[0] * scale.reshape(each) + shift.reshape(each)
    y = y if add is None else y + add
    return activate(ops.xp, y, activation)[0] if slopes is None else ops.prelu(y, slopes)[0]


register(
    Op(
        "conv2d_scaled",
        (*CONV_INPUTS[:2], Input("scale", WEIGHT), Input("shift", WEIGHT), _SLOPES, ADD),
        shape=_scaled_shape,
        forward=_scaled,
        attributes={"geometry": REQUIRED, "activation": None},
        composed=True,
        activations=ELEMENTWISE,
        examples=tuple(
            Example(
                (*e.shapes[:2], e.shapes[2], e.shapes[2], None, e.attributes["geometry"].y_shape),
                {"geometry": e.attributes["geometry"], "activation": RELU},
            )
            for e in (*EXAMPLES[:2], EXAMPLES[7], *EXAMPLES[8:])
        ),
        doc="activation(conv2d(x, w) * scale + shift + add) with one scale and shift for each filter, or PReLU with "
        "`slopes`; no gradient.",
    )
)


def scale_and_shift(
    xp: Any, b: Array | None, gamma: Array | None, beta: Array | None, running_mean: Any, running_var: Any, eps: float
) -> tuple[Array, Array]:
    """The scale and shift for which ``conv(x)*scale + shift`` is ``batch_norm(conv(x) + b)`` in inference."""
    dtype = running_mean.dtype
    scale = (running_var.astype(xp.float64) + eps) ** -0.5
    if gamma is not None:
        scale = scale * gamma
    shift = -running_mean.astype(xp.float64) * scale
    if beta is not None:
        shift = shift + beta
    scale, shift = scale.astype(dtype), shift.astype(dtype)
    return scale, shift if b is None else shift + b * scale


# ---------------------------------------------------------------- whatever may follow a convolution in inference


def _post_shape(
    x: Shaped,
    w: Shaped,
    b: Shaped | None,
    gamma: Shaped | None,
    beta: Shaped | None,
    running_mean: Shaped | None,
    running_var: Shaped | None,
    slopes: Shaped | None,
    add: Shaped | None,
    geometry: Conv2dGeometry,
    eps: float = 1e-5,
    activation: Activation | None = None,
    pool_geometry: Pool2dGeometry | None = None,
) -> Shape:
    shape = conv2d_shape(x, w, b, geometry)
    _check_end("conv2d_post", slopes, geometry.K, activation)
    if running_mean is not None:
        batch_norm_shape(Described(shape), gamma, beta, running_mean, running_var, False)
    check_add("conv2d_post", add, shape)
    return shape if pool_geometry is None else pool_shape("conv2d_post", geometry, pool_geometry)


def _post(
    ops: Any,
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
    eps: float = 1e-5,
    activation: Activation | None = None,
    pool_geometry: Pool2dGeometry | None = None,
) -> Any:
    if running_mean is not None:
        scale, shift = scale_and_shift(ops.xp, b, gamma, beta, running_mean, running_var, eps)
        y = ops.conv2d_scaled(x, w, scale, shift, slopes, add, geometry, activation)
    else:
        y = ops.conv2d(x, w, b, geometry)[0]
        y = y if add is None else ops.add(y, add)
        y = activate(ops.xp, y, activation)[0] if slopes is None else ops.prelu(y, slopes)[0]
    return y if pool_geometry is None else ops.max_pool2d(y, pool_geometry)[0]


register(
    Op(
        "conv2d_post",
        (*CONV_INPUTS, *NORM_INPUTS, _SLOPES, ADD),
        shape=_post_shape,
        forward=_post,
        attributes={"geometry": REQUIRED, "eps": 1e-5, "activation": None, "pool_geometry": None},
        composed=True,
        activations=ELEMENTWISE,
        examples=tuple(
            Example(
                (*e.shapes[:-1], e.shapes[2] if prelu else None, e.shapes[-1]),
                {"geometry": e.attributes["geometry"], "activation": None if prelu else RELU},
                positive=e.positive,
            )
            for prelu in (False, True)
            for e in conv_norm_examples()
        ),
        doc="max_pool2d(activation(batch_norm(conv2d(x, w, b)) + add)) with running statistics, or PReLU with "
        "`slopes` for the activation; all but conv2d is optional; no gradient.  The norm is folded into one scale and "
        "shift for each filter.",
    )
)


def _image_shape(
    x: Shaped, w: Shaped, b: Shaped | None, slopes: Shaped | None, activation: Activation | None = None
) -> Shape:
    if x.ndim != 4:
        raise ValueError(f"linear_of_images: x must have shape (N, C, H, W), got {tuple(x.shape)}")
    _check_end("linear_of_images", slopes, w.shape[0], activation)
    return REGISTRY["linear"].shape(Described((x.shape[0], math.prod(x.shape[1:]))), w, b)


def _linear_of_images(
    ops: Any, x: Array, w: Array, b: Array | None, slopes: Array | None, activation: Activation | None = None
) -> Any:
    y = ops.linear(ops.flatten(x), w, b, activation)[0]
    return y if slopes is None else ops.prelu(y, slopes)[0]


register(
    Op(
        "linear_of_images",
        (Input("x"), *REGISTRY["linear"].inputs[1:], _SLOPES),
        shape=_image_shape,
        forward=_linear_of_images,
        attributes={"activation": None},
        composed=True,
        examples=tuple(Example(((7, 5, 4, 3), (11, 60), (11,), slopes)) for slopes in (None, (11,))),
        doc="linear(flatten(x)) with x (N, C, H, W), then an activation, or PReLU with `slopes`; no gradient.  A plan "
        "reads images in their memory order.",
    )
)
