"""Pictures that are being made: values that stay possible, smoothing, and changes of size."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.arguments import real, several
from fastnet.functional import conv2d, interpolate
from fastnet.types import Array
from fastnet.visualize.subject import Subject

__all__ = ["Canvas", "blurred", "limits", "random_shift", "resized", "shifted", "total_variation", "value_range"]


class Canvas:
    """The space of a model's inputs, limited to what raw images can be.

    Parameters
    ----------
    subject : Subject
    bounds : (low, high) or None
        Of raw values.
    like : array, optional
        Raw images from which the bounds follow if none are given, (0, 255) for uint8, else their smallest and largest
        value; results have their dtype, if it is of integers.
    """

    def __init__(self, subject: Subject, bounds: Any = None, like: Array | None = None) -> None:
        self._subject, self._dtype = subject, None if like is None else like.dtype
        self.low, self.high = -np.inf, np.inf
        if bounds is not None:
            self.low, self.high = limits(bounds, subject.what)
        elif like is not None:
            self.low, self.high = value_range(like)
        if self.low >= self.high:
            hint = "" if bounds is not None else ", the values of images that are all alike; give bounds"
            raise ValueError(
                f"{subject.what}: bounds must be (low, high) with low < high, got {self.low, self.high}{hint}"
            )

    def raw(self, x: Array) -> Array:
        """Raw images of inputs, within the bounds, in the dtype of `like`."""
        images = np.clip(self._subject.restore(x), self.low, self.high)
        if self._dtype is not None and self._dtype.kind in "iu":
            return np.asarray(np.rint(images).astype(self._dtype))
        return np.asarray(images)

    def within(self, x: Array) -> Array:
        """The nearest inputs whose raw values are within the bounds."""
        if self.low == -np.inf:
            return x
        return self._subject.prepare(np.clip(self._subject.restore(x), self.low, self.high)).astype(x.dtype)

    def span(self, shape: tuple[int, ...]) -> float:
        """The range of the inputs that raw values within the bounds become; 1 without bounds."""
        if self.low == -np.inf:
            return 1.0
        low, high = self._subject.prepare(np.stack([np.full(shape, self.low), np.full(shape, self.high)]))
        return float(np.abs(high - low).max())


def limits(bounds: Any, what: str) -> tuple[float, float]:
    """Bounds as two numbers."""
    pair = several(bounds, f"{what}: bounds")
    if len(pair) != 2:
        raise ValueError(f"{what}: bounds must be (low, high), got {bounds!r}")
    low, high = (real(value, f"{what}: bounds") for value in pair)
    return low, high


def value_range(images: Array) -> tuple[float, float]:
    """The values of black and white in raw images: (0, 255) for uint8, else the smallest and the largest."""
    return (0.0, 255.0) if images.dtype == np.uint8 else (float(images.min()), float(images.max()))


def random_shift(rng: np.random.Generator, most: int) -> tuple[int, int]:
    """Pixels down and to the right, each from -most to most."""
    down, right = rng.integers(-most, most + 1, 2).tolist()
    return down, right


def shifted(x: Array, down: int, right: int) -> Array:
    """Images moved down and to the right; what leaves at one edge enters at the other."""
    return np.roll(x, (down, right), axis=(-2, -1))


def resized(x: Array, size: tuple[int, int]) -> Array:
    """Images (N, C, H, W) of another size, bilinear."""
    return np.asarray(interpolate(x, size=size, mode="bilinear")[0])


def blurred(x: Array, sigma: float) -> Array:
    """Images (N, C, H, W) under a Gaussian of this standard deviation in pixels; edges are repeated."""
    radius = int(np.ceil(3 * sigma))
    if not radius:
        return x
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    row = np.repeat((taps / taps.sum()).astype(x.dtype)[None, None, None], x.shape[1], axis=0)
    framed = np.pad(x, ((0, 0), (0, 0), (radius, radius), (radius, radius)), mode="edge")
    across = conv2d(framed, row, groups=x.shape[1])[0]
    return np.asarray(conv2d(across, row.swapaxes(2, 3).copy(), groups=x.shape[1])[0])


def total_variation(x: Array, beta: float = 2.0) -> tuple[float, Array]:
    """sum of (dx^2 + dy^2)^(beta/2) over pixels and channels, and its gradient; dx, dy: steps to the next pixel."""
    down, right = np.zeros_like(x), np.zeros_like(x)
    down[..., :-1, :], right[..., :-1] = np.diff(x, axis=-2), np.diff(x, axis=-1)
    square = down * down + right * right
    slope = beta * (square + 1e-12) ** (beta / 2 - 1)
    down *= slope
    right *= slope
    gradient = -down - right
    gradient[..., 1:, :] += down[..., :-1, :]
    gradient[..., 1:] += right[..., :-1]
    return float((square ** (beta / 2)).sum(dtype=np.float64)), gradient
