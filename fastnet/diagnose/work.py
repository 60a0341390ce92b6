"""What a call of an op has to do: operations, and bytes that must be read or written at least once."""

from __future__ import annotations

from typing import NamedTuple

from fastnet.geometry import Conv2dGeometry, Pool2dGeometry

__all__ = ["Work", "work_of", "winograd_flops"]

_SKIP_PADDING = {"small", "depthwise"}
_READS = {"input": ("dy", "w"), "weight": ("dy", "x"), "bias": ("dy",)}


class Work(NamedTuple):
    """Floating-point operations (a multiply-add is two) and bytes.

    Attributes
    ----------
    flops : float
        Of the definition: for a convolution those of the direct form, taps in the padding included.
    done : float
        What the algorithm that ran executes; less, where that is Winograd.
    bytes : int
        Each array that goes in or comes out once.
    """

    flops: float
    done: float
    bytes: int


# Operations for each number of the largest array, counted in the formulas of backends/pointwise.py.
_EACH = {
    "batch_norm": 8,  # mean 1, variance 3, normalising 4
    "batch_norm_relu": 9,
    "batch_norm_backward": 9,  # dbeta 1, dgamma 3, dx 5
    "batch_norm_relu_backward": 10,
    "leaky_relu": 2,
    "leaky_relu_backward": 2,
    "sigmoid": 20,
    "sigmoid_backward": 3,
    "tanh": 24,
    "tanh_backward": 3,
    **dict.fromkeys(("flatten", "unflatten", "concat", "split", "subsample", "subsample_backward", "asarray"), 0),
}


def work_of(op: str, arguments: tuple, more: dict, result, part: str = "", forms=()) -> Work:
    """The work of ``op(*arguments, **more) -> result``.

    Parameters
    ----------
    op : str
        The name of a method of Ops.
    part : "input", "weight", "bias" or ""
        The one gradient that was asked of a product's backward; "" otherwise.
    forms : sequence of str
        How convolutions ran: ``_native.conv_forms()``.
    """
    read, made = _arrays([arguments, more]), _arrays(result)
    if part in _READS:
        dy, (x, w, *_) = arguments[:2]
        index = arguments[1][3:4] if op == "conv2d_max_pool_backward" else ()
        read = _arrays([{"dy": dy, "x": x, "w": w}[name] for name in _READS[part]] + [index, more])
    memory = {_place(array) for array in read}
    new = {_place(array) for array in made} - memory
    moved = sum(size for _, size in memory | new) if new or not made else 0  # a view of the input moves nothing
    geometry, window = (_find(arguments, kind) for kind in (Conv2dGeometry, Pool2dGeometry))
    compared = 0  # or added up, by pooling
    if window is not None:
        compared = window.N * window.C * window.P * window.Q * (1 if op.endswith("backward") else window.R * window.S)
    if op.startswith("conv2d"):
        flops = 2.0 * geometry.macs if part != "bias" else geometry.N * geometry.K * geometry.P * geometry.Q
        done = flops
        if part != "bias" and "patches" in forms:  # one product in a window, all of which are read
            done = flops * (window.P * window.Q) / (geometry.P * geometry.Q)
        elif part != "bias" and "winograd" in forms:
            done = winograd_flops(geometry, part)
        elif part != "bias" and forms and set(forms) <= _SKIP_PADDING:
            done = flops * _taps_inside(geometry)
        return Work(flops + compared, done + compared, moved)
    if op.startswith("linear"):
        x, w = arguments[:2] if op == "linear" else arguments[1][:2]
        flops = 2.0 * x.shape[0] * w.size if part != "bias" else x.shape[0] * w.shape[0]
    elif window is not None:
        flops = compared
    else:
        flops = _EACH.get(op, 1) * max((array.size for array in read + made), default=0)
    return Work(flops, flops, moved)


_OUTPUT, _FILTER = {2: 10, 3: 13, 4: 16, 5: 21}, {2: 13, 3: 17, 4: 21, 5: 25}  # by outputs, by taps


def winograd_flops(g: Conv2dGeometry, part: str = "") -> float:
    """What F(4x4, 3x3) or F(2x2, 5x5) executes: 36 products for each tile and pair of channels, and the transforms.

    One-dimensional transforms (csrc/kernels/winograd.h) take 24 operations for six inputs and those of the tables for
    outputs and filters; in two dimensions there are as many as a tile has rows, and six more.
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


# ---------------------------------------------------------------- arrays in what goes in and comes out


def _walk(value):
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from _walk(item)
    elif isinstance(value, dict):
        yield from _walk(list(value.values()))
    else:
        yield value


def _arrays(value) -> list:
    return [item for item in _walk(value) if hasattr(item, "__array_interface__") and getattr(item, "ndim", 0)]


def _place(array) -> tuple[int, int]:
    """Arrays that share memory count once."""
    return array.__array_interface__["data"][0], array.nbytes


def _find(value, kind):
    return next((item for item in _walk(value) if isinstance(item, kind)), None)
