"""Distances of rows."""

from __future__ import annotations

from typing import Any

from fastnet.ops.record import WEIGHT, Example, Input, Op, register
from fastnet.types import Array, Shape, Shaped


def _shape(a: Shaped, b: Shaped) -> Shape:
    if not (a.ndim == b.ndim == 2 and a.shape[1] == b.shape[1]):
        shapes = f"{tuple(a.shape)} and {tuple(b.shape)}"
        raise ValueError(f"l1_distances: arrays must be (M, D) and (N, D), got {shapes}")
    return a.shape[0], b.shape[0]


def _l1(xp: Any, a: Array, b: Array) -> Any:
    y = xp.empty((len(a), len(b)), a.dtype)
    for i, row in enumerate(a):  # no array of (M, N, D)
        y[i] = xp.abs(b - row).sum(axis=1)
    return y


register(
    Op(
        "l1_distances",
        (Input("a", WEIGHT), Input("b", WEIGHT)),
        shape=_shape,
        forward=_l1,
        flops=(3, 0),
        examples=(Example(((67, 600), (131, 600))), Example(((3, 5), (2, 5)))),
        doc="City-block distances, (M, N), of the rows of a (M, D) and b (N, D): sum over t of |a[i,t] - b[j,t]|.",
    )
)
