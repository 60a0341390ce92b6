"""Images of another size, linearly: padding, interpolation, adaptive average pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from fastnet.arguments import frozen, optional_flag, pair, real
from fastnet.ops import taps
from fastnet.ops.checks import check_images, check_output
from fastnet.ops.record import REQUIRED, Example, Input, Op, register
from fastnet.ops.taps import PADDINGS, Taps
from fastnet.ops.windows import images
from fastnet.types import Array, Shape, Shaped

__all__ = ["MODES", "TAPS", "check_mode", "kernels", "padded_size", "resized"]

MODES = ("nearest", "bilinear")
_X = (9, 33, 17, 16)

# The maps along rows and columns, from an op's attributes and the shape of x; filled by _register.
TAPS: dict[str, Callable[..., tuple[Taps, Taps]]] = {}


def kernels(resample: Callable[[Array, Taps, Taps, float], Array]) -> dict[str, Callable[..., Any]]:
    """The kernels of these ops and of their gradients, from a backend's ``resample(x, rows, columns, outside)``."""

    def forward(name: str, x: Array, /, **attributes: Any) -> tuple[Array, Any]:
        rows, columns = TAPS[name](x.shape, **attributes)
        return resample(x, rows, columns, attributes.get("value", 0.0)), (rows, columns)

    def backward(dy: Array, saved: tuple[Taps, Taps], needs: Sequence[bool] = (True,)) -> Array:
        rows, columns = saved
        return resample(dy, rows.transposed, columns.transposed, 0.0)

    return {name: partial(forward, name) for name in TAPS} | {f"{name}_backward": backward for name in TAPS}


def _of_images(shape: Shape) -> Shape:
    return shape if len(shape) == 4 else (*shape[:2], 1, *shape[2:])


def _register(
    name: str,
    both: Callable[..., tuple[Taps, Taps]],
    check: Callable[..., tuple[int, int]],
    attributes: dict[str, Any],
    examples: tuple[Example, ...],
    onnx: str,
    doc: str,
    signals: bool = False,
) -> None:
    """Register an op that is a linear map along rows, then along columns.

    Parameters
    ----------
    both : function
        ``both(x_shape, **attributes)``: the two maps.
    check : function
        ``check(x_shape, **attributes)`` checks the attributes and returns (P, Q).
    signals : bool
        Whether the op takes signals, (N, C, L), as images of one row, which stay that.
    """

    def shape(x: Shaped, **given: Any) -> Shape:
        if not signals or x.ndim != 3:
            check_images(name, x)
            return (*x.shape[:2], *check(x.shape, **given))
        P, Q = check(_of_images(x.shape), **given)
        if P != 1:
            raise ValueError(f"{name}: signals (N, C, L), as x of shape {tuple(x.shape)}, have one row, not {P}")
        return (*x.shape[:2], Q)

    def maps(shape: Shape, **given: Any) -> tuple[Taps, Taps]:
        return both(_of_images(shape), **given)

    def forward(xp: Any, x: Array, **given: Any) -> tuple[Array, Any]:
        rows, columns = maps(x.shape, **given)
        y = columns(xp, rows(xp, images(x), 2), 3)
        outside = given.get("value", 0.0)
        if outside:
            y[:, :, xp.asarray(rows.starts[1:] == rows.starts[:-1])] = outside
            y[:, :, :, xp.asarray(columns.starts[1:] == columns.starts[:-1])] = outside
        return y if x.ndim == 4 else y[:, :, 0], (rows, columns)

    def backward(xp: Any, dy: Array, saved: Any, needs: Sequence[bool] = (True,)) -> Any:
        rows, columns = saved
        dx = rows.transposed(xp, columns.transposed(xp, images(dy), 3), 2)
        return dx if dy.ndim == 4 else dx[:, :, 0]

    TAPS[name] = maps
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


def padded_size(
    shape: Shape, sides: tuple[int, int, int, int], mode: str = "constant", value: float = 0.0
) -> tuple[int, int]:
    """(P, Q), or a ValueError that says what the padding asks too much of."""
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
    padded_size,
    {"sides": REQUIRED, "mode": "constant", "value": 0.0},
    (
        Example((_X,), {"sides": (1, 2, 3, 0), "value": 0.5}),
        Example((_X,), {"sides": (0, 3, -1, 2), "mode": "reflect"}),
        Example((_X,), {"sides": (2, 0, 1, 20), "mode": "replicate"}),
        Example(((2, 3, 5, 4),), {"sides": (5, 1, 2, 3), "mode": "circular"}),
        Example(((3, 19, 11),), {"sides": (0, 0, 4, 3), "mode": "reflect"}),
    ),
    "Pad",
    "x with a frame; `sides` are (top, bottom, left, right), negative where pixels are removed.  Outside x is `value` "
    '("constant"), x mirrored at its edge pixels ("reflect"), the edge pixels ("replicate"), or x again ("circular").  '
    "Signals, (N, C, L), have sides (0, 0, left, right).",
    signals=True,
)


# ---------------------------------------------------------------- interpolation


def resized(
    op: str, shape: Shape, size: Any, scale_factor: Any, recompute: bool = False
) -> tuple[tuple[int, int], tuple[float, float] | None]:
    """The attributes (size, scales) of interpolate for x of `shape`, from torch's size or scale_factor.

    Scales are None where the output's size says the same, or is to (`recompute`).
    """
    if (size is None) == (scale_factor is None):
        raise ValueError(f"{op}: give either size or scale_factor, got size={size!r}, scale_factor={scale_factor!r}")
    if size is not None:
        return check_output(op, shape, pair(size, f"{op}: size")), None
    given = frozen(scale_factor)
    factors = [real(each, f"{op}: scale_factor") for each in (given if isinstance(given, tuple) else (given, given))]
    if len(factors) != 2 or min(factors) <= 0:
        raise ValueError(f"{op}: scale_factor must be a positive number or a pair of them, got {scale_factor!r}")
    down, across = factors
    outputs = check_output(op, shape, (int(shape[2] * down), int(shape[3] * across)))
    exact = outputs == (shape[2] * down, shape[3] * across)
    return outputs, None if recompute or exact else (down, across)


def check_mode(op: str, mode: str, align_corners: bool | None) -> None:
    """Refuse an unknown mode, and `align_corners` that is not a flag (TypeError) or has no meaning (ValueError)."""
    optional_flag(align_corners, f"{op}: align_corners")
    if mode not in MODES:
        raise ValueError(f"{op}: mode must be one of {', '.join(map(repr, MODES))}, got {mode!r}")
    if align_corners is not None and mode == "nearest":
        raise ValueError(f"{op}: align_corners is for mode='bilinear'; leave it out with mode='nearest'")


def _check_interpolate(
    shape: Shape,
    size: tuple[int, int],
    mode: str = "nearest",
    align_corners: bool = False,
    scales: tuple[float, float] | None = None,
) -> tuple[int, int]:
    check_mode("interpolate", mode, align_corners or None)
    return check_output("interpolate", shape, size)


def _interpolate_taps(
    shape: Shape,
    size: tuple[int, int],
    mode: str = "nearest",
    align_corners: bool = False,
    scales: tuple[float, float] | None = None,
) -> tuple[Taps, Taps]:
    down, across = scales or (None, None)
    if mode == "nearest":
        return taps.nearest(shape[2], size[0], down), taps.nearest(shape[3], size[1], across)
    return taps.linear(shape[2], size[0], align_corners, down), taps.linear(shape[3], size[1], align_corners, across)


_register(
    "interpolate",
    _interpolate_taps,
    _check_interpolate,
    {"size": REQUIRED, "mode": "nearest", "align_corners": False, "scales": None},
    (
        Example((_X,), {"size": (34, 32)}),
        Example((_X,), {"size": (34, 32), "mode": "bilinear"}),
        Example((_X,), {"size": (5, 40), "mode": "bilinear", "align_corners": True}),
        Example(((3, 5, 7, 6),), {"size": (9, 8), "mode": "bilinear", "scales": (1.3, 1.4)}),
        Example(((3, 70, 7, 6),), {"size": (9, 4), "scales": (1.3, 0.7)}),
    ),
    "Resize",
    "x at the size (P, Q): the nearest pixel, or between the four nearest.  Output p lies at (p + 1/2) H / P - 1/2, "
    "with `align_corners` at p (H - 1) / (P - 1); `scales`, if given, are used for P / H and Q / W.",
)


# ---------------------------------------------------------------- adaptive average pooling


_register(
    "adaptive_avg_pool2d",
    lambda shape, size: (taps.area(shape[2], size[0]), taps.area(shape[3], size[1])),
    lambda shape, size: check_output("adaptive_avg_pool2d", shape, size),
    {"size": REQUIRED},
    (Example((_X,), {"size": (7, 7)}), Example(((3, 5, 3, 4),), {"size": (5, 2)})),
    "",
    "Means of P x Q windows that cover the image: window p has rows floor(p H / P) to ceil((p + 1) H / P) - 1.",
)
