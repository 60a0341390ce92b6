"""Images in another size."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.arguments import integer, pair, positive, several
from fastnet.augment.kernels import resize
from fastnet.augment.streams import Streams
from fastnet.augment.transform import Transform
from fastnet.types import Array, Pair

__all__ = ["RandomResizedCrop", "RandomShortestSize", "Resize"]

_INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "box")


def interpolation_of(value: Any, name: str, known: tuple[str, ...] = _INTERPOLATIONS) -> str:
    """One of the known interpolations, by name or as torchvision's InterpolationMode.

    "nearest" is the pixel at each centre, as in Pillow; torchvision's name for this on tensors is "nearest-exact".
    """
    found = getattr(value, "value", value)
    found = "nearest" if found == "nearest-exact" else found
    if found not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    return str(found)


def antialias_of(value: Any, name: str) -> bool:
    """torchvision's argument of that name, which can only be True here."""
    if value is not True:
        raise ValueError(f'{name} must be True, got {value!r}; without a filter there is only interpolation="nearest"')
    return True


def range_of(value: Any, name: str) -> tuple[float, float]:
    """Two positive numbers, the smaller first."""
    numbers = several(value, name)
    if len(numbers) != 2:
        raise ValueError(f"{name} must be two numbers, (smallest, largest), got {value!r}")
    low, high = (positive(number, name) for number in numbers)
    if low > high:
        raise ValueError(f"{name} must be (smallest, largest), got {value!r}; exchange them")
    return low, high


def of_short_side(shape: tuple[int, ...], side: int, max_size: int | None = None) -> tuple[int, int]:
    """The size whose shorter side is `side`, or whose longer one is max_size if it would be more; torchvision's."""
    short, long = min(shape), max(shape)
    new_short, new_long = side, int(side * long / short)
    if max_size is not None and new_long > max_size:
        new_short, new_long = int(max_size * new_short / new_long), max_size
    return (new_long, new_short) if shape[0] > shape[1] else (new_short, new_long)


def whole(x: Array) -> Array:
    """The boxes of whole images."""
    return np.repeat(np.array([[0, 0, *x.shape[2:]]], np.int64), len(x), axis=0)


class Resize(Transform):
    """Images in another size, with antialiasing: (N, C, H, W) to (N, C, *size).

    The arithmetic is Pillow's: separable filters, wider where the image shrinks, weights of 22 bits, along rows first.

    Parameters
    ----------
    size : int or (height, width)
        A number is the length of the shorter side; the longer one keeps its proportion.
    interpolation : "bilinear", "bicubic", "box" or "nearest"
    max_size : int, optional
        Largest length of the longer side, if size is a number.
    antialias : True
    """

    moves_pixels = True

    def __init__(
        self, size: Pair, interpolation: Any = "bilinear", max_size: int | None = None, antialias: bool = True
    ) -> None:
        self.antialias = antialias_of(antialias, "Resize: antialias")
        single = np.ndim(size) == 0
        self.size: Pair = integer(size, "Resize: size") if single else pair(size, "Resize: size")
        self.interpolation = interpolation_of(interpolation, "Resize: interpolation")
        self.max_size = None if max_size is None else integer(max_size, "Resize: max_size")
        if self.max_size is not None and (not isinstance(self.size, int) or self.max_size <= self.size):
            raise ValueError(f"Resize: max_size={max_size!r} must be more than size, which is one number, got {size!r}")

    def apply(self, x: Array, streams: Streams) -> Array:
        size = of_short_side(x.shape[2:], self.size, self.max_size) if isinstance(self.size, int) else self.size
        return x if size == x.shape[2:] else resize(x, size, whole(x), self.interpolation)


class RandomShortestSize(Transform):
    """The shorter side gets one of several lengths, and the longer one keeps its proportion.

    ``[RandomShortestSize(range(256, 481)), RandomCrop(224)]`` is the scale augmentation of VGG and ResNet (Simonyan &
    Zisserman 2014, arXiv:1409.1556; He et al. 2015, arXiv:1512.03385).

    Parameters
    ----------
    min_size : int or sequence of ints
        Lengths of the shorter side, all equally likely.
    max_size : int, optional
        Largest length of the longer side.
    interpolation : "bilinear", "bicubic", "box" or "nearest"
    antialias : True
    """

    moves_pixels = True

    def __init__(
        self, min_size: Any, max_size: int | None = None, interpolation: Any = "bilinear", antialias: bool = True
    ) -> None:
        self.antialias = antialias_of(antialias, "RandomShortestSize: antialias")
        name = "RandomShortestSize: min_size"
        given = [min_size] if np.ndim(min_size) == 0 else several(min_size, name, "integers")
        self.min_size = [integer(size, name) for size in given]
        if not self.min_size:
            raise ValueError(f"{name} must have at least one length, got none")
        self.max_size = None if max_size is None else integer(max_size, "RandomShortestSize: max_size")
        self.interpolation = interpolation_of(interpolation, "RandomShortestSize: interpolation")

    def apply(self, x: Array, streams: Streams) -> Any:
        chosen = np.array(self.min_size)[streams.integers(0, len(self.min_size))[:, 0]]
        results: list[Any] = [None] * len(x)
        for side in np.unique(chosen).tolist():
            index = np.flatnonzero(chosen == side)
            size = _shortest(x.shape[2:], side, self.max_size)
            for i, image in zip(index, resize(x[index], size, whole(x[index]), self.interpolation), strict=True):
                results[i] = image
        return results


def _shortest(shape: tuple[int, ...], side: int, max_size: int | None) -> tuple[int, int]:
    """torchvision's size: both sides times a ratio, rounded down."""
    ratio = side / min(shape)
    if max_size is not None:
        ratio = min(ratio, max_size / max(shape))
    return max(int(shape[0] * ratio), 1), max(int(shape[1] * ratio), 1)


class RandomResizedCrop(Transform):
    """A window of random area, proportion and position, in one size (Szegedy et al. 2015, arXiv:1409.4842).

    Of ten random windows the first that fits is taken; if none does, the largest in the centre whose proportion is
    allowed.

    Parameters
    ----------
    size : int or (height, width)
    scale : (smallest, largest)
        Area of the window, as a share of the image.
    ratio : (smallest, largest)
        Width divided by height; its logarithm is uniform.
    interpolation : "bilinear", "bicubic", "box" or "nearest"
    antialias : True
    """

    moves_pixels = True

    def __init__(
        self,
        size: Pair,
        scale: Any = (0.08, 1.0),
        ratio: Any = (3 / 4, 4 / 3),
        interpolation: Any = "bilinear",
        antialias: bool = True,
    ) -> None:
        self.antialias = antialias_of(antialias, "RandomResizedCrop: antialias")
        self.size = pair(size, "RandomResizedCrop: size")
        self.scale = range_of(scale, "RandomResizedCrop: scale")
        self.ratio = range_of(ratio, "RandomResizedCrop: ratio")
        self.interpolation = interpolation_of(interpolation, "RandomResizedCrop: interpolation")

    def apply(self, x: Array, streams: Streams) -> Array:
        return resize(x, self.size, self.boxes(x, streams), self.interpolation)

    def boxes(self, x: Array, streams: Streams) -> Array:
        """The window of each image: top, left, height and width, int64 (N, 4)."""
        H, W = x.shape[2:]
        area = H * W * streams.uniform(self.scale[0], self.scale[1], 10)
        ratio = np.exp(streams.uniform(np.log(self.ratio[0]), np.log(self.ratio[1]), 10))
        w, h = np.rint(np.sqrt(area * ratio)).astype(np.int64), np.rint(np.sqrt(area / ratio)).astype(np.int64)
        fits = (0 < w) & (w <= W) & (0 < h) & (h <= H)
        first, image = fits.argmax(axis=1), np.arange(len(x))
        height, width = h[image, first], w[image, first]
        place = streams.integers(0, np.maximum(np.stack([H - height, W - width], 1), 0) + 1, 2)
        boxes = np.column_stack([place, height, width])
        boxes[~fits.any(axis=1)] = self._central(H, W)
        return boxes

    def _central(self, H: int, W: int) -> tuple[int, int, int, int]:
        low, high = self.ratio
        height, width = H, W
        if W / H < low:
            height = min(round(W / low), H)
        elif W / H > high:
            width = min(round(H * high), W)
        return (H - height) // 2, (W - width) // 2, height, width
