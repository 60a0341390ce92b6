"""Fractional max pooling."""

from __future__ import annotations

from collections.abc import Callable

from fastnet.arguments import flag, integer, pair
from fastnet.backends import current
from fastnet.functional.arguments import Batch, arrays_of, follows, gradient_of
from fastnet.ops import Stream
from fastnet.types import Array, ArrayLike, Pair

__all__ = ["fractional_max_pool2d"]


@follows
def fractional_max_pool2d(
    x: ArrayLike,
    kernel_size: Pair | None = None,
    output_size: Pair = 1,
    *,
    random: bool = False,
    overlapping: bool = True,
    seed: int | None = None,
    offset: int = 0,
) -> tuple[Array, Callable[[ArrayLike], Array]]:
    """The largest value of windows whose boundaries are drawn at random for each image (Graham 2014, arXiv:1412.6071).

    Parameters
    ----------
    x : array, (N, C, H, W) or (C, H, W)
    kernel_size : int or pair, optional
        The size of the windows; None: they reach from one boundary to the next.
    output_size : int or pair
        (P, Q).
    random : bool
        Whether the steps between boundaries are in random order, rather than floor((i + u) a) - floor(u a) with one
        random number u in [0, 1) for each image and axis.
    overlapping : bool
        Whether windows share a row or column with their neighbours; without `kernel_size` only.
    seed, offset : int, optional
        Boundaries are drawn from number `offset` of Philox stream `seed` on, first those of rows.  By default they are
        spaced evenly and rounded.

    Returns
    -------
    y : array, (N, C, P, Q) or (C, P, Q)
    backward : function
        ``dx = backward(dy)``.

    Raises
    ------
    TypeError, ValueError
        If arguments do not fit together; the message says which, what was given and what was expected.
    """
    ops, op = current(), "fractional_max_pool2d"
    (inputs,) = arrays_of(op, x=x)
    batch = Batch(op, inputs)
    window = None if kernel_size is None else pair(kernel_size, f"{op}: kernel_size")
    size, start = pair(output_size, f"{op}: output_size"), integer(offset, f"{op}: offset", 0, 62)
    stream = None if seed is None else Stream(integer(seed, f"{op}: seed", 0, 64), start)
    flags = flag(overlapping, f"{op}: overlapping"), flag(random, f"{op}: random")
    result, saved = ops.fractional_max_pool2d(batch.images, size, window, *flags, stream)
    y = batch.take(result)

    def backward(dy: ArrayLike) -> Array:
        return batch.take(ops.fractional_max_pool2d_backward(batch.put(gradient_of(op, dy, y)), saved))

    return y, backward
