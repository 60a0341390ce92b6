"""Random changes of training images, uint8 (N, C, H, W), with torchvision's names, arguments and meaning.

>>> import fastnet as fn
>>> augment = [fn.augment.RandomCrop(32, padding=4), fn.augment.RandomHorizontalFlip()]

A list of them is the ``augment`` of a Loader or a Solver.
"""

from fastnet.augment.blur import GaussianBlur
from fastnet.augment.color import (
    ColorJitter,
    Grayscale,
    PCAColor,
    RandomAdjustSharpness,
    RandomAutocontrast,
    RandomEqualize,
    RandomGrayscale,
    RandomInvert,
    RandomPosterize,
    RandomSolarize,
)
from fastnet.augment.compose import Compose, RandomApply, RandomChoice
from fastnet.augment.crop import CenterCrop, FiveCrop, RandomCrop, TenCrop
from fastnet.augment.erase import Cutout, RandomErasing
from fastnet.augment.flip import RandomHorizontalFlip, RandomVerticalFlip
from fastnet.augment.mixing import CutMix, MixUp
from fastnet.augment.policies import AutoAugment, RandAugment, TrivialAugmentWide
from fastnet.augment.resize import RandomResizedCrop, RandomShortestSize, Resize
from fastnet.augment.streams import Streams
from fastnet.augment.transform import Transform
from fastnet.augment.warp import RandomAffine, RandomLensDistortion, RandomPerspective, RandomRotation

__all__ = [
    "AutoAugment",
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "CutMix",
    "Cutout",
    "FiveCrop",
    "GaussianBlur",
    "Grayscale",
    "MixUp",
    "PCAColor",
    "RandAugment",
    "RandomAdjustSharpness",
    "RandomAffine",
    "RandomApply",
    "RandomAutocontrast",
    "RandomChoice",
    "RandomCrop",
    "RandomEqualize",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomInvert",
    "RandomLensDistortion",
    "RandomPerspective",
    "RandomPosterize",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomShortestSize",
    "RandomSolarize",
    "RandomVerticalFlip",
    "Resize",
    "Streams",
    "TenCrop",
    "Transform",
    "TrivialAugmentWide",
]
