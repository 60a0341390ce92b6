"""Images with a part missing."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.arguments import flag, integer
from fastnet.augment.kernels import colors, fill_of
from fastnet.augment.resize import range_of
from fastnet.augment.sometimes import Sometimes
from fastnet.augment.streams import Streams
from fastnet.types import Array

__all__ = ["Cutout", "RandomErasing"]


class RandomErasing(Sometimes):
    """A rectangle of random area, proportion and position is erased, with probability p (Zhong et al. 2017,
    arXiv:1708.04896).

    Parameters
    ----------
    p : float
    scale : (smallest, largest)
        Area of the rectangle, as a share of the image.
    ratio : (smallest, largest)
        Height divided by width.
    value : int, one for each channel, or "random"
        Colour; "random" draws every value.
    inplace : bool
        Whether the given images are written to and returned, if they are an array in C order or a list of such.
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: Any = (0.02, 0.33),
        ratio: Any = (0.3, 3.3),
        value: Any = 0,
        inplace: bool = False,
    ) -> None:
        super().__init__(p)
        self.scale, self.ratio = range_of(scale, "RandomErasing: scale"), range_of(ratio, "RandomErasing: ratio")
        if self.scale[1] > 1:
            raise ValueError(f"RandomErasing: scale must be shares of the image, at most 1, got {scale!r}")
        if isinstance(value, str) and value != "random":
            raise ValueError(f'RandomErasing: value must be colours or "random", got {value!r}')
        self.value = value if isinstance(value, str) else fill_of(value, "RandomErasing: value")
        self.inplace = flag(inplace, "RandomErasing: inplace")

    def run(self, x: Any, streams: Streams) -> Any:
        y = super().run(x, streams)
        if not self.inplace:
            return y
        for image, erased in zip(x, y, strict=True):
            if not image.flags.writeable:
                raise ValueError("RandomErasing: inplace=True writes to the images, which are read-only; leave it out")
            image[...] = erased
        return x if isinstance(x, np.ndarray) else y

    def change(self, x: Array, streams: Streams) -> Array:
        H, W = x.shape[2:]
        area = H * W * streams.uniform(self.scale[0], self.scale[1], 10)
        ratio = np.exp(streams.uniform(np.log(self.ratio[0]), np.log(self.ratio[1]), 10))
        h, w = np.rint(np.sqrt(area * ratio)).astype(np.int64), np.rint(np.sqrt(area / ratio)).astype(np.int64)
        fits = (h < H) & (w < W)
        first, image = fits.argmax(axis=1), np.arange(len(x))
        h, w = h[image, first] * fits.any(axis=1), w[image, first]
        place = streams.integers(0, np.maximum(np.stack([H - h, W - w], axis=1), 0) + 1, 2)
        return _erased(x, np.column_stack([place, h, w]), self.value, streams)


class Cutout(Sometimes):
    """A square around a random pixel is erased, as far as it is inside the image (DeVries & Taylor 2017,
    arXiv:1708.04552).

    Parameters
    ----------
    length : int
        Side of the square.
    p : float
    value : int or one for each channel
        Colour.
    """

    def __init__(self, length: int, p: float = 1.0, value: Any = 0) -> None:
        super().__init__(p)
        self.length = integer(length, "Cutout: length")
        self.value = fill_of(value, "Cutout: value")

    def change(self, x: Array, streams: Streams) -> Array:
        shape = np.array(x.shape[2:])
        start = streams.integers(0, shape, 2) - self.length // 2
        first, last = np.maximum(start, 0), np.minimum(start + self.length, shape)
        return _erased(x, np.column_stack([first, last - first]), self.value, streams)


def _erased(x: Array, boxes: Array, value: Any, streams: Streams) -> Array:
    """x with boxes, (top, left, height, width), in another colour."""
    y = x.copy()
    if isinstance(value, str):
        noise = streams.words(x[0].size).astype(np.uint8).reshape(x.shape)
    else:
        noise = np.broadcast_to(colors(value, x.shape[1], "value")[:, None, None], x.shape)
    for image, source, (top, left, height, width) in zip(y, noise, boxes.tolist(), strict=True):
        window = (slice(None), slice(top, top + height), slice(left, left + width))
        image[window] = source[window]
    return y
