"""Transposed convolution: the input gradient of a convolution as an op of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from fastnet.arguments import four_sides, pair
from fastnet.geometry import Conv2dGeometry
from fastnet.ops.checks import check_shape
from fastnet.ops.conv import CONV_INPUTS
from fastnet.ops.record import REQUIRED, Example, Op, register
from fastnet.ops.windows import images, pad, tap, unpad
from fastnet.types import Array, Padding, Pair, Shape, Shaped

__all__ = ["transposed_geometry"]


def transposed_geometry(
    x_shape: Sequence[int],
    w_shape: Sequence[int],
    stride: Pair = 1,
    padding: Padding = 0,
    output_padding: Pair = 0,
    groups: int = 1,
    dilation: Pair = 1,
) -> Conv2dGeometry:
    """The geometry of the convolution from y to x, whose input gradient a transposed convolution of x is.

    Parameters
    ----------
    x_shape : (N, C, H, W)
    w_shape : (C, K // groups, R, S)
    stride, dilation : int or pair
    padding : int, pair or (top, bottom, left, right)
        Removed from y.
    output_padding : int or pair
        Rows and columns added to y at the bottom and at the right; smaller than the stride or the dilation.
    groups : int

    Returns
    -------
    Conv2dGeometry
        Its ``x_shape`` is y's: height (H - 1) * stride - top - bottom + dilation * (R - 1) + 1 + output_padding.
        Its ``y_shape`` is x's, but larger if the output_padding is not smaller than the stride: then x must be padded
        with zeros to it, at the bottom and at the right.

    Raises
    ------
    TypeError, ValueError
        Which argument is wrong, what was given, and what was expected.
    """
    op = "conv_transpose2d"
    if len(x_shape) != 4 or len(w_shape) != 4:
        raise ValueError(
            f"{op}: x must have shape (N, C, H, W) and weight (C, K // groups, R, S), got {tuple(x_shape)} and "
            f"{tuple(w_shape)}"
        )
    steps, spread = pair(stride, f"{op}: stride"), pair(dilation, f"{op}: dilation")
    extra, sides = pair(output_padding, f"{op}: output_padding", 0), four_sides(padding, f"{op}: padding")
    if w_shape[0] != x_shape[1]:
        raise ValueError(f"{op}: weight of shape {tuple(w_shape)} expects {w_shape[0]} channels, x has {x_shape[1]}")
    if extra[0] >= max(steps[0], spread[0]) or extra[1] >= max(steps[1], spread[1]):
        raise ValueError(
            f"{op}: output_padding must be smaller than the stride {stride} or the dilation {dilation}, got "
            f"{output_padding}"
        )
    sizes = []
    for axis in (0, 1):
        size, cut = (x_shape[2 + axis] - 1) * steps[axis], sides[2 * axis] + sides[2 * axis + 1]
        sizes.append(size - cut + spread[axis] * (w_shape[2 + axis] - 1) + 1 + extra[axis])
    if min(sizes) < 1 or min(x_shape[2:]) < 1:
        raise ValueError(
            f"{op}: nothing is left of the output, {sizes[0]}x{sizes[1]} (x.shape={tuple(x_shape)}, "
            f"padding={padding!r}); use less padding"
        )
    y_shape = x_shape[0], w_shape[1] * groups, *sizes
    return Conv2dGeometry.make(y_shape, w_shape, steps, sides, spread, groups)


def _shape(x: Shaped, w: Shaped, b: Shaped | None, geometry: Conv2dGeometry) -> Shape:
    check_shape("conv_transpose2d", "x", x, geometry.y_shape)
    check_shape("conv_transpose2d", "weight", w, geometry.w_shape)
    if b is not None:
        check_shape("conv_transpose2d", "bias", b, (geometry.C,))
    return geometry.x_shape


def _taps(g: Conv2dGeometry) -> Iterator[tuple[slice, slice, int, int]]:
    """Channels of y, channels of x, and position in the kernel, for each group and position."""
    outputs, inputs = g.C // g.groups, g.K // g.groups
    for n, r, s in product(range(g.groups), range(g.R), range(g.S)):
        yield slice(n * outputs, (n + 1) * outputs), slice(n * inputs, (n + 1) * inputs), r, s


def _forward(xp: Any, x: Array, w: Array, b: Array | None, geometry: Conv2dGeometry) -> tuple[Array, Any]:
    g, given, kernel = geometry, images(x), images(w)
    padded = pad(xp, xp.zeros((g.N, g.C, g.H, g.W), x.dtype), g.padding)
    for outputs, inputs, r, s in _taps(g):
        under = tap(padded, g, r, s)
        under[:, outputs] += xp.einsum("nkpq,kc->ncpq", given[:, inputs], kernel[inputs, :, r, s])
    y = unpad(padded, g.padding)
    return (y if b is None else y + b[:, None, None]).reshape(g.x_shape), (x, w, g)


def _backward(xp: Any, dy: Array, saved: Any, needs: Sequence[bool] = (True, True, True)) -> tuple[Array | None, ...]:
    x, w, g = saved
    given, kernel, dy = images(x), images(w), images(dy)
    padded = pad(xp, dy, g.padding)
    dx, dw = xp.zeros_like(given), xp.zeros_like(kernel)
    for outputs, inputs, r, s in _taps(g):
        under = tap(padded, g, r, s)[:, outputs]
        if needs[0]:
            dx[:, inputs] += xp.einsum("ncpq,kc->nkpq", under, kernel[inputs, :, r, s])
        if needs[1]:
            dw[inputs, :, r, s] = xp.einsum("nkpq,ncpq->kc", given[:, inputs], under)
    return (
        dx.reshape(x.shape) if needs[0] else None,
        dw.reshape(w.shape) if needs[1] else None,
        dy.sum(axis=(0, 2, 3)) if needs[2] else None,
    )


def _signals(x_shape: Shape, w_shape: Shape, stride: int, padding: int, extra: int, groups: int) -> Example:
    (N, C, L), (_, per_group, S) = x_shape, w_shape
    sizes = (1, stride), (0, padding), (0, extra), groups
    made = transposed_geometry((N, C, 1, L), (C, per_group, 1, S), *sizes).of_signals()
    return Example((x_shape, w_shape, (made.C,)), {"geometry": made})


def _example(x_shape: Shape, w_shape: Shape, *geometry: Any) -> Example:
    made = transposed_geometry(x_shape, w_shape, *geometry)
    return Example((x_shape, w_shape, (made.C,)), {"geometry": made})


register(
    Op(
        "conv_transpose2d",
        CONV_INPUTS,
        shape=_shape,
        forward=_forward,
        backward=_backward,
        attributes={"geometry": REQUIRED},
        onnx="ConvTranspose",
        examples=(
            _example((4, 33, 7, 8), (33, 16, 2, 2), 2),
            _example((3, 17, 6, 5), (17, 9, 3, 3), 2, 1, 1),
            _example((3, 12, 5, 6), (12, 4, 4, 3), (1, 2), (1, 0), 0, 3, (1, 2)),
            _example((2, 8, 9, 9), (8, 3, 3, 3), 1, 1),
            _example((2, 24, 5, 4), (24, 1, 3, 3), 2, 1, (1, 0), 24),
            _signals((5, 12, 20), (12, 9, 3), 2, 1, 1, 2),
        ),
        doc="The input gradient of a convolution: y[n, c, p*stride + r*dilation - top, q*stride + s*dilation - left] "
        "accumulates x[n,k,p,q] * w[k,c,r,s], plus b[c].  `geometry` is that of the convolution from y to x (Zeiler et "
        "al. 2010, Deconvolutional networks).",
    )
)
