"""3x3 convolutions at stride 1 by Winograd's minimal filtering, F(4x4, 3x3)."""

from __future__ import annotations

from fastnet.backends import algorithm
from fastnet.backends.device.arrays import c_empty
from fastnet.backends.device.compiler import launch
from fastnet.backends.device.dense import gemm
from fastnet.backends.device.ending import NOTHING, Ending
from fastnet.backends.device.rows import blocks_of_rows
from fastnet.geometry import Conv2dGeometry
from fastnet.types import Array

__all__ = ["fits", "winograd"]

# Below, the transforms take longer than they save: from the traffic that they add, not yet from measurements.
_LEAST_CHANNELS, _LEAST_PIXELS = 64, 3
_POINTS, _SIDE = 36, 4
_BYTES = 2**26  # of transformed inputs and products at a time: they stay in the caches of large GPUs


def fits(g: Conv2dGeometry) -> bool:
    """Whether the forward pass and the input gradient are computed so."""
    if (g.R, g.S) != (3, 3) or (g.stride, g.dilation, g.groups) != ((1, 1), (1, 1), 1):
        return False
    if algorithm.chosen != "auto":
        return algorithm.chosen == "winograd"
    return min(g.C, g.K) >= _LEAST_CHANNELS and min(g.H, g.W, g.P, g.Q) >= _LEAST_PIXELS


def winograd(g: Conv2dGeometry, x: Array, w: Array, gradient: bool, end: Ending, y: Array) -> None:
    """y of x, or with `gradient` dx (`y`) of dy (`x`), which is the same with flipped weights."""
    top, _, left, _ = g.padding
    inputs, outputs, read, written = g.C, g.K, (g.H, g.W), (g.P, g.Q)
    if gradient:
        inputs, outputs, read, written = outputs, inputs, written, read
        top, left = 2 - top, 2 - left
    filters = c_empty((_POINTS, inputs, outputs), w.dtype)
    given = w, filters, inputs, outputs, int(gradient)
    launch("winograd", "winograd_filters", w.dtype, *blocks_of_rows(inputs, outputs), *given)
    down, across = -(-written[0] // _SIDE), -(-written[1] // _SIDE)
    tiles = g.N * down * across
    most = max(1, _BYTES // (_POINTS * (inputs + outputs) * x.dtype.itemsize))
    for first in range(0, tiles, most):
        count = min(most, tiles - first)
        these = first, count, down, across
        v, m = (c_empty((_POINTS, count, channels), x.dtype) for channels in (inputs, outputs))
        blocks = blocks_of_rows(count, inputs)
        launch("winograd", "winograd_inputs", x.dtype, *blocks, x, v, inputs, *read, top, left, *these)
        gemm(v, False, filters, False, NOTHING, m)
        blocks = blocks_of_rows(count, outputs)
        launch("winograd", "winograd_outputs", x.dtype, *blocks, m, outputs, *written, *these, *end.arguments(y))
