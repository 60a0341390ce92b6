"""Padding, and the pixels under each position of a kernel or window; shared by convolution and pooling."""

from __future__ import annotations

from typing import Any

from fastnet.geometry import Conv2dGeometry, Pool2dGeometry
from fastnet.types import Array


def images(x: Array) -> Array:
    """x, or signals (N, C, L) and their kernels as images of one row."""
    return x[:, :, None] if x.ndim == 3 else x


def pad(xp: Any, x: Array, sides: tuple[int, int, int, int], value: float = 0.0) -> Any:
    """x (N, C, H, W) with a frame of `value`: sides are (top, bottom, left, right)."""
    top, bottom, left, right = sides
    return xp.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value)


def unpad(padded: Array, sides: tuple[int, int, int, int]) -> Array:
    """The image inside :func:`pad`'s frame, a view."""
    top, bottom, left, right = sides
    return padded[:, :, top : padded.shape[2] - bottom, left : padded.shape[3] - right]


def tap(padded: Array, g: Conv2dGeometry | Pool2dGeometry, r: int, s: int) -> Array:
    """The view (N, C, P, Q) of the pixels under kernel position (r, s)."""
    top, left = r * g.dilation[0], s * g.dilation[1]
    rows = slice(top, top + (g.P - 1) * g.stride[0] + 1, g.stride[0])
    return padded[:, :, rows, left : left + (g.Q - 1) * g.stride[1] + 1 : g.stride[1]]


def pool_sides(g: Pool2dGeometry) -> tuple[int, int, int, int]:
    """The padding of a pooling, extended to cover ceil_mode's last windows."""
    top, _, left, _ = g.padding
    bottom = max((g.P - 1) * g.stride[0] + (g.R - 1) * g.dilation[0] + 1 - top - g.H, 0)
    right = max((g.Q - 1) * g.stride[1] + (g.S - 1) * g.dilation[1] + 1 - left - g.W, 0)
    return top, bottom, left, right
