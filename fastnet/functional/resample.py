"""Images of another size: padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastnet.backends import current
from fastnet.functional.arguments import arrays_of, gradient_of, images
from fastnet.arguments import torch_sides
from fastnet.types import Array, ArrayLike

__all__ = ["pad"]

_Result = tuple[Array, Callable[[ArrayLike], Array]]


def _call(op: str, x: Array, **attributes: Any) -> _Result:
    ops = current()
    y, saved = getattr(ops, op)(x, **attributes)

    def backward(dy: ArrayLike) -> Array:
        dx: Array = getattr(ops, f"{op}_backward")(gradient_of(op, dy, y), saved)
        return dx

    return y, backward


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
    return _call("pad", images("pad", given), sides=sides, mode=mode, value=0.0 if value is None else float(value))
