"""Images of different sizes, which no array can hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnet.arrays import on_host
from fastnet.types import Array

__all__ = ["Images"]


class Images:
    """Images of different sizes with the shape of an array, (N, C, None, None): a base of Rows.

    Indexing gives copies: a uint8 array (C, H, W) for an integer, else a list of them.

    Parameters
    ----------
    images : sequence of uint8 arrays (C, H, W)

    Raises
    ------
    TypeError, ValueError
        No images, arrays that are not such images, or images of different numbers of channels.
    """

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(self, images: Sequence[Any]) -> None:
        self.images = [on_host(image, f"image {number}") for number, image in enumerate(images)]
        if not self.images:
            raise ValueError("there are no images in the list")
        channels = self.images[0].shape[:1]
        for number, image in enumerate(self.images):
            if image.dtype != np.uint8:
                raise TypeError(f"image {number} must be bytes, a uint8 array (C, H, W), got {image.dtype}")
            if image.ndim != 3 or 0 in image.shape or image.shape[:1] != channels:
                alike = f" with {channels[0]} channels, as the first one" if channels else ""
                raise ValueError(f"image {number} must be (C, H, W){alike}, got shape {image.shape}")
        self.shape = (len(self.images), *channels, None, None)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Any) -> Array | list[Array]:
        if np.ndim(index) == 0:
            return self.images[int(index)].copy()
        return [self.images[number].copy() for number in index.tolist()]
