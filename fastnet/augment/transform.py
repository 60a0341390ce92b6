"""What all transforms have in common."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnet.arguments import real
from fastnet.arrays import on_host
from fastnet.augment.streams import Streams
from fastnet.types import Array, Generator

__all__ = ["Transform", "probability"]


class Transform:
    """A function of a batch of images and a random generator: ``transform(x, rng)``.

    A subclass defines ``apply(x, streams)`` for images of one size.  It returns a new array, or x itself where nothing
    changes, and never writes to x.  Its arguments are its attributes, from which the representation is made.

    Attributes
    ----------
    mixes_labels : bool
        Whether it mixes the labels with the images: it is then called as ``transform(x, y, rng)`` and returns both.
    """

    mixes_labels = False

    def __call__(self, x: Array | Sequence[Array], rng: Generator) -> Any:
        """Transform a batch.

        Parameters
        ----------
        x : uint8 array (N, C, H, W), or list of uint8 arrays (C, H, W)
            Images; a list if their sizes differ.
        rng : numpy.random.Generator
            Its next 128 bits are the key of the random streams, one for each image.

        Returns
        -------
        uint8 array (N, C, H, W), or a list as above as long as sizes differ.

        Raises
        ------
        TypeError, ValueError
            Not images of uint8, or images that the transform is not defined for.
        """
        images = self._checked(x)
        return self.run(images, Streams.of(rng, len(images)))

    def run(self, x: Any, streams: Streams) -> Any:
        """The call, for images that were checked and streams that were made."""
        if isinstance(x, np.ndarray):
            return together(self.apply(x, streams)) if len(x) else x
        sizes: dict[tuple[int, ...], list[int]] = {}
        for i, image in enumerate(x):
            sizes.setdefault(image.shape, []).append(i)
        results: list[Any] = [None] * len(x)
        for index in sizes.values():
            group = self.apply(np.stack([x[i] for i in index]), streams.take(index))
            for i, result in zip(index, group, strict=True):
                results[i] = result
        return together(results)

    def apply(self, x: Array, streams: Streams) -> Any:
        """The transform of uint8 images (N, C, H, W), N >= 1, in C order."""
        raise NotImplementedError(f"{type(self).__name__} must define apply(x, streams)")

    def _checked(self, x: Any) -> Any:
        name = type(self).__name__
        if isinstance(x, (list, tuple)):
            return [_checked(f"{name}: image {i}", image, 3, "(C, H, W)") for i, image in enumerate(x)]
        return _checked(f"{name}: x", x, 4, "(N, C, H, W)")

    def __repr__(self) -> str:
        names = inspect.signature(type(self)).parameters
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"


def _checked(name: str, given: Any, axes: int, shape: str) -> Array:
    """Images as an array of bytes with `axes` axes, in C order."""
    if hasattr(given, "getpalette"):  # Pillow's: its channels are last, which cannot be seen in every array of it
        raise TypeError(f"{name} is an image of Pillow; give fastnet.data.read_picture(file), a uint8 array (C, H, W)")
    x = on_host(given, name)
    if x.dtype != np.uint8:
        raise TypeError(
            f"{name} must be images of bytes, a uint8 array {shape}, got {x.dtype} {x.shape}; augment them before they "
            "are preprocessed, and give (255 * x).astype(np.uint8) for values from 0 to 1"
        )
    if x.ndim != axes or 0 in x.shape[axes - 3 :]:
        raise ValueError(f"{name} must have shape {shape} and no empty axis, got {x.shape}")
    return np.ascontiguousarray(x)


def together(images: Any) -> Any:
    """Images as one array if all have one size, else as a list."""
    if isinstance(images, np.ndarray) or len({image.shape for image in images}) != 1:
        return images
    return np.stack(images)


def probability(value: Any, name: str) -> float:
    """A number in [0, 1]; TypeError or ValueError as of :func:`fastnet.arguments.real`."""
    number = real(value, name)
    if not 0 <= number <= 1:
        raise ValueError(f"{name} must be a probability between 0 and 1, got {value!r}")
    return number
