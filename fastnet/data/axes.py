"""Arrays of images in other orders of axes, as (N, C, H, W)."""

from __future__ import annotations

import warnings

import numpy as np

from fastnet.types import Array

__all__ = ["channels_first", "lies_channels_last", "warn_of_channels_last"]

_USUAL = (1, 3, 4)


def channels_first(where: str, X: Array, channels_last: bool | None) -> np.ndarray:
    """X, which is (N, C, H, W), (N, H, W, C) or (N, H, W), as (N, C, H, W).

    Parameters
    ----------
    where : str
        The source, for errors.
    X : array
    channels_last : bool, optional
        Whether 4-d images are (N, H, W, C); None: decided by `lies_channels_last`.

    Raises
    ------
    ValueError
        Not numbers, another number of axes, or a shape that fits both orders.
    """
    if X.dtype.kind not in "buif":
        raise ValueError(f"{where}: images must be numbers, got {X.dtype}")
    if X.ndim == 3:
        return X[:, None]
    if X.ndim != 4:
        hint = "; reshape rows of pixels, such as X.reshape(-1, 1, 28, 28)" if X.ndim == 2 else ""
        raise ValueError(f"{where}: images must be (N, C, H, W), (N, H, W, C) or (N, H, W), got {X.shape}{hint}")
    last = lies_channels_last(X.shape) if channels_last is None else channels_last
    if last is None:
        raise ValueError(
            f"{where}: images of shape {X.shape} could be (N, C, H, W) or (N, H, W, C); "
            "use channels_last=False or channels_last=True"
        )
    return X.transpose(0, 3, 1, 2) if last else X


def lies_channels_last(shape: tuple[int, ...]) -> bool | None:
    """Whether images of this shape are (N, H, W, C) rather than (N, C, H, W); None if that cannot be told.

    For each order three signs are counted: a usual number of channels (1, 3, 4), square images, and less than half as
    many channels as pixels in a row or column.  Equal counts tell nothing.
    """
    lead = _lead(shape)
    return None if lead == 0 else lead > 0


def warn_of_channels_last(where: str, shape: tuple[int, ...]) -> None:
    """Warn of arrays that are taken as (N, C, H, W) and show two signs more of (N, H, W, C), such as (N, 32, 32, 3)."""
    if len(shape) == 4 and None not in shape and _lead(shape) > 1:
        warnings.warn(
            f"{where}: images of shape {tuple(shape)} seem to be (N, H, W, C), but are taken as (N, C, H, W); "
            "give X.transpose(0, 3, 1, 2)",
            stacklevel=4,
        )


def _lead(shape: tuple[int, ...]) -> int:
    """How many signs more there are of channels last than of channels first."""
    _, a, b, c = shape
    return _signs(c, a, b) - _signs(a, b, c)


def _signs(channels: int, height: int, width: int) -> int:
    return (channels in _USUAL) + (height == width) + (2 * channels <= min(height, width))
