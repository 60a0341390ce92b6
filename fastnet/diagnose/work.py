"""The work of a call of an op: operations, and bytes that must be read or written at least once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fastnet.geometry import Conv2dGeometry, Pool2dGeometry
from fastnet.ops import REGISTRY, Op
from fastnet.types import Array

__all__ = ["Work", "arrays_in", "work_of", "winograd_flops"]

_SKIP_PADDING = {"small", "depthwise"}


class Work(NamedTuple):
    """Floating-point operations (a multiply-add is two) and bytes.

    Attributes
    ----------
    flops : float
        By the definition: for a convolution those of the direct form, including taps in the padding.
    done : float
        Those of the algorithm that ran; fewer for Winograd.
    bytes : int
        The size of all inputs and outputs, each counted once.
    """

    flops: float
    done: float
    bytes: int


def work_of(
    op: Op,
    name: str,
    part: str,
    read: list[Array],
    made: list[Array],
    attributes: Mapping[str, Any],
    forms: Sequence[str] = (),
) -> Work:
    """The work of one call.

    Parameters
    ----------
    op : Op
    name : str
        The op's, or its gradient's ("conv2d_backward").
    part : "input", "weight", "bias", "ReLU" or ""
        The gradient of a product that was computed; "" if not just one.
    read, made : list of array
        Inputs and outputs.
    attributes : mapping
        The op's.
    forms : sequence of str
        The algorithms of convolutions: ``_native.conv_forms()``.
    """
    memory = {_place(array) for array in read}
    new = {_place(array) for array in made} - memory
    moved = sum(size for _, size in memory | new) if new or not made else 0  # a view of the input moves nothing
    backward = name.endswith("_backward")
    geometry = attributes.get("geometry")
    window = geometry if isinstance(geometry, Pool2dGeometry) else attributes.get("pool_geometry")
    compared = 0  # or accumulated, by pooling
    if window is not None:
        compared = window.N * window.C * window.P * window.Q * (1 if backward else window.R * window.S)
    if isinstance(geometry, Conv2dGeometry) and part != "ReLU" and op.name.startswith("conv"):
        if op.name == "conv_transpose2d":  # it runs the input gradient forward, and the convolution backward
            part = {"": "input", "input": ""}.get(part, part)
        bias = math.prod(geometry.x_shape if op.name == "conv_transpose2d" else geometry.y_shape)
        flops = 2.0 * geometry.macs if part != "bias" else float(bias)
        done = flops
        if window is not None and part != "bias" and "patches" in forms:  # one product per window
            done = flops * (window.P * window.Q) / (geometry.P * geometry.Q)
        elif part != "bias" and "winograd" in forms:
            done = winograd_flops(geometry, part)
        elif part != "bias" and forms and set(forms) <= _SKIP_PADDING:
            done = flops * _taps_inside(geometry)
        return Work(flops + compared, done + compared, moved)
    if op.name == "linear" and part != "ReLU":
        N, inputs, outputs = _product(part, read)
        flops = 2.0 * N * inputs * outputs if part != "bias" else N * outputs
    elif window is not None:
        flops = compared
    else:
        each = REGISTRY[name.removesuffix("_backward")].flops[backward] if part == "ReLU" else op.flops[backward]
        flops = each * max((array.size for array in read + made), default=0)
    return Work(flops, flops, moved)


def _product(part: str, read: list[Array]) -> tuple[int, int, int]:
    """(N, inputs, outputs) of linear, or of one of its gradients."""
    if part == "":
        return *read[0].shape, read[1].shape[0]
    dy = read[0]
    return len(dy), 0 if part == "bias" else read[1].shape[1], dy.shape[1]


_OUTPUT, _FILTER = {2: 10, 3: 13, 4: 16, 5: 21}, {2: 13, 3: 17, 4: 21, 5: 25}  # by outputs, by taps


def winograd_flops(g: Conv2dGeometry, part: str = "") -> float:
    """The operations of F(4x4, 3x3) or F(2x2, 5x5): 36 products per tile and channel pair, and the transforms.

    A one-dimensional transform (csrc/conv/winograd_transform.h) takes 24 operations for six inputs; the tables give
    those for outputs and filters. A two-dimensional transform consists of six of these and one per row of a tile.
    """
    C, K = (g.K, g.C) if part == "input" else (g.C, g.K)
    height, width = (g.H, g.W) if part == "input" else (g.P, g.Q)
    taps, side = g.R, 7 - g.R
    tiles = g.N * -(-height // side) * -(-width // side)
    work = 2.0 * 36 * tiles * C * K + tiles * C * 24 * 12
    if part == "weight":
        return work + tiles * K * _FILTER[side] * (side + 6) + C * K * _OUTPUT[taps] * (taps + 6)
    return work + tiles * K * _OUTPUT[side] * (side + 6) + C * K * _FILTER[taps] * (taps + 6)


def _taps_inside(g: Conv2dGeometry) -> float:
    """The share of all taps of all windows that lie inside the image."""
    axes = (
        (g.H, g.P, g.R, g.stride[0], g.padding[0], g.dilation[0]),
        (g.W, g.Q, g.S, g.stride[1], g.padding[2], g.dilation[1]),
    )
    share = 1.0
    for size, outputs, taps, stride, before, dilation in axes:
        inside = sum(0 <= p * stride - before + r * dilation < size for p in range(outputs) for r in range(taps))
        share *= inside / (outputs * taps)
    return share


# ---------------------------------------------------------------- arrays in arguments and results


def arrays_in(value: Any) -> list[Array]:
    """All arrays in nested tuples, lists and dictionaries."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return [array for item in value for array in arrays_in(item)]
    return [value] if hasattr(value, "__array_interface__") and getattr(value, "ndim", 0) > 0 else []


def _place(array: Array) -> tuple[int, int]:
    """(address, bytes); arrays of the same memory are equal."""
    return array.__array_interface__["data"][0], array.nbytes
