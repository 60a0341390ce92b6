"""Penalties on weights, bounds on their norms, and the sums that both and the clipping of gradients need."""

from __future__ import annotations

import math
from typing import Any

from fastnet.ops.checks import check_shape
from fastnet.ops.record import REQUIRED, WEIGHT, Example, Input, Op, register
from fastnet.types import Array, Shape, Shaped

_N = (70001,)


def _penalty_shape(w: Shaped, g: Shaped, l1: float, l2: float) -> Shape:
    check_shape("add_penalty", "gradient", g, w.shape)
    return tuple(w.shape)


def _add_penalty(xp: Any, w: Array, g: Array, l1: float, l2: float) -> None:
    g += w.dtype.type(l2) * w + w.dtype.type(l1) * xp.where(w > 0, 1, xp.where(w < 0, -1, 0)).astype(w.dtype)


register(
    Op(
        "add_penalty",
        (Input("w", WEIGHT), Input("g", WEIGHT)),
        shape=_penalty_shape,
        forward=_add_penalty,
        attributes={"l1": REQUIRED, "l2": REQUIRED},
        in_place=("g",),
        flops=(4, 0),
        examples=(Example((_N, _N), {"l1": 0.3, "l2": 0.7}),),
        doc="g += l2*w + l1*sign(w), the gradient of l2/2*sum(w*w) + l1*sum(|w|); sign(0) is 0.",
    )
)


def _power_sums(xp: Any, x: Array) -> tuple[float, float]:
    wide = x.astype(xp.float64)
    return float(abs(wide).sum()), float((wide * wide).sum())


register(
    Op(
        "power_sums",
        (Input("x", WEIGHT),),
        shape=lambda x: tuple(x.shape),
        forward=_power_sums,
        flops=(3, 0),
        examples=(Example((_N,)), Example(((9, 33, 5, 3),))),
        doc="(sum of |x|, sum of x*x), Python floats, accumulated in float64.",
    )
)


def _limit_shape(w: Shaped, rows: int, after: int, limit: float) -> Shape:
    if rows < 1 or after < 1 or math.prod(w.shape) % (rows * after):
        raise ValueError(f"limit_norms: {rows} rows of {after} elements do not divide an array {tuple(w.shape)}")
    return tuple(w.shape)


def _limit_norms(xp: Any, w: Array, rows: int, after: int, limit: float) -> None:
    parts = w.reshape(-1, rows, after)
    wide = parts.astype(xp.float64)
    largest = abs(wide).max(axis=(0, 2), initial=0)
    unit = xp.where(largest > 0, largest, 1)  # squares of the largest doubles overflow
    norms = xp.sqrt(xp.square(wide / unit[None, :, None]).sum(axis=(0, 2)))
    factors = xp.where(norms > limit / unit, limit / unit / xp.where(norms > 0, norms, 1), 1)
    w *= xp.broadcast_to(factors[None, :, None].astype(w.dtype), parts.shape).reshape(w.shape)


register(
    Op(
        "limit_norms",
        (Input("w", WEIGHT),),
        shape=_limit_shape,
        forward=_limit_norms,
        attributes={"rows": REQUIRED, "after": REQUIRED, "limit": REQUIRED},
        in_place=("w",),
        flops=(3, 0),
        examples=(
            Example(((65, 600),), {"rows": 65, "after": 600, "limit": 14.0}),
            Example(((7, 33, 5, 3),), {"rows": 33, "after": 15, "limit": 6.0}),
        ),
        doc="Scale each row w[b][row][i], of all b and of i < after, to the norm `limit` if its norm is larger "
        "(Srebro et al. 2005).",
    )
)
