"""GoogLeNet (Szegedy et al. 2015, arXiv:1409.4842) with batch norm, as in torchvision."""

from __future__ import annotations

from fastnet.layers import (
    BatchNorm2d,
    Concat,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
)
from fastnet.models.registry import built, register
from fastnet.types import DTypeLike, Seed, Shape

__all__ = ["googlenet"]


def _conv(filters: int, kernel_size: int, stride: int = 1) -> Sequential:
    return Sequential(
        conv=Conv2d(filters, kernel_size, stride=stride, padding=kernel_size // 2, bias=False),
        bn=BatchNorm2d(eps=1e-3),
        relu=ReLU(),
    )


def _inception(one: int, three_in: int, three: int, five_in: int, five: int, pool: int) -> Concat:
    """Four branches; the "5x5" one has a 3x3 kernel, as in the published weights."""
    return Concat(
        branch1=_conv(one, 1),
        branch2=[_conv(three_in, 1), _conv(three, 3)],
        branch3=[_conv(five_in, 1), _conv(five, 3)],
        branch4=[MaxPool2d(3, 1, padding=1, ceil_mode=True), _conv(pool, 1)],
    )


@register
def googlenet(
    num_classes: int = 1000,
    input_shape: Shape = (3, 224, 224),
    dropout: float = 0.2,
    seed: Seed = 0,
    dtype: DTypeLike = "float32",
) -> Sequential:
    """GoogLeNet without its auxiliary classifiers, 6,624,904 parameters at 1000 classes, with torchvision's names.

    Images up to 64x64 get a stem of one 3x3 convolution at stride 1 instead of 7x7 at stride 2 and pooling.
    """
    if min(input_shape[-2:]) <= 64:
        stem: dict[str, Layer] = {"conv1": _conv(64, 3)}
    else:
        stem = {"conv1": _conv(64, 7, 2), "maxpool1": MaxPool2d(3, 2, ceil_mode=True)}
    model = Sequential(
        stem,
        conv2=_conv(64, 1),
        conv3=_conv(192, 3),
        maxpool2=MaxPool2d(3, 2, ceil_mode=True),
        inception3a=_inception(64, 96, 128, 16, 32, 32),
        inception3b=_inception(128, 128, 192, 32, 96, 64),
        maxpool3=MaxPool2d(3, 2, ceil_mode=True),
        inception4a=_inception(192, 96, 208, 16, 48, 64),
        inception4b=_inception(160, 112, 224, 24, 64, 64),
        inception4c=_inception(128, 128, 256, 24, 64, 64),
        inception4d=_inception(112, 144, 288, 32, 64, 64),
        inception4e=_inception(256, 160, 320, 32, 128, 128),
        maxpool4=MaxPool2d(2, 2, ceil_mode=True),
        inception5a=_inception(256, 160, 320, 32, 128, 128),
        inception5b=_inception(384, 192, 384, 48, 128, 128),
        avgpool=GlobalAvgPool2d(),
        flatten=Flatten(),
        dropout=Dropout(dropout),
        fc=Linear(num_classes),
    )
    return built(model, "googlenet", input_shape, seed, dtype)
