"""Images of another size: padding, interpolation, adaptive pooling, shuffled pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastnet.arguments import integer, optional_flag, pair, real, torch_sides
from fastnet.backends import current
from fastnet.functional.arguments import arrays_of, follows, gradient_of, images
from fastnet.ops.resample import check_mode, resized
from fastnet.types import Array, ArrayLike, Pair

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "interpolate",
    "pad",
    "pixel_shuffle",
    "pixel_unshuffle",
]

_Result = tuple[Array, Callable[[ArrayLike], Array]]


def _call(op: str, x: Array, **attributes: Any) -> _Result:
    ops = current()
    y, saved = getattr(ops, op)(x, **attributes)

    def backward(dy: ArrayLike) -> Array:
        dx: Array = getattr(ops, f"{op}_backward")(gradient_of(op, dy, y), saved)
        return dx

    return y, backward


@follows
def pad(x: ArrayLike, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> _Result:
    """Images with a frame, like torch's ``F.pad``.

    Parameters
    ----------
    x : array, (N, C, H, W)
    pad : (left, right) or (left, right, top, bottom)
        A negative number removes pixels.
    mode : "constant", "reflect", "replicate" or "circular"
        The frame: `value`; the image mirrored at its edge pixels; copies of the edge pixels; the image repeated.
    value : float, default 0
        Only with "constant".

    Returns
    -------
    y : array, (N, C, H + top + bottom, W + left + right)
    backward : function
        ``dx = backward(dy)``.

    Raises
    ------
    TypeError, ValueError
        If arguments do not fit together; the message says which, what was given and what was expected.
    """
    (given,) = arrays_of("pad", x=x)
    two = isinstance(pad, (tuple, list)) and len(pad) == 2
    sides = torch_sides((*pad, 0, 0) if two else pad, "pad: pad")
    return _call(
        "pad", images("pad", given), sides=sides, mode=mode, value=0.0 if value is None else real(value, "pad: value")
    )


@follows
def interpolate(
    x: ArrayLike,
    size: Pair | None = None,
    scale_factor: float | tuple[float, float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> _Result:
    """Images of another size, (N, C, H, W) to (N, C, P, Q); arguments as in `fastnet.Upsample`.

    Returns
    -------
    y : array, (N, C, P, Q)
    backward : function
        ``dx = backward(dy)``.

    Raises
    ------
    TypeError, ValueError
        If arguments do not fit together; the message says which, what was given and what was expected.
    """
    check_mode("interpolate", mode, align_corners)
    (given,) = arrays_of("interpolate", x=x)
    shape = images("interpolate", given).shape
    recompute = bool(optional_flag(recompute_scale_factor, "interpolate: recompute_scale_factor"))
    outputs, scales = resized("interpolate", shape, size, scale_factor, recompute)
    return _call("interpolate", given, size=outputs, mode=mode, align_corners=bool(align_corners), scales=scales)


@follows
def adaptive_avg_pool2d(x: ArrayLike, output_size: Pair) -> _Result:
    """The means of P x Q windows that cover the image.

    Parameters
    ----------
    x : array, (N, C, H, W)
    output_size : int or pair
        (P, Q).  Window p has rows floor(p H / P) to ceil((p + 1) H / P) - 1.

    Returns
    -------
    y : array, (N, C, P, Q)
    backward : function
        ``dx = backward(dy)``.

    Raises
    ------
    TypeError, ValueError
        If arguments do not fit together; the message says which, what was given and what was expected.
    """
    (given,) = arrays_of("adaptive_avg_pool2d", x=x)
    return _call("adaptive_avg_pool2d", given, size=pair(output_size, "adaptive_avg_pool2d: output_size"))


@follows
def adaptive_max_pool2d(x: ArrayLike, output_size: Pair) -> _Result:
    """The largest values of P x Q windows that cover the image; arguments, results, errors as adaptive_avg_pool2d's.

    NaN wins, and the first of equals, row by row, gets the gradient.
    """
    (given,) = arrays_of("adaptive_max_pool2d", x=x)
    return _call("adaptive_max_pool2d", given, size=pair(output_size, "adaptive_max_pool2d: output_size"))


@follows
def pixel_shuffle(x: ArrayLike, upscale_factor: int) -> _Result:
    """(N, C * r * r, H, W) to (N, C, H * r, W * r), r being `upscale_factor` (Shi et al. 2016, arXiv:1609.05158).

    ``y, backward``, and ``dx = backward(dy)``; TypeError or ValueError if arguments do not fit together.
    """
    (given,) = arrays_of("pixel_shuffle", x=x)
    return _call("pixel_shuffle", given, factor=integer(upscale_factor, "pixel_shuffle: upscale_factor"))


@follows
def pixel_unshuffle(x: ArrayLike, downscale_factor: int) -> _Result:
    """The inverse of :func:`pixel_shuffle`: (N, C, H * r, W * r) to (N, C * r * r, H, W)."""
    (given,) = arrays_of("pixel_unshuffle", x=x)
    return _call("pixel_unshuffle", given, factor=integer(downscale_factor, "pixel_unshuffle: downscale_factor"))
