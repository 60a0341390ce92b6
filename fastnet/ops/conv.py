"""Convolution (cross-correlation), and the patches of an image as columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from fastnet.geometry import Conv2dGeometry
from fastnet.ops.checks import check_shape
from fastnet.ops.elementwise import ELEMENTWISE, activate, activate_gradient
from fastnet.ops.record import REQUIRED, WEIGHT, Example, Input, Op, register
from fastnet.ops.windows import images, pad, tap, unpad
from fastnet.types import Activation, Array, Shape, Shaped


def conv2d_shape(
    x: Shaped, w: Shaped, b: Shaped | None, geometry: Conv2dGeometry, activation: Activation | None = None
) -> Shape:
    """The shape of conv2d's y; also checks its fused forms."""
    check_shape("conv2d", "x", x, geometry.x_shape)
    check_shape("conv2d", "weight", w, geometry.w_shape)
    if b is not None:
        check_shape("conv2d", "bias", b, (geometry.K,))
    return geometry.y_shape


def _groups(g: Conv2dGeometry) -> Iterator[tuple[slice, slice]]:
    """(channels, filters) of each group, as slices."""
    per_c, per_k = g.C // g.groups, g.K // g.groups
    for group in range(g.groups):
        yield slice(group * per_c, (group + 1) * per_c), slice(group * per_k, (group + 1) * per_k)


def _conv2d(
    xp: Any, x: Array, w: Array, b: Array | None, geometry: Conv2dGeometry, activation: Activation | None = None
) -> tuple[Array, Any]:
    g, kernel = geometry, images(w)
    padded = pad(xp, images(x), g.padding)
    y = xp.zeros((g.N, g.K, g.P, g.Q), x.dtype)
    for (channels, filters), r, s in product(_groups(g), range(g.R), range(g.S)):
        y[:, filters] += xp.einsum("ncpq,kc->nkpq", tap(padded, g, r, s)[:, channels], kernel[filters, :, r, s])
    if b is not None:
        y += b[:, None, None]
    y, kept = activate(xp, y.reshape(g.y_shape), activation)
    return y, (x, w, g, kept, activation)


def _conv2d_backward(
    xp: Any, dy: Array, saved: Any, needs: Sequence[bool] = (True, True, True), add: Array | None = None
) -> tuple[Array | None, ...]:
    x, w, g, kept, activation = saved
    dy = images(activate_gradient(xp, dy, kept, activation))
    kernel, padded = images(w), pad(xp, images(x), g.padding)
    dpadded, dw = xp.zeros_like(padded), xp.zeros_like(kernel)
    for (channels, filters), r, s in product(_groups(g), range(g.R), range(g.S)):
        if needs[0]:
            inside = tap(dpadded, g, r, s)
            inside[:, channels] += xp.einsum("nkpq,kc->ncpq", dy[:, filters], kernel[filters, :, r, s])
        if needs[1]:
            dw[filters, :, r, s] = xp.einsum("nkpq,ncpq->kc", dy[:, filters], tap(padded, g, r, s)[:, channels])
    dx = unpad(dpadded, g.padding).reshape(x.shape)
    return (
        (dx if add is None else dx + add) if needs[0] else None,
        dw.reshape(w.shape) if needs[1] else None,
        dy.sum(axis=(0, 2, 3)) if needs[2] else None,
    )


def _signals(x_shape: Shape, w_shape: Shape, stride: int, padding: int, dilation: int, groups: int) -> Example:
    """A 1-d convolution: images of one row, without that axis."""
    (N, C, L), (K, per_group, S) = x_shape, w_shape
    sizes = (1, stride), (0, padding), (1, dilation), groups
    made = Conv2dGeometry.make((N, C, 1, L), (K, per_group, 1, S), *sizes).of_signals()
    return Example((x_shape, w_shape, (K,)), {"geometry": made})


def _example(x_shape: Shape, w_shape: Shape, *geometry: Any, activation: Activation | None = None) -> Example:
    made = Conv2dGeometry.make(x_shape, w_shape, *geometry)
    return Example((x_shape, w_shape, w_shape[:1]), {"geometry": made, "activation": activation})


# x, weight, stride, padding, dilation, groups: every algorithm of csrc/conv
EXAMPLES = (
    _example((8, 16, 13, 14), (33, 16, 3, 3), 1, 1, 1, 1),
    _example((6, 3, 31, 31), (25, 3, 3, 3), 2, 1, 1, 1),
    _example((5, 33, 9, 9), (70, 33, 1, 1), 1, 0, 1, 1),
    _example((7, 12, 11, 12), (18, 4, 3, 3), 2, (1, 0, 2, 1), 1, 3),
    _example((4, 3, 33, 31), (8, 3, 7, 7), 1, 3, 1, 1),
    _example((7, 1, 28, 28), (6, 1, 5, 5), 1, 2, 1, 1),
    _example((3, 64, 8, 8), (64, 64, 3, 3), 1, 2, 2, 1),
    _example((9, 24, 12, 11), (24, 1, 3, 3), 2, 1, 1, 24),
    _example((4, 16, 13, 14), (33, 16, 3, 3), 1, 1, 1, 1),
    _example((3, 70, 9, 9), (64, 70, 3, 3), 1, (1, 0, 2, 1), 1, 1, activation=("relu", {})),
)
CONV_INPUTS = (Input("x"), Input("w", WEIGHT, label="weight"), Input("b", WEIGHT, True, "bias"))

register(
    Op(
        "conv2d",
        CONV_INPUTS,
        shape=conv2d_shape,
        forward=_conv2d,
        backward=_conv2d_backward,
        attributes={"geometry": REQUIRED, "activation": None},
        recall=lambda x, w, b, geometry, activation=None: (x, w, geometry, None, None),
        accumulates=True,
        activations=ELEMENTWISE,
        onnx="Conv",
        examples=(*EXAMPLES, _signals((5, 12, 40), (18, 4, 3), 2, 1, 2, 3)),
        doc="y[n,k,p,q] = b[k] + sum over c,r,s of xpad[n, c, p*stride+r*dilation, q*stride+s*dilation] * w[k,c,r,s]; "
        "then a fused activation.  `geometry` is a Conv2dGeometry.",
    )
)


def _im2col_shape(x: Shaped, geometry: Conv2dGeometry) -> Shape:
    check_shape("im2col", "x", x, geometry.x_shape)
    return geometry.N, geometry.C * geometry.R * geometry.S, geometry.P * geometry.Q


def _im2col(xp: Any, x: Array, geometry: Conv2dGeometry) -> Any:
    g = geometry
    padded = pad(xp, x, g.padding)
    columns = xp.empty((g.N, g.C, g.R, g.S, g.P, g.Q), x.dtype)
    for r, s in product(range(g.R), range(g.S)):
        columns[:, :, r, s] = tap(padded, g, r, s)
    return columns.reshape(g.N, g.C * g.R * g.S, g.P * g.Q)


def _col2im_shape(columns: Shaped, geometry: Conv2dGeometry) -> Shape:
    g = geometry
    check_shape("col2im", "columns", columns, (g.N, g.C * g.R * g.S, g.P * g.Q))
    return g.x_shape


def _col2im(xp: Any, columns: Array, geometry: Conv2dGeometry) -> Array:
    g = geometry
    columns = columns.reshape(g.N, g.C, g.R, g.S, g.P, g.Q)
    top, bottom, left, right = g.padding
    padded = xp.zeros((g.N, g.C, g.H + top + bottom, g.W + left + right), columns.dtype)
    for r, s in product(range(g.R), range(g.S)):
        inside = tap(padded, g, r, s)
        inside += columns[:, :, r, s]
    return unpad(padded, g.padding)


_GEOMETRY = EXAMPLES[3].attributes["geometry"]
register(
    Op(
        "im2col",
        (Input("x"),),
        shape=_im2col_shape,
        forward=_im2col,
        attributes={"geometry": REQUIRED},
        gradient_role=WEIGHT,
        flops=(0, 0),
        examples=(Example((_GEOMETRY.x_shape,), {"geometry": _GEOMETRY}),),
        doc="Patches as columns, (N, C*R*S, P*Q), row (c*R + r)*S + s: then y = w.reshape(K, -1) @ columns.",
    )
)
register(
    Op(
        "col2im",
        (Input("columns", WEIGHT),),
        shape=_col2im_shape,
        forward=_col2im,
        attributes={"geometry": REQUIRED},
        examples=(Example(((7, 12 * 9, _GEOMETRY.P * _GEOMETRY.Q),), {"geometry": _GEOMETRY}),),
        doc="The adjoint of im2col: columns accumulated at the pixels that they come from, (N, C, H, W).",
    )
)
