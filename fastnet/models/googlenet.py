"""GoogLeNet (Szegedy et al. 2015, arXiv:1409.4842) with batch norm, as in torchvision."""

from __future__ import annotations

from fastnet.arguments import flag
from fastnet.layers import (
    AuxiliaryHeads,
    AvgPool2d,
    BatchNorm2d,
    Concat,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    Linear,
    MaxPool2d,
    Model,
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


def _head(num_classes: int) -> Sequential:
    """An auxiliary classifier, as section 5 of the paper describes it."""
    return Sequential(
        avgpool=AvgPool2d(5, 3),
        conv=_conv(128, 1),
        flatten=Flatten(),
        fc1=Linear(1024),
        relu=ReLU(),
        dropout=Dropout(0.7),
        fc2=Linear(num_classes),
    )


@register
def googlenet(
    num_classes: int = 1000,
    input_shape: Shape = (3, 224, 224),
    dropout: float = 0.2,
    aux_logits: bool = False,
    seed: Seed = 0,
    dtype: DTypeLike = "float32",
) -> Model:
    """GoogLeNet, 6,624,904 parameters at 1000 classes, with torchvision's names.

    Images up to 64x64 get a stem of one 3x3 convolution at stride 1 instead of 7x7 at stride 2 and pooling.

    With `aux_logits`, classifiers on 4a and 4d (average pooling of 5x5 at stride 3, 1x1 convolution of 128 filters,
    1024 units, dropout 0.7) add 0.3 times their losses in training: 13,004,888 parameters at 224x224.  Inference
    ignores them.  See `fastnet.AuxiliaryHeads`.
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
    if not flag(aux_logits, "googlenet: aux_logits"):
        return built(model, "googlenet", input_shape, seed, dtype)
    heads = {"aux1": ("inception4a", _head(num_classes)), "aux2": ("inception4d", _head(num_classes))}
    return built(AuxiliaryHeads(model, heads, weight=0.3), "googlenet", input_shape, seed, dtype)
