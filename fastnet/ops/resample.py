"""Images of another size, linearly: padding, interpolation, adaptive average pooling; and rearranged pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastnet.ops import taps
from fastnet.ops.record import REQUIRED, Example, Input, Op, register
from fastnet.ops.taps import PADDINGS, Taps
from fastnet.types import Array, Shape, Shaped

__all__ = ["MODES", "TAPS"]

MODES = ("nearest", "bilinear")
_X = (9, 33, 17, 16)

# The maps along rows and columns, from an op's attributes and the shape of x; filled by _register.
TAPS: dict[str, Callable[..., tuple[Taps, Taps]]] = {}


def _images(op: str, x: Shaped) -> None:
    if x.ndim != 4 or min(x.shape[2:]) < 1:
        raise ValueError(f"{op}: x must have shape (N, C, H, W) with H, W >= 1, got {tuple(x.shape)}")


def _register(
    name: str,
    both: Callable[..., tuple[Taps, Taps]],
    check: Callable[..., tuple[int, int]],
    attributes: dict[str, Any],
    examples: tuple[Example, ...],
    onnx: str,
    doc: str,
) -> None:
    """Register an op that is a linear map along rows, then along columns.

    Parameters
    ----------
    both : function
        ``both(x_shape, **attributes)``: the two maps.
    check : function
        ``check(x_shape, **attributes)`` checks the attributes and returns (P, Q).
    """

    def shape(x: Shaped, **given: Any) -> Shape:
        _images(name, x)
        return (*x.shape[:2], *check(x.shape, **given))

    def forward(xp: Any, x: Array, **given: Any) -> tuple[Array, Any]:
        rows, columns = both(x.shape, **given)
        y = columns(xp, rows(xp, x, 2), 3)
        outside = given.get("value", 0.0)
        if outside:
            y[:, :, rows.starts[1:] == rows.starts[:-1]] = outside
            y[:, :, :, columns.starts[1:] == columns.starts[:-1]] = outside
        return y, (rows, columns)

    def backward(xp: Any, dy: Array, saved: Any, needs: Sequence[bool] = (True,)) -> Any:
        rows, columns = saved
        return rows.transposed(xp, columns.transposed(xp, dy, 3), 2)

    TAPS[name] = both
    register(
        Op(
            name,
            (Input("x"),),
            shape=shape,
            forward=forward,
            backward=backward,
            attributes=attributes,
            flops=(2, 2),
            onnx=onnx,
            examples=examples,
            doc=doc,
        )
    )


# ---------------------------------------------------------------- padding


def _check_pad(
    shape: Shape, sides: tuple[int, int, int, int], mode: str = "constant", value: float = 0.0
) -> tuple[int, int]:
    if mode not in PADDINGS:
        raise ValueError(f"pad: mode must be one of {', '.join(map(repr, PADDINGS))}, got {mode!r}")
    if value and mode != "constant":
        raise ValueError(f"pad: value is for mode='constant', got value={value!r} with mode={mode!r}")
    padded = []
    for name, size, before, after in (("H", shape[2], *sides[:2]), ("W", shape[3], *sides[2:])):
        most = {"reflect": size - 1, "circular": size}.get(mode)
        if most is not None and max(before, after) > most:
            raise ValueError(f"pad: mode={mode!r} can add at most {most} to {name}={size}, got {before} and {after}")
        if size + before + after < 1:
            raise ValueError(f"pad: {before} and {after} leave nothing of {name}={size}")
        padded.append(size + before + after)
    return padded[0], padded[1]


def _pad_taps(
    shape: Shape, sides: tuple[int, int, int, int], mode: str = "constant", value: float = 0.0
) -> tuple[Taps, Taps]:
    top, bottom, left, right = sides
    return taps.padded(shape[2], top, bottom, mode), taps.padded(shape[3], left, right, mode)


_register(
    "pad",
    _pad_taps,
    _check_pad,
    {"sides": REQUIRED, "mode": "constant", "value": 0.0},
    (
        Example((_X,), {"sides": (1, 2, 3, 0), "value": 0.5}),
        Example((_X,), {"sides": (0, 3, -1, 2), "mode": "reflect"}),
        Example((_X,), {"sides": (2, 0, 1, 20), "mode": "replicate"}),
        Example(((2, 3, 5, 4),), {"sides": (5, 1, 2, 3), "mode": "circular"}),
    ),
    "Pad",
    "x with a frame; `sides` are (top, bottom, left, right), negative where pixels are removed.  Outside x is `value` "
    '("constant"), x mirrored at its edge pixels ("reflect"), the edge pixels ("replicate"), or x again ("circular").',
)
