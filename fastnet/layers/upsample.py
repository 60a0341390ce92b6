"""Layers that change the size of images: Upsample, PixelShuffle, PixelUnshuffle."""

from __future__ import annotations

from typing import Any

from fastnet.arguments import optional_flag
from fastnet.graph import Node, Recorder
from fastnet.layers.base import Layer, count
from fastnet.layers.shape import image_shape
from fastnet.ops.resample import check_mode, resized
from fastnet.types import DType, Generator, Pair, Shape

__all__ = ["PixelShuffle", "PixelUnshuffle", "Upsample"]


class Upsample(Layer):
    """Images of another size, (N, C, H, W) to (N, C, P, Q), by interpolation.

    Parameters
    ----------
    size : int or pair, optional
        (P, Q).
    scale_factor : float or pair, optional
        P is floor(H * scale_factor).  Give either this or `size`.
    mode : "nearest" or "bilinear"
        The nearest pixel, or a weighted mean of the four nearest.
    align_corners : bool, optional
        Of "bilinear": whether the outermost pixels of input and output lie at the same places (True), or the edges of
        the images do (False, the default).
    recompute_scale_factor : bool, optional
        Whether positions follow from P / H rather than from a `scale_factor` that is not exactly P / H.
    """

    def __init__(
        self,
        size: Pair | None = None,
        scale_factor: float | tuple[float, float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        check_mode("Upsample", mode, align_corners)
        self.size, self.scale_factor, self.mode = size, scale_factor, mode
        self.align_corners = bool(align_corners)
        self.recompute_scale_factor = bool(optional_flag(recompute_scale_factor, "Upsample: recompute_scale_factor"))
        self._resized((1, 1, 2**20, 2**20))  # wrong arguments are wrong for large images, too

    def _resized(self, x_shape: Shape) -> Any:
        return resized("Upsample", x_shape, self.size, self.scale_factor, self.recompute_scale_factor)

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        C, H, W = image_shape("Upsample", shape)
        return C, *self._resized((1, C, H, W))[0]

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        size, scales = self._resized(x.shape)
        return ops.interpolate(x, size, self.mode, self.align_corners, scales)


class PixelShuffle(Layer):
    """(N, C * r * r, H, W) to (N, C, H * r, W * r): r x r channels become a block of pixels.

    The last step of sub-pixel convolution (Shi et al. 2016, arXiv:1609.05158).

    Parameters
    ----------
    upscale_factor : int
        r.
    """

    def __init__(self, upscale_factor: int) -> None:
        self.upscale_factor = count(upscale_factor, "PixelShuffle: upscale_factor")

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        (C, H, W), r = image_shape("PixelShuffle", shape), self.upscale_factor
        if C % (r * r):
            raise ValueError(f"PixelShuffle: upscale_factor={r} needs a multiple of {r * r} channels, got {C}")
        return C // (r * r), H * r, W * r

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.pixel_shuffle(x, self.upscale_factor)


class PixelUnshuffle(Layer):
    """The inverse of :class:`PixelShuffle`: (N, C, H * r, W * r) to (N, C * r * r, H, W).

    Parameters
    ----------
    downscale_factor : int
        r.
    """

    def __init__(self, downscale_factor: int) -> None:
        self.downscale_factor = count(downscale_factor, "PixelUnshuffle: downscale_factor")

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        (C, H, W), r = image_shape("PixelUnshuffle", shape), self.downscale_factor
        if H % r or W % r:
            raise ValueError(f"PixelUnshuffle: downscale_factor={r} must divide the input's {H}x{W} pixels")
        return C * r * r, H // r, W // r

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.pixel_unshuffle(x, self.downscale_factor)
