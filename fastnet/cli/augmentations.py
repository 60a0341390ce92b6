"""``--augment``: names of transforms, their numbers, and what they become for images of a size."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastnet.cli.errors import UserError, user_mistakes
from fastnet.wording import did_you_mean

if TYPE_CHECKING:
    from fastnet.augment import Transform
    from fastnet.types import Array

__all__ = ["AUGMENTATIONS", "chosen", "described", "transforms"]

# name: class in fastnet.augment, and its arguments for images (height, width) and the values after the name
AUGMENTATIONS: dict[str, tuple[str, Callable[..., dict[str, Any]]]] = {
    "flip": ("RandomHorizontalFlip", lambda size, p=0.5: {"p": p}),
    "vflip": ("RandomVerticalFlip", lambda size, p=0.5: {"p": p}),
    "crop": ("RandomCrop", lambda size, padding=4: {"size": size, "padding": padding}),
    "resized-crop": ("RandomResizedCrop", lambda size, least=0.08: {"size": size, "scale": (least, 1)}),
    "resnet": ("Compose", lambda size, least=256, most=480: {"transforms": _resnet(size, least, most)}),
    "rotate": ("RandomRotation", lambda size, degrees=15: {"degrees": degrees, "interpolation": "bilinear"}),
    "affine": (
        "RandomAffine",
        lambda size, degrees=10, move=0.1, scale=0.1, shear=5: {
            "degrees": degrees,
            "translate": (move, move),
            "scale": (1 - scale, 1 + scale),
            "shear": shear,
            "interpolation": "bilinear",
        },
    ),
    "perspective": ("RandomPerspective", lambda size, scale=0.5, p=0.5: {"distortion_scale": scale, "p": p}),
    "lens": ("RandomLensDistortion", lambda size, k1=0.2: {"k1": k1}),
    "jitter": (
        "ColorJitter",
        lambda size, brightness=0.4, contrast=0.4, saturation=0.4, hue=0: {
            "brightness": brightness,
            "contrast": contrast,
            "saturation": saturation,
            "hue": hue,
        },
    ),
    "pca": ("PCAColor", lambda size, std=0.1: {"std": std}),
    "grayscale": ("RandomGrayscale", lambda size, p=0.1: {"p": p}),
    "blur": ("GaussianBlur", lambda size, kernel=3: {"kernel_size": kernel}),
    "erase": ("RandomErasing", lambda size, p=0.5: {"p": p}),
    "cutout": ("Cutout", lambda size, length=8: {"length": length}),
    "autoaugment": ("AutoAugment", lambda size, policy="cifar10": {"policy": policy}),
    "randaugment": ("RandAugment", lambda size, ops=2, magnitude=9: {"num_ops": ops, "magnitude": magnitude}),
    "mixup": ("MixUp", lambda size, alpha=0.2: {"alpha": alpha}),
    "cutmix": ("CutMix", lambda size, alpha=1: {"alpha": alpha}),
    "trivial": ("TrivialAugmentWide", lambda size: {}),
}


def _resnet(size: tuple[int, int], least: int, most: int) -> list[Transform]:
    """ResNet's: the shorter side gets a length from `least` to `most`, for networks of 224, then a random window."""
    from fastnet.augment import RandomCrop, RandomShortestSize

    if not 224 <= least <= most:
        raise UserError(
            f"--augment resnet:{least}/{most}: sides are for a network of 224 pixels, and scaled to another's size: "
            "224 <= LEAST <= MOST, as windows of 224 must fit"
        )
    low, high = (round(side / 224 * max(size)) for side in (least, most))
    return [RandomShortestSize(range(low, high + 1)), RandomCrop(size)]


def described(name: str) -> str:
    """A name with the values that may follow it, and their defaults: "crop:PADDING=4"."""
    values = list(inspect.signature(AUGMENTATIONS[name][1]).parameters.values())[1:]
    listing = "/".join(f"{value.name.upper()}={value.default}" for value in values)
    return f"{name}:{listing}" if listing else name


def chosen(text: str) -> str:
    """The text, if it is names with values between slashes: "flip,crop:4,jitter:0.4/0.4"."""
    for part in text.split(","):
        name = part.partition(":")[0].strip()
        if name not in AUGMENTATIONS:
            hint = did_you_mean(name, AUGMENTATIONS)
            raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(AUGMENTATIONS)}; {hint}".rstrip("; "))
    return text


def transforms(text: str | None, X: Array, size: tuple[int, int]) -> list[Transform]:
    """The transforms of images X, for a network of this (height, width); UserError if they do not suit them."""
    from fastnet import augment

    if not text:
        return []
    if X.dtype != "uint8":
        raise UserError(f"--augment changes images of bytes (uint8), and these are {X.dtype}")
    found = []
    for part in text.split(","):
        name, _, rest = part.strip().partition(":")
        kind, arguments = AUGMENTATIONS[name]
        values = [_value(text) for text in rest.split("/")] if rest else []
        _check_values(part.strip(), name, values)
        with user_mistakes(f"--augment {part.strip()} is {described(name)}"):
            found.append(getattr(augment, kind)(**arguments(size, *values)))
    return found


def _check_values(part: str, name: str, values: list[Any]) -> None:
    known = list(inspect.signature(AUGMENTATIONS[name][1]).parameters.values())[1:]
    if len(values) > len(known):
        raise UserError(f"--augment {part}: too many values; expected {described(name)}")
    for value, parameter in zip(values, known, strict=False):
        if isinstance(value, str) and not isinstance(parameter.default, str):
            wanted = f"{parameter.name.upper()} must be a number, got {value!r}"
            raise UserError(f"--augment {part}: {wanted}; expected {described(name)}")


def _value(text: str) -> Any:
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text
