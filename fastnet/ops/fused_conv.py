"""Fused training ops: a convolution, and PReLU, maxout or max pooling after it; see fused.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fastnet.geometry import Conv2dGeometry, Pool2dGeometry
from fastnet.ops.channels import check_slopes, maxout_shape
from fastnet.ops.conv import CONV_INPUTS, EXAMPLES, conv2d_shape
from fastnet.ops.fused import RELU, Described
from fastnet.ops.record import REQUIRED, WEIGHT, Example, Input, Op, register
from fastnet.types import Activation, Array, Shape, Shaped

# ---------------------------------------------------------------- convolution, PReLU


def _conv_prelu_shape(x: Shaped, w: Shaped, b: Shaped | None, slopes: Shaped, geometry: Conv2dGeometry) -> Shape:
    check_slopes("conv2d_prelu", slopes, geometry.K)
    return conv2d_shape(x, w, b, geometry)


def _conv_prelu(
    ops: Any, x: Array, w: Array, b: Array | None, slopes: Array, geometry: Conv2dGeometry
) -> tuple[Array, Any]:
    between, saved = ops.conv2d(x, w, b, geometry)
    y, prelu_saved = ops.prelu(between, slopes)
    return y, (saved, prelu_saved)


def _conv_prelu_backward(
    ops: Any, dy: Array, saved: Any, needs: Sequence[bool] = (True,) * 4, add: Array | None = None
) -> tuple[Array | None, ...]:
    saved, prelu_saved = saved
    dx = dw = db = None
    dy, dslopes = ops.prelu_backward(dy, prelu_saved, (any(needs[:3]), needs[3]))
    if any(needs[:3]):
        dx, dw, db = ops.conv2d_backward(dy, saved, needs[:3], add=add)
    return dx, dw, db, dslopes


register(
    Op(
        "conv2d_prelu",
        (*CONV_INPUTS, Input("slopes", WEIGHT)),
        shape=_conv_prelu_shape,
        forward=_conv_prelu,
        backward=_conv_prelu_backward,
        attributes={"geometry": REQUIRED},
        composed=True,
        accumulates=True,
        examples=tuple(
            Example((*e.shapes, (1,) if shared else e.shapes[2]), {"geometry": e.attributes["geometry"]})
            for e, shared in zip(EXAMPLES[:9], (True, False) * 4 + (True,), strict=True)
        ),
        doc="prelu(conv2d(x, w, b), slopes).",
    )
)

# ---------------------------------------------------------------- convolution, maxout


def _conv_maxout_shape(x: Shaped, w: Shaped, b: Shaped | None, geometry: Conv2dGeometry, pieces: int) -> Shape:
    return maxout_shape(Described(conv2d_shape(x, w, b, geometry)), pieces)


def _conv_maxout(
    ops: Any, x: Array, w: Array, b: Array | None, geometry: Conv2dGeometry, pieces: int
) -> tuple[Array, Any]:
    between, saved = ops.conv2d(x, w, b, geometry)
    y, maxout_saved = ops.maxout(between, pieces)
    return y, (saved, maxout_saved)


def _conv_maxout_backward(
    ops: Any, dy: Array, saved: Any, needs: Sequence[bool] = (True,) * 3, add: Array | None = None
) -> Any:
    saved, maxout_saved = saved
    return ops.conv2d_backward(ops.maxout_backward(dy, maxout_saved), saved, needs, add=add)


def _conv_maxout_examples() -> Iterator[Example]:
    for e in (EXAMPLES[0], EXAMPLES[5], EXAMPLES[8]):
        geometry = e.attributes["geometry"]
        pieces = next(pieces for pieces in (2, 3, 5, geometry.K) if geometry.K % pieces == 0)
        yield Example(e.shapes, {"geometry": geometry, "pieces": pieces})


register(
    Op(
        "conv2d_maxout",
        CONV_INPUTS,
        shape=_conv_maxout_shape,
        forward=_conv_maxout,
        backward=_conv_maxout_backward,
        attributes={"geometry": REQUIRED, "pieces": REQUIRED},
        composed=True,
        accumulates=True,
        examples=tuple(_conv_maxout_examples()),
        doc="maxout(conv2d(x, w, b), pieces).",
    )
)

# ---------------------------------------------------------------- convolution, max pooling


def pool_shape(op: str, geometry: Conv2dGeometry, pool_geometry: Pool2dGeometry) -> Shape:
    """The shape after pooling a convolution's output; ValueError if the two geometries do not fit."""
    if pool_geometry.x_shape != geometry.y_shape:
        raise ValueError(
            f"{op}: the pooling must take the convolution's output {geometry.y_shape}, got {pool_geometry.x_shape}"
        )
    return pool_geometry.y_shape


def _conv_pool_shape(
    x: Shaped,
    w: Shaped,
    b: Shaped | None,
    geometry: Conv2dGeometry,
    pool_geometry: Pool2dGeometry,
    activation: Activation | None = None,
) -> Shape:
    conv2d_shape(x, w, b, geometry)
    return pool_shape("conv2d_max_pool", geometry, pool_geometry)


def _conv_pool(
    ops: Any,
    x: Array,
    w: Array,
    b: Array | None,
    geometry: Conv2dGeometry,
    pool_geometry: Pool2dGeometry,
    activation: Activation | None = None,
) -> tuple[Array, Any]:
    between, saved = ops.conv2d(x, w, b, geometry)
    y, pool_saved = ops.max_pool2d(between, pool_geometry, activation)
    return y, (saved, pool_saved)


def _conv_pool_backward(
    ops: Any, dy: Array, saved: Any, needs: Sequence[bool] = (True,) * 3, add: Array | None = None
) -> Any:
    saved, pool_saved = saved
    return ops.conv2d_backward(ops.max_pool2d_backward(dy, pool_saved), saved, needs, add=add)


def _conv_pool_examples() -> Iterator[Example]:
    for e, window in zip((EXAMPLES[0], EXAMPLES[5], EXAMPLES[8]), ((2, 2, 0), (2, 2, 0), (3, 2, 1)), strict=True):
        geometry = e.attributes["geometry"]
        pooling = Pool2dGeometry.make(geometry.y_shape, *window)
        yield Example(e.shapes, {"geometry": geometry, "pool_geometry": pooling, "activation": RELU})


register(
    Op(
        "conv2d_max_pool",
        CONV_INPUTS,
        shape=_conv_pool_shape,
        forward=_conv_pool,
        backward=_conv_pool_backward,
        attributes={"geometry": REQUIRED, "pool_geometry": REQUIRED, "activation": None},
        composed=True,
        accumulates=True,
        examples=tuple(_conv_pool_examples()),
        doc="max_pool2d(conv2d(x, w, b), activation).",
    )
)
