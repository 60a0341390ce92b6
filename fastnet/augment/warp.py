"""Rotated, moved, scaled, sheared, tilted and bent images."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.arguments import at_least_zero, flag, real, several
from fastnet.augment import maps
from fastnet.augment.kernels import fill_of, warp
from fastnet.augment.resize import interpolation_of, range_of
from fastnet.augment.sometimes import Sometimes
from fastnet.augment.streams import Streams
from fastnet.augment.transform import Transform
from fastnet.types import Array

__all__ = ["RandomAffine", "RandomLensDistortion", "RandomPerspective", "RandomRotation"]

_MODES = ("nearest", "bilinear")


def _symmetric(value: Any, name: str) -> tuple[float, float]:
    """A number d >= 0 as (-d, d); or two, the smaller first."""
    if np.ndim(value) == 0:
        distance = at_least_zero(value, name)
        return -distance, distance
    numbers = [real(number, name) for number in several(value, name)]
    if len(numbers) != 2 or numbers[0] > numbers[1]:
        raise ValueError(f"{name} must be a number or (smallest, largest), got {value!r}")
    return numbers[0], numbers[1]


def _center(value: Any, name: str) -> tuple[float, float] | None:
    if value is None:
        return None
    numbers = [real(number, name) for number in several(value, name)]
    if len(numbers) != 2:
        raise ValueError(f"{name} must be (across, down), got {value!r}")
    return numbers[0], numbers[1]


class RandomAffine(Transform):
    """Rotation, translation, scale and shear, each uniform in its range.

    Parameters
    ----------
    degrees : float or (smallest, largest)
        Of the rotation, clockwise; a number d stands for (-d, d).
    translate : (across, down), optional
        Largest translations, as shares of width and height.
    scale : (smallest, largest), optional
    shear : float, (smallest, largest) or (smallest x, largest x, smallest y, largest y), optional
        In degrees; a number s stands for (-s, s), along x alone.
    interpolation : "nearest" or "bilinear"
    fill : int or one for each channel
        Colour outside the image.
    center : (across, down), optional
        Of rotation, scale and shear, in pixels; the middle of the image by default.
    """

    moves_pixels = True

    def __init__(
        self,
        degrees: Any,
        translate: Any = None,
        scale: Any = None,
        shear: Any = None,
        interpolation: Any = "nearest",
        fill: Any = 0,
        center: Any = None,
    ) -> None:
        self.degrees = _symmetric(degrees, "RandomAffine: degrees")
        name = "RandomAffine: translate"
        self.translate = None if translate is None else [real(share, name) for share in several(translate, name)]
        if self.translate is not None and (
            len(self.translate) != 2 or not 0 <= min(self.translate) <= max(self.translate) <= 1
        ):
            raise ValueError(f"{name} must be two shares of the image from 0 to 1, (across, down), got {translate!r}")
        self.scale = None if scale is None else range_of(scale, "RandomAffine: scale")
        self.shear = None if shear is None else _shears(shear)
        self.interpolation = interpolation_of(interpolation, "RandomAffine: interpolation", _MODES)
        self.fill = fill_of(fill, f"{type(self).__name__}: fill")
        self.center = _center(center, "RandomAffine: center")

    def apply(self, x: Array, streams: Streams) -> Array:
        N, shape = len(x), x.shape[2:]
        angle = streams.uniform(*self.degrees)[:, 0]
        reach = np.array(self.translate or (0, 0)) * (shape[1], shape[0])
        translate = np.rint(streams.uniform(-reach, reach, 2)) if self.translate else np.zeros((N, 2))
        scale = streams.uniform(*self.scale)[:, 0] if self.scale else np.ones(N)
        shear = np.zeros((N, 2))
        if self.shear:
            shear = streams.uniform(np.array(self.shear[::2]), np.array(self.shear[1::2]), 2)
        where = maps.affine(shape, angle, translate, scale, shear, self.center)
        return warp(x, shape, where, self.interpolation, self.fill)


def _shears(value: Any) -> tuple[float, float, float, float]:
    name = "RandomAffine: shear"
    if np.ndim(value) == 1 and len(value) == 4:
        return *_symmetric(value[:2], name), *_symmetric(value[2:], name)
    return *_symmetric(value, name), 0.0, 0.0


class RandomRotation(Transform):
    """Rotation by an angle that is uniform in its range; counter-clockwise where it is positive, as in torchvision.

    Parameters
    ----------
    degrees : float or (smallest, largest)
        A number d stands for (-d, d).
    interpolation : "nearest" or "bilinear"
    expand : bool
        Whether images grow so that nothing is cut off; they then have different sizes, and come as a list.
    center : (across, down), optional
        In pixels; the middle of the image by default, always with `expand`.
    fill : int or one for each channel
        Colour outside the image.
    """

    moves_pixels = True

    def __init__(
        self, degrees: Any, interpolation: Any = "nearest", expand: bool = False, center: Any = None, fill: Any = 0
    ) -> None:
        self.degrees = _symmetric(degrees, "RandomRotation: degrees")
        self.interpolation = interpolation_of(interpolation, "RandomRotation: interpolation", _MODES)
        self.fill = fill_of(fill, f"{type(self).__name__}: fill")
        self.expand = flag(expand, "RandomRotation: expand")
        self.center = _center(center, "RandomRotation: center")
        if self.expand and self.center is not None:
            raise ValueError(f"RandomRotation: with expand=True images turn about their middle, got center={center!r}")

    def apply(self, x: Array, streams: Streams) -> Any:
        still, shape = np.zeros((len(x), 2)), x.shape[2:]
        angle = -streams.uniform(*self.degrees)[:, 0]
        where = maps.affine(shape, angle, still, np.ones(len(x)), still, self.center)
        if not self.expand:
            return warp(x, shape, where, self.interpolation, self.fill)
        sizes = maps.around(shape, angle)
        where = maps.enlarged(where, shape, sizes)
        return [
            warp(x[i : i + 1], size, where[i : i + 1], self.interpolation, self.fill)[0]
            for i, size in enumerate(sizes.tolist())
        ]


class RandomPerspective(Sometimes):
    """The four corners move inwards by random distances, with probability p.

    Parameters
    ----------
    distortion_scale : float, 0 to 1
        Largest distance, as a share of half the height and width.
    p : float
    interpolation : "nearest" or "bilinear"
    fill : int or one for each channel
        Colour outside the image.
    """

    moves_pixels = True

    def __init__(
        self, distortion_scale: float = 0.5, p: float = 0.5, interpolation: Any = "bilinear", fill: Any = 0
    ) -> None:
        super().__init__(p)
        self.distortion_scale = at_least_zero(distortion_scale, "RandomPerspective: distortion_scale")
        if self.distortion_scale > 1:
            raise ValueError(f"RandomPerspective: distortion_scale must be from 0 to 1, got {distortion_scale!r}")
        self.interpolation = interpolation_of(interpolation, "RandomPerspective: interpolation", _MODES)
        self.fill = fill_of(fill, f"{type(self).__name__}: fill")

    def change(self, x: Array, streams: Streams) -> Array:
        H, W = x.shape[2:]
        starts = np.array([(0, 0), (W - 1, 0), (W - 1, H - 1), (0, H - 1)], np.float64)
        bounds = np.array([int(self.distortion_scale * (side // 2)) + 1 for side in (W, H)] * 4)
        inwards = streams.integers(0, bounds, 8).reshape(len(x), 4, 2)
        ends = starts + inwards * np.where(starts > 0, -1, 1)
        where = maps.perspective(np.broadcast_to(starts, ends.shape), ends)
        return warp(x, (H, W), where, self.interpolation, self.fill)


class RandomLensDistortion(Transform):
    """Barrels (k > 0) and cushions (k < 0): a pixel at distance r, 1 in the corners, reads at r (1 + k1 r^2 + k2 r^4).

    The radial model of Brown 1966, "Decentering distortion of lenses".

    Parameters
    ----------
    k1, k2 : float or (smallest, largest)
        A number k stands for (-k, k); at most 1 in size.
    interpolation : "nearest" or "bilinear"
    fill : int or one for each channel
        Colour outside the image.
    """

    moves_pixels = True

    def __init__(self, k1: Any = 0.2, k2: Any = 0.0, interpolation: Any = "bilinear", fill: Any = 0) -> None:
        self.k1 = _symmetric(k1, "RandomLensDistortion: k1")
        self.k2 = _symmetric(k2, "RandomLensDistortion: k2")
        if max(map(abs, (*self.k1, *self.k2))) > 1:
            raise ValueError(f"RandomLensDistortion: k1 and k2 must be between -1 and 1, got {k1!r} and {k2!r}")
        self.interpolation = interpolation_of(interpolation, "RandomLensDistortion: interpolation", _MODES)
        self.fill = fill_of(fill, f"{type(self).__name__}: fill")

    def apply(self, x: Array, streams: Streams) -> Array:
        k1, k2 = streams.uniform(*self.k1)[:, 0], streams.uniform(*self.k2)[:, 0]
        return warp(x, x.shape[2:], maps.radial(x.shape[2:], k1, k2), self.interpolation, self.fill)
