"""Learned and random policies: AutoAugment, RandAugment, TrivialAugment, with torchvision's tables."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from fastnet.arguments import integer
from fastnet.augment import adjust, kernels, maps
from fastnet.augment.reference import WARP
from fastnet.augment.resize import interpolation_of
from fastnet.augment.streams import Streams
from fastnet.augment.transform import Transform
from fastnet.types import Array

__all__ = ["POLICIES", "AutoAugment", "RandAugment", "TrivialAugmentWide"]

POLICIES = {
    "imagenet": """
        Posterize 0.4 8; Rotate 0.6 9
        Solarize 0.6 5; AutoContrast 0.6
        Equalize 0.8; Equalize 0.6
        Posterize 0.6 7; Posterize 0.6 6
        Equalize 0.4; Solarize 0.2 4
        Equalize 0.4; Rotate 0.8 8
        Solarize 0.6 3; Equalize 0.6
        Posterize 0.8 5; Equalize 1
        Rotate 0.2 3; Solarize 0.6 8
        Equalize 0.6; Posterize 0.4 6
        Rotate 0.8 8; Color 0.4 0
        Rotate 0.4 9; Equalize 0.6
        Equalize 0; Equalize 0.8
        Invert 0.6; Equalize 1
        Color 0.6 4; Contrast 1 8
        Rotate 0.8 8; Color 1 2
        Color 0.8 8; Solarize 0.8 7
        Sharpness 0.4 7; Invert 0.6
        ShearX 0.6 5; Equalize 1
        Color 0.4 0; Equalize 0.6
        Equalize 0.4; Solarize 0.2 4
        Solarize 0.6 5; AutoContrast 0.6
        Invert 0.6; Equalize 1
        Color 0.6 4; Contrast 1 8
        Equalize 0.8; Equalize 0.6
    """,
    "cifar10": """
        Invert 0.1; Contrast 0.2 6
        Rotate 0.7 2; TranslateX 0.3 9
        Sharpness 0.8 1; Sharpness 0.9 3
        ShearY 0.5 8; TranslateY 0.7 9
        AutoContrast 0.5; Equalize 0.9
        ShearY 0.2 7; Posterize 0.3 7
        Color 0.4 3; Brightness 0.6 7
        Sharpness 0.3 9; Brightness 0.7 9
        Equalize 0.6; Equalize 0.5
        Contrast 0.6 7; Sharpness 0.6 5
        Color 0.7 7; TranslateX 0.5 8
        Equalize 0.3; AutoContrast 0.4
        TranslateY 0.4 3; Sharpness 0.2 6
        Brightness 0.9 6; Color 0.2 8
        Solarize 0.5 2; Invert 0
        Equalize 0.2; AutoContrast 0.6
        Equalize 0.2; Equalize 0.6
        Color 0.9 9; Equalize 0.6
        AutoContrast 0.8; Solarize 0.2 8
        Brightness 0.1 3; Color 0.7 0
        Solarize 0.4 5; AutoContrast 0.9
        TranslateY 0.9 9; TranslateY 0.7 9
        AutoContrast 0.9; Solarize 0.8 3
        Equalize 0.8; Invert 0.1
        TranslateY 0.7 9; AutoContrast 0.9
    """,
    "svhn": """
        ShearX 0.9 4; Invert 0.2
        ShearY 0.9 8; Invert 0.7
        Equalize 0.6; Solarize 0.6 6
        Invert 0.9; Equalize 0.6
        Equalize 0.6; Rotate 0.9 3
        ShearX 0.9 4; AutoContrast 0.8
        ShearY 0.9 8; Invert 0.4
        ShearY 0.9 5; Solarize 0.2 6
        Invert 0.9; AutoContrast 0.8
        Equalize 0.6; Rotate 0.9 3
        ShearX 0.9 4; Solarize 0.3 3
        ShearY 0.8 8; Invert 0.7
        Equalize 0.9; TranslateY 0.6 6
        Invert 0.9; Equalize 0.6
        Contrast 0.3 3; Rotate 0.8 4
        Invert 0.8; TranslateY 0 2
        ShearY 0.7 6; Solarize 0.4 8
        Invert 0.6; Rotate 0.8 4
        ShearY 0.3 7; TranslateX 0.9 3
        ShearX 0.1 6; Invert 0.6
        Solarize 0.7 2; TranslateY 0.6 7
        ShearY 0.8 4; Invert 0.8
        ShearX 0.7 9; TranslateY 0.8 3
        ShearY 0.8 5; AutoContrast 0.7
        ShearX 0.7 2; Invert 0.1
    """,
}
"""Those of Cubuk et al. 2019: two operations a line, each with its probability and strength, 0 to 9."""

_SIGNED = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast", "Sharpness")
_PLAIN = ("AutoContrast", "Equalize", "Invert", "Identity")
_RAND = ("Identity", *_SIGNED, "Posterize", "Solarize", "AutoContrast", "Equalize")


@functools.lru_cache(maxsize=1024)
def magnitudes(name: str, bins: int, shape: tuple[int, ...], wide: bool = False) -> Array:
    """The strengths of an operation from the weakest to the strongest; `wide`: TrivialAugmentWide's."""
    if name in _PLAIN:
        return np.zeros(bins)
    if name == "Posterize":
        return np.rint(8 - np.arange(bins) / ((bins - 1) / (6 if wide else 4)))
    if name == "Solarize":
        return np.linspace(1, 0, bins)
    share = {"TranslateX": 150 / 331 * shape[1], "TranslateY": 150 / 331 * shape[0], "Rotate": 30, "S": 0.3, "C": 0.9}
    if wide:
        share = {"TranslateX": 32, "TranslateY": 32, "Rotate": 135, "S": 0.99, "C": 0.99}
    kind = name if name in share else "S" if name.startswith("Shear") else "C"
    return np.linspace(0, share[kind], bins)


_COLORS = {
    "Identity": ("none", 0, 0),
    "Brightness": ("brightness", 1, 1),
    "Color": ("saturation", 1, 1),
    "Contrast": ("contrast", 1, 1),
    "Sharpness": ("sharpness", 1, 1),
    "Posterize": ("posterize", 0, 1),
    "Solarize": ("solarize", 0, 255),
    "AutoContrast": ("autocontrast", 0, 0),
    "Equalize": ("equalize", 0, 0),
    "Invert": ("invert", 0, 0),
}
"""The operation of `adjust`, and a and b: its strength is a + b m."""


def _maps(names: Array, m: Array, shape: tuple[int, ...]) -> Array:
    """The maps of geometric operations of strengths m."""

    def of(name: str) -> Array:
        return np.where(names == name, m, 0.0)

    move = np.trunc(np.stack([of("TranslateX"), of("TranslateY")], axis=1))
    shear = np.degrees(np.arctan(np.stack([of("ShearX"), of("ShearY")], axis=1)))
    middle = np.where(shear.any(axis=1), 0.0, 0.5)  # images are sheared about their corner
    return maps.affine(shape, -of("Rotate"), move, np.ones(len(m)), shear, (middle * shape[1], middle * shape[0]))


class _Program:
    """Operations for each of N images, stage after stage."""

    def __init__(self) -> None:
        self.operations: list[Array] = []
        self.strengths: list[Array] = []
        self.maps: list[Array] = []

    def add(self, chosen: Array, names: Sequence[str], m: Array, shape: tuple[int, ...]) -> None:
        """A stage: image i gets ``names[chosen[i]]`` of strength m[i], or nothing where chosen[i] is -1."""
        colors = (_COLORS.get(name) for name in (*names, "Identity"))  # the last is that of -1
        table = [(WARP, 0, 0) if color is None else (adjust.NUMBERS[color[0]], *color[1:]) for color in colors]
        number, a, b = np.array(table)[chosen].T
        strengths = a + b * m
        if len(index := np.flatnonzero(number == WARP)):
            strengths[index] = sum(map(len, self.maps)) + np.arange(len(index))
            self.maps.append(_maps(np.array(names)[chosen[index]], m[index], shape))
        self.operations.append(number)
        self.strengths.append(strengths)

    def run(self, x: Array, interpolation: str, fill: Any) -> Array:
        if not self.operations:
            return x
        steps = np.stack(self.operations, axis=1), np.stack(self.strengths, axis=1)
        return kernels.adjust(x, *steps, np.concatenate(self.maps) if self.maps else None, interpolation, fill)


def operation(name: str, x: Array, m: Array, interpolation: str = "nearest", fill: Any = 0) -> Array:
    """The operation of strengths m, (N,), on images (N, C, H, W)."""
    program = _Program()
    program.add(np.zeros(len(x), np.int64), [name], m, x.shape[2:])
    return program.run(x, interpolation, fill)


class _Policy(Transform):
    moves_pixels = True

    def __init__(self, interpolation: Any, fill: Any) -> None:
        self.interpolation = interpolation_of(
            interpolation, f"{type(self).__name__}: interpolation", ("nearest", "bilinear")
        )
        self.fill = kernels.fill_of(fill, f"{type(self).__name__}: fill")

    def apply(self, x: Array, streams: Streams) -> Array:
        program = _Program()
        for names, chosen, m in self.stages(x.shape[2:], streams):
            signed = np.isin(names, _SIGNED)[chosen] & streams.happens(0.5)
            program.add(chosen, names, np.where(signed, -m, m), x.shape[2:])
        return program.run(x, self.interpolation, self.fill)

    def stages(self, shape: tuple[int, ...], streams: Streams) -> Iterator[tuple[Sequence[str], Array, Array]]:
        """For each stage names of operations, the number of each image's, -1 for none, and its strength."""
        raise NotImplementedError(f"{type(self).__name__} must define stages(shape, streams)")

    def _checked(self, x: Any) -> Any:
        images = super()._checked(x)
        for channels in {image.shape[-3] for image in (images if isinstance(images, list) else [images])}:
            if channels not in (1, 3):
                raise ValueError(f"{type(self).__name__}: images must have 1 or 3 channels, got {channels}")
        return images


def _parsed(policy: str) -> Iterable[list[tuple[str, float, int]]]:
    for line in POLICIES[policy].strip().splitlines():
        words = (part.split() for part in line.split(";"))
        yield [(name, float(p), int(rest[0]) if rest else 0) for name, p, *rest in words]


class AutoAugment(_Policy):
    """One of 25 learned pairs of operations for each image (Cubuk et al. 2019, arXiv:1805.09501).

    Parameters
    ----------
    policy : "imagenet", "cifar10" or "svhn"
        The data that the pairs were learned from.
    interpolation : "nearest" or "bilinear"
    fill : int or one for each channel
        Colour outside the image.
    """

    def __init__(self, policy: Any = "imagenet", interpolation: Any = "nearest", fill: Any = None) -> None:
        super().__init__(interpolation, fill)
        self.policy = getattr(policy, "value", policy)
        if self.policy not in POLICIES:
            raise ValueError(f"AutoAugment: policy must be one of {', '.join(POLICIES)}, got {policy!r}")

    def stages(self, shape: tuple[int, ...], streams: Streams) -> Iterator[tuple[Sequence[str], Array, Array]]:
        pairs = list(_parsed(self.policy))
        pair = streams.integers(0, len(pairs))[:, 0]
        for half in range(2):
            names, chances, levels = zip(*(both[half] for both in pairs), strict=True)
            strengths = np.array(
                [magnitudes(name, 10, shape)[level] for name, level in zip(names, levels, strict=True)]
            )
            happens = streams.uniform()[:, 0] < np.array(chances)[pair]
            yield names, np.where(happens, pair, -1), strengths[pair]


class RandAugment(_Policy):
    """Random operations of one strength (Cubuk et al. 2020, arXiv:1909.13719).

    Parameters
    ----------
    num_ops : int
        Operations for each image.
    magnitude : int
        Strength, below num_magnitude_bins.
    num_magnitude_bins : int
    interpolation : "nearest" or "bilinear"
    fill : int or one for each channel
        Colour outside the image.
    """

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: int = 9,
        num_magnitude_bins: int = 31,
        interpolation: Any = "nearest",
        fill: Any = None,
    ) -> None:
        super().__init__(interpolation, fill)
        self.num_ops = integer(num_ops, "RandAugment: num_ops", 0)
        self.magnitude = integer(magnitude, "RandAugment: magnitude", 0)
        self.num_magnitude_bins = integer(num_magnitude_bins, "RandAugment: num_magnitude_bins", 2)
        if self.magnitude >= self.num_magnitude_bins:
            raise ValueError(
                f"RandAugment: magnitude must be below num_magnitude_bins={num_magnitude_bins}, got {magnitude}"
            )

    def stages(self, shape: tuple[int, ...], streams: Streams) -> Iterator[tuple[Sequence[str], Array, Array]]:
        strengths = np.array([magnitudes(name, self.num_magnitude_bins, shape)[self.magnitude] for name in _RAND])
        for _ in range(self.num_ops):
            chosen = streams.integers(0, len(_RAND))[:, 0]
            yield _RAND, chosen, strengths[chosen]


class TrivialAugmentWide(_Policy):
    """One random operation of random strength (Müller & Hutter 2021, arXiv:2103.10158).

    Parameters
    ----------
    num_magnitude_bins : int
    interpolation : "nearest" or "bilinear"
    fill : int or one for each channel
        Colour outside the image.
    """

    def __init__(self, num_magnitude_bins: int = 31, interpolation: Any = "nearest", fill: Any = None) -> None:
        super().__init__(interpolation, fill)
        self.num_magnitude_bins = integer(num_magnitude_bins, "TrivialAugmentWide: num_magnitude_bins", 2)

    def stages(self, shape: tuple[int, ...], streams: Streams) -> Iterator[tuple[Sequence[str], Array, Array]]:
        strengths = np.stack([magnitudes(name, self.num_magnitude_bins, shape, True) for name in _RAND])
        chosen, strength = streams.integers(0, np.array([len(_RAND), self.num_magnitude_bins]), 2).T
        yield _RAND, chosen, strengths[chosen, strength]
