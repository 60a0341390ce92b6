"""Fractional max pooling (Graham 2014, arXiv:1412.6071)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnet.ops import philox
from fastnet.ops.checks import check_images, check_output
from fastnet.ops.random import Stream, check_position
from fastnet.ops.record import REQUIRED, Example, Input, Op, register
from fastnet.ops.taps import Taps
from fastnet.types import Array, Shape, Shaped

__all__ = ["check_windows", "reach", "spans", "taps"]

_BITS = 24  # of a number
_LARGEST = 2**19  # an axis whose boundaries are exact in 64 bits


def reach(size: int, outputs: int, window: int, overlapping: bool) -> int:
    """The number of elements of the largest window."""
    return window or min(-(-size // outputs) + overlapping, size)


def _numbers(stream: Stream, images: int, words: int) -> Array:
    """The stream's next numbers times 2**24, integers, (images, words)."""
    drawn = philox.words(*stream.take(images * words), images * words) >> np.uint32(32 - _BITS)
    return drawn.astype(np.int64).reshape(images, words)


def spans(
    images: int, size: int, outputs: int, window: int, overlapping: bool, random: bool, stream: Stream | None
) -> Array:
    """(first, end) of each image's windows along an axis, (images, outputs, 2), integers.

    Boundaries run from 0 to `extent` in `steps`, with alpha = extent / steps: pseudo-random, floor((i + u) alpha) -
    floor(u alpha) with one number u for each image; random, sums of floor(alpha) and ceil(alpha) in random order.
    With a window, there are outputs - 1 steps over size - window elements, and a window begins at each boundary;
    without, there are `outputs` steps over all of them, and a window lies between two boundaries, with one element more
    if they overlap.

    Parameters
    ----------
    stream : Stream, optional
        It advances; None: boundaries are i alpha, rounded.
    """
    steps, extent = (outputs - 1, size - window) if window else (outputs, size)
    bounds = np.zeros((images, steps + 1), np.int64)
    if stream is None:
        bounds += (2 * np.arange(steps + 1) * extent + steps) // max(2 * steps, 1)
    elif random:
        numbers, larger = _numbers(stream, images, steps), np.full(images, extent % max(steps, 1))
        for i in range(steps):
            up = numbers[:, i] * (steps - i) < larger << _BITS
            bounds[:, i + 1] = bounds[:, i] + extent // steps + up
            larger -= up
    else:
        u, one = _numbers(stream, images, 1), max(steps, 1) << _BITS
        bounds += ((np.arange(steps + 1) << _BITS) + u) * extent // one - u * extent // one
    bounds[:, -1] = extent
    if window:
        return np.stack([bounds, bounds + window], 2)
    return np.stack([bounds[:, :-1], np.minimum(bounds[:, 1:] + overlapping, size)], 2)


def check_windows(op: str, image: Sequence[int], size: tuple[int, int], window: tuple[int, int] | None) -> None:
    """Raise ValueError unless P x Q windows with different boundaries fit into an image (H, W)."""
    for axis, outputs, extent, each in zip(("height", "width"), size, image, window or (1, 1), strict=True):
        if outputs + each - 1 > extent:
            windows = f"{outputs} windows{f' of {each} pixels' if window else ''}"
            raise ValueError(f"{op}: {windows} need a {axis} of at least {outputs + each - 1}, got {extent}")
        if extent > _LARGEST:
            raise ValueError(f"{op}: the {axis} must be at most {_LARGEST}, got {extent}")


def taps(size: int, outputs: int, window: int, overlapping: bool) -> Taps:
    """The windows along an axis without a stream, for kernels that have windows as taps; weights are 1."""
    (found,) = spans(1, size, outputs, window, overlapping, False, None)
    inputs = np.concatenate([np.arange(first, end) for first, end in found])
    output = np.repeat(np.arange(outputs), found[:, 1] - found[:, 0])
    return Taps.of(size, outputs, output, inputs, np.ones(len(inputs)))


def _shape(
    x: Shaped,
    size: tuple[int, int],
    window: tuple[int, int] | None = None,
    overlapping: bool = True,
    random: bool = False,
    stream: Stream | None = None,
) -> Shape:
    check_images("fractional_max_pool2d", x)
    P, Q = check_output("fractional_max_pool2d", x.shape, size)
    check_windows("fractional_max_pool2d", x.shape[2:], (P, Q), window)
    if stream is not None:
        check_position("fractional_max_pool2d", stream.seed, stream.offset)
    elif random:
        raise ValueError("fractional_max_pool2d: random=True needs a stream")
    return *x.shape[:2], P, Q


def _pool(
    xp: Any,
    x: Array,
    size: tuple[int, int],
    window: tuple[int, int] | None = None,
    overlapping: bool = True,
    random: bool = False,
    stream: Stream | None = None,
) -> tuple[Array, Any]:
    (N, C, H, W), (P, Q), (R, S) = x.shape, size, window or (0, 0)
    rows = spans(N, H, P, R, overlapping, random, stream)
    columns = spans(N, W, Q, S, overlapping, random, stream)
    y = xp.empty((N, C, P, Q), x.dtype)
    index = xp.empty(y.shape, xp.int64)  # of each maximum, in rows of pixels
    for n, p, q in np.ndindex(N, P, Q):
        (top, bottom), (left, right) = map(tuple, (rows[n, p].tolist(), columns[n, q].tolist()))
        pixels = x[n, :, top:bottom, left:right].reshape(C, (bottom - top) * (right - left))
        found = pixels.argmax(axis=1)
        y[n, :, p, q] = xp.take_along_axis(pixels, found[:, None], 1)[:, 0]
        index[n, :, p, q] = (top + found // (right - left)) * W + left + found % (right - left)
    return y, (index, x.shape)


def _pool_backward(xp: Any, dy: Array, saved: Any, needs: Sequence[bool] = (True,)) -> Any:
    index, (N, C, H, W) = saved
    dx = xp.zeros((N, C, H * W), dy.dtype)
    for p, q in np.ndindex(*index.shape[2:]):
        at = index[:, :, p, q, None]
        xp.put_along_axis(dx, at, xp.take_along_axis(dx, at, 2) + dy[:, :, p, q, None], 2)
    return dx.reshape(N, C, H, W)


_X = (3, 33, 17, 16)
register(
    Op(
        "fractional_max_pool2d",
        (Input("x"),),
        shape=_shape,
        forward=_pool,
        backward=_pool_backward,
        attributes={"size": REQUIRED, "window": None, "overlapping": True, "random": False, "stream": None},
        examples=(
            Example((_X,), {"size": (11, 9), "stream": Stream(3, 5)}),
            Example((_X,), {"size": (12, 13), "overlapping": False, "random": True, "stream": Stream(3, 5)}),
            Example((_X,), {"size": (6, 14), "window": (3, 2), "stream": Stream(3)}),
            Example(((2, 5, 40, 40),), {"size": (2, 2), "window": (17, 16), "random": True, "stream": Stream(4)}),
            Example((_X,), {"size": (11, 9)}),
        ),
        doc="The largest values of P x Q windows whose boundaries are drawn for each image, for all channels alike "
        "(Graham 2014, arXiv:1412.6071).  `window` is the windows' size, as in PyTorch; None: they reach from one "
        "boundary to the next, and share a row or column with their neighbours if `overlapping`.  Boundaries are "
        "pseudo-random or `random`; without a stream, evenly spaced and rounded.  NaN wins, "
        "and the first of equals gets the gradient.",
    )
)
