"""MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381)."""

from __future__ import annotations

from fastnet.layers import (
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    Linear,
    ReLU6,
    Residual,
    Sequential,
)
from fastnet.models.registry import built, register
from fastnet.types import DTypeLike, Seed, Shape

__all__ = ["mobilenet_v2"]

# expansion, channels, blocks, stride of the first block
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def _conv(filters: int, kernel_size: int = 3, stride: int = 1, groups: int = 1) -> Sequential:
    conv = Conv2d(filters, kernel_size, stride=stride, padding=kernel_size // 2, groups=groups, bias=False)
    return Sequential(conv, BatchNorm2d(), ReLU6())


def _block(channels: int, filters: int, stride: int, expansion: int) -> Layer:
    """A 1x1 convolution to `expansion` times the channels, a depthwise one, and a linear 1x1 one to `filters`."""
    wide = channels * expansion
    body: list[Layer] = [_conv(wide, 1)] if expansion > 1 else []
    body += [_conv(wide, 3, stride, wide), Conv2d(filters, 1, bias=False), BatchNorm2d()]
    inner = Sequential(conv=Sequential(*body))
    return Residual(inner, names=("_body", "shortcut")) if stride == 1 and channels == filters else inner


@register
def mobilenet_v2(
    num_classes: int = 1000,
    input_shape: Shape = (3, 224, 224),
    dropout: float = 0.2,
    seed: Seed = 0,
    dtype: DTypeLike = "float32",
) -> Sequential:
    """MobileNetV2, 3,504,872 parameters at 1000 classes, with torchvision's names."""
    features: list[Layer] = [_conv(32, 3, 2)]
    channels = 32
    for expansion, filters, blocks, stride in _STAGES:
        for i in range(blocks):
            features.append(_block(channels, filters, stride if i == 0 else 1, expansion))
            channels = filters
    model = Sequential(
        features=Sequential(*features, _conv(1280, 1)),
        pool=GlobalAvgPool2d(),
        flatten=Flatten(),
        classifier=Sequential(Dropout(dropout), Linear(num_classes)),
    )
    return built(model, "mobilenet_v2", input_shape, seed, dtype)
