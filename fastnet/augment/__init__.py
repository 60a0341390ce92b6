"""Random changes of training images, uint8 (N, C, H, W), with torchvision's names, arguments and meaning.

>>> import fastnet as fn
>>> augment = [fn.augment.RandomCrop(32, padding=4), fn.augment.RandomHorizontalFlip()]

A list of them is the ``augment`` of a Loader or a Solver.
"""

from fastnet.augment.compose import Compose, RandomApply, RandomChoice
from fastnet.augment.crop import CenterCrop, FiveCrop, RandomCrop, TenCrop
from fastnet.augment.flip import RandomHorizontalFlip, RandomVerticalFlip
from fastnet.augment.resize import RandomResizedCrop, RandomShortestSize, Resize
from fastnet.augment.streams import Streams
from fastnet.augment.transform import Transform

__all__ = [
    "CenterCrop",
    "Compose",
    "FiveCrop",
    "RandomApply",
    "RandomChoice",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomShortestSize",
    "RandomVerticalFlip",
    "Resize",
    "Streams",
    "TenCrop",
    "Transform",
]
