"""Averages of weights: an op that updates an array in place."""

from __future__ import annotations

from typing import Any

from fastnet.ops.checks import check_shape
from fastnet.ops.record import REQUIRED, WEIGHT, Example, Input, Op, register
from fastnet.types import Array, Shape, Shaped

_N = (70001,)


def _shape(average: Shaped, w: Shaped, decay: float) -> Shape:
    check_shape("average_step", "w", w, average.shape)
    return tuple(average.shape)


def _average(xp: Any, average: Array, w: Array, decay: float) -> None:
    average *= decay
    average += (1 - decay) * w


register(
    Op(
        "average_step",
        (Input("average", WEIGHT), Input("w", WEIGHT)),
        shape=_shape,
        forward=_average,
        attributes={"decay": REQUIRED},
        in_place=("average",),
        flops=(3, 0),
        examples=(Example((_N, _N), {"decay": 0.995}),),
        doc="average = decay*average + (1-decay)*w (Polyak & Juditsky 1992).",
    )
)
