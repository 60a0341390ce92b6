"""Arrange many small images in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt

import numpy as np

__all__ = ["vis_grid", "vis_nn", "visualize_grid"]


def _stretched(image, top=1.0):
    """Scale an image so that its minimum becomes 0 and its maximum `top`; zeros if all pixels are equal."""
    low, high = np.min(image), np.max(image)
    return top * (image - low) / (high - low) if high > low else np.zeros_like(image, dtype=float)


def _tiled(images, columns, rows, background, border):
    """A grid of images (N, H, W, C), row by row, each with `border` pixels of `background` on its right and below."""
    _, H, W, C = images.shape
    picture = np.full((rows * (H + border), columns * (W + border), C), float(background))
    for position, image in enumerate(images):
        y, x = position // columns * (H + border), position % columns * (W + border)
        picture[y : y + H, x : x + W] = image
    return picture


def visualize_grid(Xs: np.ndarray, ubound: float = 255.0, padding: int = 1) -> np.ndarray:
    """A square grid of images, each scaled to [0, ubound], with black lines between them.

    Parameters
    ----------
    Xs : array, (N, H, W, C)
    ubound : float
    padding : int
        The number of pixels between images.

    Returns
    -------
    array, (G*H + (G-1)*padding, G*W + (G-1)*padding, C)
        G = ceil(sqrt(N)).
    """
    side = ceil(sqrt(len(Xs)))
    _, H, W, _ = Xs.shape
    picture = _tiled(np.stack([_stretched(image, ubound) for image in Xs]), side, side, 0.0, padding)
    return picture[: side * (H + padding) - padding, : side * (W + padding) - padding]


def vis_grid(Xs: np.ndarray) -> np.ndarray:
    """A square grid of images (N, H, W, C), jointly scaled to [0, 1], each with a dark line right and below."""
    side = ceil(sqrt(len(Xs)))
    return _stretched(_tiled(Xs, side, side, np.min(Xs), 1))


def vis_nn(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """A grid of images (H, W, C), given as a list of rows, jointly scaled to [0, 1], with lines between them."""
    images = np.stack([image for row in rows for image in row])
    return _stretched(_tiled(images, len(rows[0]), len(rows), 1, 1))
