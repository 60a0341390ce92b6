"""Array checks shared by all backends; fastnet/geometry.py checks the shapes of windows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from fastnet.arguments import integer, real
from fastnet.types import Array, DType, Shape, Shaped

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
TIES = ("split", "first", "all")  # which of a window's equal maxima receive its gradient


def one_dtype(op: str, **arrays: Any) -> DType:
    """The common dtype of all arrays (ignoring None); TypeError for mixed dtypes and all but float32 and float64."""
    dtype: DType | None = None
    for array in arrays.values():
        if array is None or array.dtype is dtype:
            continue
        if dtype is None:
            dtype = array.dtype
        elif array.dtype != dtype:
            listing = ", ".join(f"{name} {array.dtype}" for name, array in arrays.items() if array is not None)
            raise TypeError(f"{op}: arrays must have one dtype, got {listing}; cast with .astype(...)")
    if dtype is None or dtype not in FLOATS:
        raise TypeError(f"{op}: arrays must be float32 or float64, got {dtype}; cast with .astype(np.float32)")
    return dtype


def check_shape(op: str, name: str, array: Shaped, shape: Iterable[int]) -> None:
    """Raise ValueError unless ``array.shape == shape``."""
    if tuple(array.shape) != tuple(shape):
        raise ValueError(f"{op}: {name} must have shape {tuple(shape)}, got {tuple(array.shape)}")


def check_labels(op: str, scores: Array, labels: Array, maps: bool = False, ignored: int | None = None) -> None:
    """Raise unless scores have shape (N, C) and labels are N integers in [0, C), or `ignored`.

    With `maps`, scores may also have shape (N, C, L) or (N, C, H, W), and labels that shape without C.
    """
    if scores.ndim not in ((2, 3, 4) if maps else (2,)) or 0 in scores.shape:
        more = ", (N, C, L) or (N, C, H, W)" if maps else ""
        raise ValueError(f"{op}: scores must have shape (N, C) with N, C >= 1{more}, got {tuple(scores.shape)}")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{op}: labels must be integers (class numbers), got {labels.dtype}")
    check_shape(op, "labels", labels, (scores.shape[0], *scores.shape[2:]))
    if ignored is not None:
        integer(ignored, f"{op}: ignore_index", -(2**63), 63)
    counted = labels if ignored is None else labels[labels != ignored]
    low, high = (int(counted.min()), int(counted.max())) if counted.size else (0, 0)
    if low < 0 or high >= scores.shape[1]:
        unless = "" if ignored is None else f" or be {ignored}, which is ignored"
        raise ValueError(f"{op}: labels must lie in 0..{scores.shape[1] - 1}{unless}, got {low}..{high}")


def check_weight(op: str, weight: Array | None, classes: int) -> None:
    """Raise ValueError unless there is no weight, or a finite one that is not negative for each class."""
    if weight is None:
        return
    check_shape(op, "weight", weight, (classes,))
    if not (np.isfinite(weight).all() and (weight >= 0).all()):
        raise ValueError(
            f"{op}: weights of classes must be finite and not negative, got {weight.min()}..{weight.max()}"
        )


def check_smoothing(op: str, label_smoothing: object) -> None:
    """Raise unless label_smoothing is a number from 0 to 1."""
    if not 0 <= real(label_smoothing, f"{op}: label_smoothing") <= 1:
        raise ValueError(f"{op}: label_smoothing must lie in [0, 1], got {label_smoothing!r}")


def check_probabilities(op: str, scores: Array, targets: Array) -> None:
    """Raise unless targets of the scores' shape, (N, C), (N, C, L) or (N, C, H, W), are probabilities along axis 1."""
    if scores.ndim not in (2, 3, 4) or 0 in scores.shape:
        shapes = "(N, C) with N, C >= 1, (N, C, L) or (N, C, H, W)"
        raise ValueError(f"{op}: scores must have shape {shapes}, got {tuple(scores.shape)}")
    check_shape(op, "targets", targets, scores.shape)
    if not (targets >= 0).all():
        raise ValueError(f"{op}: targets are probabilities and must not be negative or NaN, got {targets.min()}")
    sums = targets.sum(axis=1, dtype=np.float64)
    furthest = float(sums.reshape(-1)[np.abs(sums - 1).argmax()])
    if not abs(furthest - 1) <= 1e-3:
        raise ValueError(
            f"{op}: targets are probabilities: those of an example must sum to 1, got {furthest:g}; divide by their sum"
        )


def check_gradient(op: str, dy: Any, shape: Iterable[int], dtype: DType) -> None:
    """Raise unless `dy` has the forward output's shape and dtype."""
    check_shape(op, "dy", dy, shape)
    if dy.dtype != dtype:
        raise TypeError(f"{op}: dy must have the forward pass's dtype {dtype}, got {dy.dtype}; cast with .astype(...)")


def check_ties(op: str, ties: object) -> None:
    """Raise unless `ties` is one of TIES."""
    if ties not in TIES:
        raise ValueError(f"{op}: ties must be one of {', '.join(map(repr, TIES))}, got {ties!r}")


def check_norm(op: str, eps: object, momentum: object) -> tuple[float, float]:
    """eps and momentum as floats; raise unless eps > 0, and momentum lies in [0, 1]."""
    numbers = real(eps, f"{op}: eps"), real(momentum, f"{op}: momentum, the weight of the new value,")
    if not numbers[0] > 0:
        raise ValueError(f"{op}: eps must be positive, got {eps!r}")
    if not 0 <= numbers[1] <= 1:
        raise ValueError(f"{op}: momentum, the weight of the new value, must be in [0, 1], got {momentum!r}")
    return numbers


def check_eps(op: str, eps: object) -> float:
    """eps as a float; raise if it is negative."""
    number = real(eps, f"{op}: eps")
    if number < 0:
        raise ValueError(f"{op}: eps must not be negative, got {eps!r}")
    return number


def check_response(op: str, size: object, alpha: object, beta: object, k: object) -> tuple[int, float, float, float]:
    """The numbers of a local response norm; raise unless size >= 1, alpha >= 0 and k > 0."""
    channels = integer(size, f"{op}: size")
    numbers = real(alpha, f"{op}: alpha"), real(beta, f"{op}: beta"), real(k, f"{op}: k")
    if not (numbers[0] >= 0 and numbers[2] > 0):
        raise ValueError(f"{op}: alpha must be at least 0 and k positive, got alpha={alpha!r}, k={k!r}")
    return channels, *numbers


def normalized(op: str, shape: object) -> Shape:
    """A layer norm's normalized_shape as a tuple of integers >= 1; an integer stands for the last axis alone."""
    sizes = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if not sizes:
        raise ValueError(f"{op}: normalized_shape must have at least one size, got {shape!r}")
    return tuple(integer(size, f"{op}: normalized_shape") for size in sizes)


def check_channels(op: str, x: Shaped) -> None:
    """Raise ValueError unless `x` has shape (N, C), (N, C, L) or (N, C, H, W)."""
    if x.ndim not in (2, 3, 4):
        raise ValueError(f"{op}: arrays must have shape (N, C), (N, C, L) or (N, C, H, W), got {tuple(x.shape)}")


def check_images(op: str, x: Shaped) -> None:
    """Raise ValueError unless `x` has shape (N, C, H, W) with at least one pixel."""
    if x.ndim != 4 or x.shape[2] * x.shape[3] == 0:
        raise ValueError(f"{op}: x must have shape (N, C, H, W) with H, W >= 1, got {tuple(x.shape)}")


def check_output(op: str, x_shape: Shape, size: tuple[int, int]) -> tuple[int, int]:
    """The size (P, Q) of an output that has at least one pixel, or a ValueError."""
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"{op}: the output must have at least one pixel, got size={size} from {tuple(x_shape[2:])}")
    return size[0], size[1]
