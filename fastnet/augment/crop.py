"""Windows of images."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.arguments import flag, integer, pair
from fastnet.augment.kernels import crop, fill_of
from fastnet.augment.streams import Streams
from fastnet.augment.transform import Transform
from fastnet.augment.window import Window
from fastnet.types import Array, Pair

__all__ = ["CenterCrop", "FiveCrop", "RandomCrop", "TenCrop"]

_MODES = ("constant", "edge", "reflect", "symmetric")


def sides_of(padding: Any, name: str) -> tuple[int, int, int, int]:
    """torchvision's padding, a number, (horizontal, vertical) or (left, top, right, bottom), in the last order."""
    if not isinstance(padding, (list, tuple)):
        padding = (padding,)
    if len(padding) not in (1, 2, 4):
        raise ValueError(
            f"{name} must be an int, (horizontal, vertical) or (left, top, right, bottom), got {padding!r}"
        )
    left, top, right, bottom = (integer(side, name, 0) for side in tuple(padding) * (4 // len(padding)))
    return left, top, right, bottom


class RandomCrop(Window):
    """A window of random position, after padding: (N, C, H, W) to (N, C, *size).

    Parameters
    ----------
    size : int or (height, width)
    padding : int, (horizontal, vertical) or (left, top, right, bottom), optional
        Pixels that surround the image before it is cropped.
    pad_if_needed : bool
        Whether an image smaller than the window is padded on both sides by what it lacks; else it is an error.
    fill : int or one for each channel
        Colour of a constant padding.
    padding_mode : "constant", "edge", "reflect" or "symmetric"
    """

    def __init__(
        self,
        size: Pair,
        padding: Any = None,
        pad_if_needed: bool = False,
        fill: Any = 0,
        padding_mode: str = "constant",
    ) -> None:
        self.size = pair(size, "RandomCrop: size")
        self.padding = None if padding is None else sides_of(padding, "RandomCrop: padding")
        self.pad_if_needed = flag(pad_if_needed, "RandomCrop: pad_if_needed")
        self.fill = fill_of(fill, f"{type(self).__name__}: fill")
        if padding_mode not in _MODES:
            raise ValueError(f"RandomCrop: padding_mode must be one of {', '.join(_MODES)}, got {padding_mode!r}")
        self.padding_mode = padding_mode

    def window(self, x: Array, streams: Streams) -> tuple[Array, tuple[int, int], Array, Any]:
        left, top, right, bottom = self.padding or (0, 0, 0, 0)
        if self.pad_if_needed:
            more_h = max(self.size[0] - (x.shape[2] + top + bottom), 0)
            more_w = max(self.size[1] - (x.shape[3] + left + right), 0)
            left, top, right, bottom = left + more_w, top + more_h, right + more_w, bottom + more_h
        if self.padding_mode != "constant" and (left or top or right or bottom):
            edges = ((0, 0), (0, 0), (top, bottom), (left, right))
            x = np.pad(x, edges, self.padding_mode)  # type: ignore[call-overload]
            left = top = right = bottom = 0
        height, width = x.shape[2] + top + bottom, x.shape[3] + left + right
        if height < self.size[0] or width < self.size[1]:
            raise ValueError(
                f"RandomCrop: the window {self.size} is larger than the image, which has {(height, width)} with its "
                "padding; give a smaller size, more padding, or pad_if_needed=True"
            )
        spans = (height - self.size[0] + 1, width - self.size[1] + 1)
        at = np.zeros((len(x), 4), np.int64)
        at[:, :2] = streams.integers(0, np.array(spans), 2) - (top, left)
        return x, self.size, at, self.fill


class CenterCrop(Window):
    """The window in the middle; a smaller image is padded with zeros: (N, C, H, W) to (N, C, *size).

    Parameters
    ----------
    size : int or (height, width)
    """

    def __init__(self, size: Pair) -> None:
        self.size = pair(size, "CenterCrop: size")

    def window(self, x: Array, streams: Streams) -> tuple[Array, tuple[int, int], Array, Any]:
        return x, self.size, _windows(len(x), _centre(x, self.size)), 0


def _centre(x: Array, size: tuple[int, int]) -> tuple[int, int]:
    """torchvision's: the padding of a smaller image is rounded down, the place of a window to the nearest integer."""
    top, left = (
        -((inner - outer) // 2) if inner > outer else round((outer - inner) / 2.0)
        for inner, outer in zip(size, x.shape[2:], strict=True)
    )
    return top, left


def _windows(count: int, place: tuple[int, int], flipped: bool = False) -> Array:
    return np.repeat(np.array([[*place, 0, int(flipped)]], np.int64), count, axis=0)


class FiveCrop(Transform):
    """The corners and the centre of each image, one after the other: (N, C, H, W) to (5 N, C, *size).

    Image i becomes images 5i to 5i + 4: top left, top right, bottom left, bottom right, centre (Krizhevsky et al.
    2012). The result has more images than labels, so it is for evaluation, not for a Loader.

    Parameters
    ----------
    size : int or (height, width)
    """

    moves_pixels = True

    def __init__(self, size: Pair) -> None:
        self.size = pair(size, f"{type(self).__name__}: size")

    def run(self, x: Any, streams: Streams) -> Any:
        if not len(x):
            return x
        if not isinstance(x, np.ndarray):
            return np.concatenate([self.apply(image[None], streams) for image in x])
        return self.apply(x, streams)

    def apply(self, x: Array, streams: Streams) -> Array:
        views = np.stack([crop(x, self.size, _windows(len(x), place)) for place in self.places(x)], axis=1)
        return views.reshape(-1, *views.shape[2:])

    def places(self, x: Array) -> list[tuple[int, int]]:
        """The top and left of each window."""
        down, right = x.shape[2] - self.size[0], x.shape[3] - self.size[1]
        if down < 0 or right < 0:
            raise ValueError(
                f"{type(self).__name__}: the window {self.size} is larger than the image {x.shape[2:]}; resize it first"
            )
        return [(0, 0), (0, right), (down, 0), (down, right), _centre(x, self.size)]


class TenCrop(FiveCrop):
    """FiveCrop of each image, then of its mirror image: (N, C, H, W) to (10 N, C, *size).

    Parameters
    ----------
    size : int or (height, width)
    vertical_flip : bool
        Whether top and bottom are exchanged rather than left and right.
    """

    def __init__(self, size: Pair, vertical_flip: bool = False) -> None:
        super().__init__(size)
        self.vertical_flip = flag(vertical_flip, "TenCrop: vertical_flip")

    def apply(self, x: Array, streams: Streams) -> Array:
        mirrored = np.ascontiguousarray(x[:, :, ::-1] if self.vertical_flip else x[..., ::-1])
        halves = [super(TenCrop, self).apply(part, streams).reshape(len(x), 5, -1) for part in (x, mirrored)]
        return np.concatenate(halves, axis=1).reshape(10 * len(x), x.shape[1], *self.size)
