"""Blurred images."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.arguments import pair
from fastnet.augment.kernels import blur
from fastnet.augment.resize import range_of
from fastnet.augment.streams import Streams
from fastnet.augment.transform import Transform
from fastnet.types import Array, Pair

__all__ = ["GaussianBlur"]


class GaussianBlur(Transform):
    """A Gaussian filter of random width.

    Parameters
    ----------
    kernel_size : int or (width, height)
        Odd.
    sigma : float or (smallest, largest)
        The deviation in pixels, uniform in the range.
    """

    def __init__(self, kernel_size: Pair, sigma: Any = (0.1, 2.0)) -> None:
        self.kernel_size = pair(kernel_size, "GaussianBlur: kernel_size")
        if not all(size % 2 for size in self.kernel_size):
            raise ValueError(f"GaussianBlur: kernel_size must be odd, got {kernel_size!r}")
        self.sigma = range_of((sigma, sigma) if np.ndim(sigma) == 0 else sigma, "GaussianBlur: sigma")

    def apply(self, x: Array, streams: Streams) -> Array:
        across, down = self.kernel_size
        if down // 2 >= x.shape[2] or across // 2 >= x.shape[3]:
            raise ValueError(
                f"GaussianBlur: a kernel of {self.kernel_size} (width, height) needs images of more than "
                f"{down // 2} x {across // 2} pixels, got {x.shape[2]} x {x.shape[3]}; give a smaller kernel_size"
            )
        sigma = streams.uniform(*self.sigma)
        return blur(x, _gaussian(down, sigma), _gaussian(across, sigma))


def _gaussian(size: int, sigma: Array) -> Array:
    """Weights int64 (N, size) that add up to 2**16; sigma: (N, 1)."""
    values = np.exp(-0.5 * ((np.arange(size) - size // 2) / sigma) ** 2)
    weights: Array = np.rint(values / values.sum(axis=1, keepdims=True) * 65536).astype(np.int64)
    weights[:, size // 2] += 65536 - weights.sum(axis=1)
    return weights
