"""Pooling windows.  `geometry` is a Pool2dGeometry."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from itertools import product
from typing import Any

from fastnet.geometry import Pool2dGeometry
from fastnet.ops.checks import TIES, check_images, check_output, check_shape, check_ties
from fastnet.ops.elementwise import activate
from fastnet.ops.record import REQUIRED, WEIGHT, Example, Input, Op, register
from fastnet.ops.taps import intervals
from fastnet.ops.windows import images, pad, pool_sides, tap, unpad
from fastnet.types import Activation, Array, DType, Shape, Shaped

_X = (9, 33, 17, 16)
_DILATED = (3, 2, 2, True, None, "max_pool2d", (2, 3))
_DIVIDED = (3, 2, 1, True, None, "avg_pool2d", 1, 5)


def _examples(*more: tuple[Any, ...], **attributes: Any) -> tuple[Example, ...]:
    windows = [Pool2dGeometry.make(_X, *window) for window in ((2,), (3, 2, 1), (3, 1, 1), *more)]
    return tuple(Example((_X,), {"geometry": geometry, **attributes}) for geometry in windows)


def _shape(op: str) -> Callable[..., Shape]:
    def shape(x: Shaped, geometry: Pool2dGeometry, **attributes: Any) -> Shape:
        check_shape(op, "x", x, geometry.x_shape)
        if "ties" in attributes:
            check_ties(op, attributes["ties"])
        return geometry.y_shape

    return shape


def _taps(g: Pool2dGeometry) -> Iterator[tuple[int, int]]:
    return product(range(g.R), range(g.S))


def _inside(xp: Any, g: Pool2dGeometry) -> Any:
    """A mask of the padded image: True inside the image."""
    return pad(xp, xp.ones((1, 1, g.H, g.W), bool), pool_sides(g), False)


# ---------------------------------------------------------------- maxima


def _max_pool2d(xp: Any, x: Array, geometry: Pool2dGeometry, activation: Activation | None = None) -> tuple[Array, Any]:
    g = geometry
    padded, inside = pad(xp, images(x), pool_sides(g), -xp.inf), _inside(xp, g)
    y = xp.full((g.N, g.C, g.P, g.Q), -xp.inf, x.dtype)
    index = xp.full(y.shape, -1, xp.int64)
    for r, s in _taps(g):
        value = tap(padded, g, r, s)
        better = ((index < 0) | ~(value <= y) & (y == y)) & tap(inside, g, r, s)
        y = xp.where(better, value, y)
        index = xp.where(better, r * g.S + s, index)
    if activation is not None:
        y, _ = activate(xp, y, activation)
        index = xp.where(y > 0, index, -1)
    return y.reshape(g.y_shape), (index, g, x.dtype)


def _max_pool2d_backward(xp: Any, dy: Array, saved: Any, needs: Sequence[bool] = (True,)) -> Array:
    index, g, dtype = saved
    sides, gradient = pool_sides(g), images(dy)
    dpadded = pad(xp, xp.zeros((g.N, g.C, g.H, g.W), dtype), sides)
    for r, s in _taps(g):
        inside = tap(dpadded, g, r, s)
        inside += xp.where(index == r * g.S + s, gradient, 0)
    return unpad(dpadded, sides).reshape(g.x_shape)


register(
    Op(
        "max_pool2d",
        (Input("x"),),
        shape=_shape("max_pool2d"),
        forward=_max_pool2d,
        backward=_max_pool2d_backward,
        attributes={"geometry": REQUIRED, "activation": None},
        onnx="MaxPool",
        examples=_examples(_DILATED) + _examples(activation=("relu", {})),
        doc="The largest value of each window; NaN wins, and the first of equals (rows first) gets the gradient.  A "
        "fused ReLU acts on the maxima; a maximum that is not positive has no gradient.",
    )
)


def _planes(xp: Any, x: Array, geometry: Pool2dGeometry, ties: str = "first") -> tuple[Array, Any]:
    return _max_pool2d(xp, x, geometry)[0], (x, geometry, ties)


def _planes_backward(xp: Any, dy: Array, saved: Any, needs: Sequence[bool] = (True,)) -> Array:
    x, g, ties = saved
    y, sides = _max_pool2d(xp, x, g)[0], pool_sides(g)
    padded, inside, wins = pad(xp, x, sides, -xp.inf), _inside(xp, g), []
    for r, s in _taps(g):
        value = tap(padded, g, r, s)
        wins.append(((value == y) | (value != value)) & tap(inside, g, r, s))
    if ties == "split":
        dy = dy / sum(win.astype(x.dtype) for win in wins)
    if ties == "first":
        wins = [win & ~reduce(xp.logical_or, wins[:i]) if i else win for i, win in enumerate(wins)]
    dpadded = xp.zeros_like(padded)
    for (r, s), win in zip(_taps(g), wins, strict=True):
        at = tap(dpadded, g, r, s)
        at += xp.where(win, dy, 0)
    return unpad(dpadded, sides)


register(
    Op(
        "max_pool2d_planes",
        (Input("x", WEIGHT),),
        shape=_shape("max_pool2d_planes"),
        forward=_planes,
        backward=_planes_backward,
        attributes={"geometry": REQUIRED, "ties": "first"},
        recall=lambda x, geometry, ties: (x, geometry, ties),
        gradient_role=WEIGHT,
        examples=tuple(example for ties in TIES for example in _examples(_DILATED, ties=ties)),
        doc="max_pool2d on arrays in C order, with a rule for equal maxima of a window (NaN is equal to NaN): "
        '"split", each gets an equal part of the gradient; "first", the first, rows first, all of it; "all", each '
        "all of it.",
    )
)


def _adaptive_shape(x: Shaped, size: tuple[int, int]) -> Shape:
    check_images("adaptive_max_pool2d", x)
    return (*x.shape[:2], *check_output("adaptive_max_pool2d", x.shape, size))


def _adaptive_max(xp: Any, x: Array, size: tuple[int, int]) -> tuple[Array, Any]:
    y = xp.empty(_adaptive_shape(x, size), x.dtype)
    index = xp.empty(y.shape, xp.int64)  # of each maximum, in rows of pixels
    N, C, _, W = x.shape
    for (p, (top, bottom)), (q, (left, right)) in product(
        enumerate(intervals(x.shape[2], size[0])), enumerate(intervals(W, size[1]))
    ):
        window = x[:, :, top:bottom, left:right].reshape(N, C, (bottom - top) * (right - left))
        found = window.argmax(axis=2)
        y[:, :, p, q] = xp.take_along_axis(window, found[:, :, None], 2)[:, :, 0]
        index[:, :, p, q] = (top + found // (right - left)) * W + left + found % (right - left)
    return y, (index, x.shape)


def _adaptive_max_backward(xp: Any, dy: Array, saved: Any, needs: Sequence[bool] = (True,)) -> Array:
    index, (N, C, H, W) = saved
    dx = xp.zeros((N, C, H * W), dy.dtype)
    for p, q in product(*map(range, index.shape[2:])):
        at = index[:, :, p, q, None]
        gradient = xp.take_along_axis(dx, at, 2) + dy[:, :, p, q, None]
        xp.put_along_axis(dx, at, gradient, 2)
    whole: Array = dx.reshape(N, C, H, W)
    return whole


register(
    Op(
        "adaptive_max_pool2d",
        (Input("x"),),
        shape=_adaptive_shape,
        forward=_adaptive_max,
        backward=_adaptive_max_backward,
        attributes={"size": REQUIRED},
        examples=(Example((_X,), {"size": (7, 5)}), Example(((3, 5, 3, 4),), {"size": (5, 2)})),
        doc="The largest values of P x Q windows that cover the image: window p has rows floor(p H / P) to "
        "ceil((p + 1) H / P) - 1.  NaN wins, and the first of equals gets the gradient.",
    )
)

# ---------------------------------------------------------------- means


def _divisor(xp: Any, g: Pool2dGeometry, dtype: DType) -> Any:
    """What each window's sum is divided by: its number of pixels, (1, 1, P, Q), or the geometry's one divisor."""
    if g.divisor is not None:
        return dtype.type(g.divisor)
    counted = xp.ones((1, 1, g.H, g.W), dtype)
    if g.count_include_pad:
        counted = pad(xp, counted, g.padding, 1.0)
        bottom = max((g.P - 1) * g.stride[0] + g.R - counted.shape[2], 0)
        right = max((g.Q - 1) * g.stride[1] + g.S - counted.shape[3], 0)
        counted = pad(xp, counted, (0, bottom, 0, right))
    else:
        counted = pad(xp, counted, pool_sides(g))
    return sum(tap(counted, g, r, s) for r, s in _taps(g))


def _avg_pool2d(xp: Any, x: Array, geometry: Pool2dGeometry) -> tuple[Array, Any]:
    g = geometry
    padded = pad(xp, images(x), pool_sides(g))
    y = sum(tap(padded, g, r, s) for r, s in _taps(g)) / _divisor(xp, g, x.dtype)
    return y.reshape(g.y_shape), g


def _avg_pool2d_backward(xp: Any, dy: Array, saved: Any, needs: Sequence[bool] = (True,)) -> Array:
    g, sides = saved, pool_sides(saved)
    dpadded = pad(xp, xp.zeros((g.N, g.C, g.H, g.W), dy.dtype), sides)
    share = images(dy) / _divisor(xp, g, dy.dtype)
    for r, s in _taps(g):
        at = tap(dpadded, g, r, s)
        at += share
    return unpad(dpadded, sides).reshape(g.x_shape)


register(
    Op(
        "avg_pool2d",
        (Input("x"),),
        shape=_shape("avg_pool2d"),
        forward=_avg_pool2d,
        backward=_avg_pool2d_backward,
        attributes={"geometry": REQUIRED},
        recall=lambda x, geometry: geometry,
        onnx="AveragePool",
        examples=_examples(_DIVIDED),
        doc="The mean of each window, or its sum divided by the geometry's divisor.",
    )
)


def _global_shape(x: Shaped) -> Shape:
    check_images("global_avg_pool2d", x)
    return (*x.shape[:2], 1, 1)


def _global_backward(xp: Any, dy: Array, saved: Any, needs: Sequence[bool] = (True,)) -> Any:
    shape, dtype = saved
    return xp.broadcast_to(dy / (shape[2] * shape[3]), shape).astype(dtype)


register(
    Op(
        "global_avg_pool2d",
        (Input("x"),),
        shape=_global_shape,
        forward=lambda xp, x: (x.mean(axis=(2, 3), keepdims=True), (x.shape, x.dtype)),
        backward=_global_backward,
        onnx="GlobalAveragePool",
        examples=(Example((_X,)),),
        doc="The mean over all pixels, (N, C, 1, 1).",
    )
)
