"""Ops that move elements without computing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from fastnet.ops.checks import check_channels, check_images, check_shape
from fastnet.ops.record import REQUIRED, WEIGHT, Example, Input, Op, register
from fastnet.types import Array, Shape, Shaped

_X = (9, 33, 17, 16)


def _concat_shape(*arrays: Shaped) -> Shape:
    first = arrays[0]
    check_channels("concat", first)
    for x in arrays[1:]:
        check_shape("concat", "x", x, (first.shape[0], x.shape[1], *first.shape[2:]))
    return (first.shape[0], sum(x.shape[1] for x in arrays), *first.shape[2:])


def split_arrays(xp: Any, x: Array, channels: Sequence[int]) -> list[Array]:
    """x cut along axis 1."""
    cuts = [sum(channels[:i]) for i in range(1, len(channels))]
    return [piece.copy() for piece in xp.split(x, cuts, axis=1)]


register(
    Op(
        "concat",
        (Input("arrays", variadic=True),),
        shape=_concat_shape,
        forward=lambda xp, *arrays: (xp.concatenate(arrays, axis=1), [x.shape[1] for x in arrays]),
        backward=lambda xp, dy, saved, needs=None: tuple(split_arrays(xp, dy, saved)),
        plain=True,
        flops=(0, 0),
        onnx="Concat",
        examples=(Example((_X, (9, 5, 17, 16), _X)), Example(((7, 5), (7, 2)))),
        doc="Arrays concatenated along channels (axis 1).",
    )
)


def _split_shape(x: Shaped, channels: Sequence[int]) -> Shape:
    check_channels("split", x)
    if sum(channels) != x.shape[1]:
        raise ValueError(f"split: pieces {tuple(channels)} do not add up to the {x.shape[1]} channels of x")
    return tuple(x.shape)


register(
    Op(
        "split",
        (Input("x"),),
        shape=_split_shape,
        forward=split_arrays,
        attributes={"channels": REQUIRED},
        flops=(0, 0),
        examples=(Example((_X,), {"channels": (16, 17)}),),
        doc="A list of arrays with the given numbers of channels, cut from x along axis 1: concat's gradient.",
    )
)


def _unflatten_shape(x: Shaped, shape: Sequence[int]) -> Shape:
    check_shape("unflatten", "x", x, (x.shape[0], math.prod(shape)))
    return x.shape[0], *shape


register(
    Op(
        "flatten",
        (Input("x"),),
        shape=lambda x: (x.shape[0], math.prod(x.shape[1:])),
        forward=lambda xp, x: (x.reshape(x.shape[0], math.prod(x.shape[1:])), tuple(x.shape)),
        backward=lambda xp, dy, saved, needs=None: dy.reshape(saved),
        plain=True,
        flops=(0, 0),
        onnx="Flatten",
        examples=(Example((_X,)),),
        doc="(N, C, H, W) to (N, C*H*W) in that order.",
    )
)
register(
    Op(
        "unflatten",
        (Input("x", WEIGHT),),
        shape=_unflatten_shape,
        forward=lambda xp, x, shape: (x.reshape(x.shape[0], *shape), None),
        backward=lambda xp, dy, saved, needs=None: dy.reshape(dy.shape[0], math.prod(dy.shape[1:])),
        attributes={"shape": REQUIRED},
        plain=True,
        flops=(0, 0),
        onnx="Reshape",
        examples=(Example(((7, 5 * 4 * 3),), {"shape": (5, 4, 3)}),),
        doc="The inverse of flatten: (N, C*H*W) to (N, C, H, W), for the shape (C, H, W).",
    )
)


def _subsample_shape(x: Shaped, stride: int, channels: int) -> Shape:
    N, C, H, W = x.shape
    if channels < C:
        raise ValueError(f"subsample: {channels} channels requested, x already has {C}")
    return N, channels, -(-H // stride), -(-W // stride)


def _subsample(xp: Any, x: Array, stride: int, channels: int) -> tuple[Array, Any]:
    before = (channels - x.shape[1]) // 2
    y = xp.zeros(_subsample_shape(x, stride, channels), x.dtype)
    y[:, before : before + x.shape[1]] = x[:, :, ::stride, ::stride]
    return y, (tuple(x.shape), stride, before)


def _subsample_backward(xp: Any, dy: Array, saved: Any, needs: Sequence[bool] | None = None) -> Any:
    shape, stride, before = saved
    dx = xp.zeros(shape, dy.dtype)
    dx[:, :, ::stride, ::stride] = dy[:, before : before + shape[1]]
    return dx


register(
    Op(
        "subsample",
        (Input("x"),),
        shape=_subsample_shape,
        forward=_subsample,
        backward=_subsample_backward,
        attributes={"stride": REQUIRED, "channels": REQUIRED},
        flops=(0, 0),
        examples=(Example((_X,), {"stride": 2, "channels": 40}),),
        doc="x[:, :, ::stride, ::stride], zero-padded on both sides to `channels` channels (He et al. 2015, option A).",
    )
)


def _shuffle_shape(x: Shaped, factor: int) -> Shape:
    check_images("pixel_shuffle", x)
    N, C, H, W = x.shape
    if factor < 1 or C % factor**2:
        raise ValueError(f"pixel_shuffle: factor={factor} must be positive and its square divide the {C} channels of x")
    return N, C // factor**2, H * factor, W * factor


def _unshuffle_shape(x: Shaped, factor: int) -> Shape:
    check_images("pixel_unshuffle", x)
    N, C, H, W = x.shape
    if factor < 1 or H % factor or W % factor:
        raise ValueError(f"pixel_unshuffle: factor={factor} must be positive and divide {H} rows and {W} columns of x")
    return N, C * factor**2, H // factor, W // factor


def _shuffled(xp: Any, x: Array, factor: int) -> Any:
    N, C, H, W = x.shape
    pieces = x.reshape(N, C // factor**2, factor, factor, H, W).transpose(0, 1, 4, 2, 5, 3)
    return pieces.reshape(N, C // factor**2, H * factor, W * factor)


def _unshuffled(xp: Any, x: Array, factor: int) -> Any:
    N, C, H, W = x.shape
    pieces = x.reshape(N, C, H // factor, factor, W // factor, factor).transpose(0, 1, 3, 5, 2, 4)
    return pieces.reshape(N, C * factor**2, H // factor, W // factor)


def _register(
    name: str,
    shape: Callable[..., Shape],
    move: Callable[..., Any],
    back: Callable[..., Any],
    example: Shape,
    onnx: str,
    doc: str,
) -> None:
    """Register an op that moves pixels: ``move(xp, x, factor)``; `back` is its inverse, and so its gradient."""
    register(
        Op(
            name,
            (Input("x"),),
            shape=shape,
            forward=lambda xp, x, factor: (move(xp, x, factor), factor),
            backward=lambda xp, dy, saved, needs=(True,): back(xp, dy, saved),
            attributes={"factor": REQUIRED},
            flops=(0, 0),
            onnx=onnx,
            examples=(Example((example,), {"factor": 3}),),
            doc=doc,
        )
    )


_register(
    "pixel_shuffle",
    _shuffle_shape,
    _shuffled,
    _unshuffled,
    (5, 36, 7, 6),
    "DepthToSpace",
    "(N, C*r*r, H, W) to (N, C, H*r, W*r): y[n, c, h*r + i, w*r + j] = x[n, (c*r + i)*r + j, h, w], for the factor "
    "r (Shi et al. 2016, arXiv:1609.05158).",
)
_register(
    "pixel_unshuffle",
    _unshuffle_shape,
    _unshuffled,
    _shuffled,
    (5, 4, 15, 12),
    "SpaceToDepth",
    "The inverse of pixel_shuffle: (N, C, H*r, W*r) to (N, C*r*r, H, W).",
)
