"""Random colours."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastnet.arguments import at_least_zero, integer, real, several
from fastnet.arrays import on_host
from fastnet.augment import adjust, kernels
from fastnet.augment.streams import Streams
from fastnet.augment.transform import Transform, probability
from fastnet.types import Array

__all__ = [
    "ColorJitter",
    "Grayscale",
    "PCAColor",
    "RandomAdjustSharpness",
    "RandomAutocontrast",
    "RandomEqualize",
    "RandomGrayscale",
    "RandomInvert",
    "RandomPosterize",
    "RandomSolarize",
]


_JITTER = ("brightness", "contrast", "saturation", "hue")


def _range(value: Any, name: str, centre: float, low: float, high: float) -> tuple[float, float] | None:
    """torchvision's: a number is the distance from the centre; None if nothing changes."""
    if np.ndim(value) == 0:
        distance = at_least_zero(value, name)
        found = (max(centre - distance, low) if centre else -distance, centre + distance)
    else:
        numbers = [real(number, name) for number in several(value, name)]
        if len(numbers) != 2:
            raise ValueError(f"{name} must be a number or (smallest, largest), got {value!r}")
        found = (numbers[0], numbers[1])
    if not low <= found[0] <= found[1] <= high:
        bounds = f"at least {low:g}" if math.isinf(high) else f"between {low:g} and {high:g}"
        raise ValueError(f"{name} must give a range (smallest, largest) {bounds}, got {value!r}")
    return None if found == (centre, centre) else found


class ColorJitter(Transform):
    """Brightness, contrast, saturation and hue by random factors, in random order.

    Parameters
    ----------
    brightness, contrast, saturation : float or (smallest, largest)
        The factor is uniform in the range; a number b stands for (max(0, 1 - b), 1 + b).
    hue : float or (smallest, largest)
        The shift is uniform, a share of the circle of colours; a number h <= 0.5 stands for (-h, h).
    """

    def __init__(self, brightness: Any = 0, contrast: Any = 0, saturation: Any = 0, hue: Any = 0) -> None:
        self.brightness = _range(brightness, "ColorJitter: brightness", 1, 0, math.inf)
        self.contrast = _range(contrast, "ColorJitter: contrast", 1, 0, math.inf)
        self.saturation = _range(saturation, "ColorJitter: saturation", 1, 0, math.inf)
        self.hue = _range(hue, "ColorJitter: hue", 0, -0.5, 0.5)

    def apply(self, x: Array, streams: Streams) -> Array:
        active = [name for name in _JITTER if getattr(self, name) is not None]
        if not active:
            return x
        if self.hue is not None and x.shape[1] != 3:
            raise ValueError(f"ColorJitter: hue needs images of 3 channels, got {x.shape[1]}; leave hue at 0")
        numbers = streams.uniform(count=2 * len(active))
        order, share = numbers[:, : len(active)].argsort(axis=1), numbers[:, len(active) :]
        low, high = np.array([getattr(self, name) for name in active]).T
        strengths = np.take_along_axis(low + (high - low) * share, order, axis=1)
        return kernels.adjust(x, np.array([adjust.NUMBERS[name] for name in active])[order], strengths)

    def __repr__(self) -> str:
        names = [name for name in _JITTER if getattr(self, name) is not None]
        return f"ColorJitter({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"


def _check_gray(x: Array) -> None:
    if x.shape[1] not in (1, 3):
        raise ValueError(f"images in grey are made of 1 or 3 channels, got {x.shape[1]}")


class Grayscale(Transform):
    """0.2989 red + 0.587 green + 0.114 blue.

    Parameters
    ----------
    num_output_channels : 1 or 3
        3 keeps the shape of colour images.
    """

    def __init__(self, num_output_channels: int = 1) -> None:
        self.num_output_channels = integer(num_output_channels, "Grayscale: num_output_channels")
        if self.num_output_channels not in (1, 3):
            raise ValueError(f"Grayscale: num_output_channels must be 1 or 3, got {num_output_channels!r}")

    def apply(self, x: Array, streams: Streams) -> Array:
        _check_gray(x)
        return np.repeat(kernels.gray(x) if x.shape[1] == 3 else x, self.num_output_channels, axis=1)


class _SometimesAdjusted(Transform):
    """An operation of `adjust` of one strength, with probability p."""

    operation = ""

    def __init__(self, p: float, strength: float = 0.0) -> None:
        self.p, self._strength = probability(p, f"{type(self).__name__}: p"), strength

    def apply(self, x: Array, streams: Streams) -> Array:
        operations = np.where(streams.happens(self.p), adjust.NUMBERS[self.operation], 0)
        return kernels.adjust(x, operations[:, None], np.full((len(x), 1), self._strength))


class RandomGrayscale(_SometimesAdjusted):
    """Grey with as many channels as before, with probability p."""

    operation = "saturation"

    def __init__(self, p: float = 0.1) -> None:
        super().__init__(p)

    def apply(self, x: Array, streams: Streams) -> Array:
        _check_gray(x)
        return super().apply(x, streams)


class RandomInvert(_SometimesAdjusted):
    """255 - x, with probability p."""

    operation = "invert"

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)


class RandomPosterize(_SometimesAdjusted):
    """The upper bits of each value, with probability p.

    Parameters
    ----------
    bits : int, 0 to 8
    p : float
    """

    operation = "posterize"

    def __init__(self, bits: int, p: float = 0.5) -> None:
        self.bits = integer(bits, "RandomPosterize: bits", 0)
        if self.bits > 8:
            raise ValueError(f"RandomPosterize: bits must be 0 to 8, got {bits!r}")
        super().__init__(p, self.bits)


class RandomSolarize(_SometimesAdjusted):
    """255 - x where x >= threshold, with probability p.

    Parameters
    ----------
    threshold : float, 0 to 255
    p : float
    """

    operation = "solarize"

    def __init__(self, threshold: float, p: float = 0.5) -> None:
        self.threshold = at_least_zero(threshold, "RandomSolarize: threshold")
        if self.threshold > 255:
            raise ValueError(f"RandomSolarize: threshold must be at most 255, got {threshold!r}")
        super().__init__(p, self.threshold)


class RandomAutocontrast(_SometimesAdjusted):
    """Each channel stretched to 0..255, with probability p."""

    operation = "autocontrast"

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)


class RandomEqualize(_SometimesAdjusted):
    """Each channel with a uniform histogram, with probability p."""

    operation = "equalize"

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)


class RandomAdjustSharpness(_SometimesAdjusted):
    """Sharper (factor > 1) or blurred (factor < 1), with probability p.

    Parameters
    ----------
    sharpness_factor : float, at least 0
    p : float
    """

    operation = "sharpness"

    def __init__(self, sharpness_factor: float, p: float = 0.5) -> None:
        self.sharpness_factor = at_least_zero(sharpness_factor, "RandomAdjustSharpness: sharpness_factor")
        super().__init__(p, self.sharpness_factor)


_IMAGENET = (
    (55.46, 4.794, 1.148),
    ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203)),
)


class PCAColor(Transform):
    """Offsets along the principal components of colours: sum of p_i a_i l_i, a ~ N(0, std) (Krizhevsky et al. 2012).

    Parameters
    ----------
    std : float
        Deviation of a.
    eigenvalues : sequence of 3 floats
        l, on the scale of 0 to 255, as AlexNet's programs use them: square roots of the variances; ImageNet's by
        default.
    eigenvectors : (3, 3), optional
        The columns are p.
    """

    def __init__(self, std: float = 0.1, eigenvalues: Any = _IMAGENET[0], eigenvectors: Any = _IMAGENET[1]) -> None:
        self.std = at_least_zero(std, "PCAColor: std")
        self.eigenvalues = np.asarray(eigenvalues, np.float64)
        self.eigenvectors = np.asarray(eigenvectors, np.float64)
        if self.eigenvalues.shape != (3,) or self.eigenvectors.shape != (3, 3):
            given = f"{self.eigenvalues.shape} and {self.eigenvectors.shape}"
            raise ValueError(f"PCAColor: eigenvalues and eigenvectors must have shapes (3,) and (3, 3), got {given}")

    @classmethod
    def fit(cls, images: Array, std: float = 0.1) -> PCAColor:
        """The components of the pixels of training images, uint8 (N, 3, H, W)."""
        images = on_host(images, "PCAColor.fit: images")
        if images.ndim != 4 or images.shape[1] != 3 or images.dtype != np.uint8:
            given = f"{images.dtype} {images.shape}"
            raise ValueError(f"PCAColor.fit: images must be bytes, uint8 of shape (N, 3, H, W), got {given}")
        if images.size < 6:
            raise ValueError(f"PCAColor.fit: components need at least two pixels, got images of shape {images.shape}")
        variances, vectors = np.linalg.eigh(np.cov(images.swapaxes(0, 1).reshape(3, -1).astype(np.float64)))
        return cls(std, np.sqrt(np.maximum(variances, 0)), vectors)

    def apply(self, x: Array, streams: Streams) -> Array:
        if x.shape[1] != 3:
            raise ValueError(f"PCAColor: images must have 3 channels (red, green, blue), got {x.shape[1]}")
        amounts = streams.normal(3) * self.std * self.eigenvalues
        return adjust.offset(x, (amounts[:, None, :] * self.eigenvectors).sum(axis=-1))
