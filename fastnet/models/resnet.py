"""ResNet for ImageNet (He, Zhang, Ren & Sun 2016, arXiv:1512.03385)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastnet.layers import (
    BatchNorm2d,
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
    Sequential,
)
from fastnet.models.depth import drop_rates, dropping
from fastnet.models.registry import built, register
from fastnet.types import DTypeLike, Seed, Shape

__all__ = ["resnet101", "resnet18", "resnet34", "resnet50"]

Block = dict[str, Layer]


def _conv(filters: int, kernel_size: int, stride: int = 1) -> Conv2d:
    return Conv2d(filters, kernel_size, stride=stride, padding=kernel_size // 2, bias=False)


def _basic(width: int, stride: int) -> Block:
    return {
        "conv1": _conv(width, 3, stride),
        "bn1": BatchNorm2d(),
        "relu1": ReLU(),
        "conv2": _conv(width, 3),
        "bn2": BatchNorm2d(),
    }


def _bottleneck(width: int, stride: int) -> Block:
    return {
        "conv1": _conv(width, 1),
        "bn1": BatchNorm2d(),
        "relu1": ReLU(),
        "conv2": _conv(width, 3, stride),
        "bn2": BatchNorm2d(),
        "relu2": ReLU(),
        "conv3": _conv(4 * width, 1),
        "bn3": BatchNorm2d(),
    }


def _stage(
    body: Callable[[int, int], Block], expansion: int, channels: int, width: int, rates: Sequence[float], stride: int
) -> Sequential:
    """A block for each drop rate, the first with the stride; `channels` is the number of input channels."""
    blocks = []
    for i, rate in enumerate(rates):
        first = i == 0
        shortcut: Layer | None = None
        if first and (stride != 1 or channels != width * expansion):
            shortcut = Sequential(_conv(width * expansion, 1, stride), BatchNorm2d())
        branch = dropping(body(width, stride if first else 1), rate)
        branches = Residual(branch, shortcut, names=("_body", "downsample"))
        blocks.append(Sequential(_sum=branches, relu=ReLU()))
    return Sequential(*blocks)


def _resnet(
    name: str,
    body: Callable[[int, int], Block],
    expansion: int,
    depths: Sequence[int],
    num_classes: int,
    input_shape: Shape,
    stochastic_depth: float,
    seed: Seed,
    dtype: DTypeLike,
) -> Sequential:
    if min(input_shape[-2:]) <= 64:
        stem: Block = {"conv1": _conv(64, 3), "bn1": BatchNorm2d(), "relu": ReLU()}
    else:
        stem = {
            "conv1": _conv(64, 7, 2),
            "bn1": BatchNorm2d(),
            "relu": ReLU(),
            "maxpool": MaxPool2d(3, 2, padding=1),
        }
    channels, rates = 64, drop_rates(sum(depths), stochastic_depth)
    stages: Block = {}
    for i, (width, depth) in enumerate(zip((64, 128, 256, 512), depths, strict=True)):
        stages[f"layer{i + 1}"] = _stage(body, expansion, channels, width, rates[:depth], 1 if i == 0 else 2)
        channels, rates = width * expansion, rates[depth:]
    head: Block = {"avgpool": GlobalAvgPool2d(), "flatten": Flatten(), "fc": Linear(num_classes)}
    return built(Sequential({**stem, **stages, **head}), name, input_shape, seed, dtype)


@register
def resnet18(
    num_classes: int = 1000,
    input_shape: Shape = (3, 224, 224),
    stochastic_depth: float = 0.0,
    seed: Seed = 0,
    dtype: DTypeLike = "float32",
) -> Sequential:
    """ResNet-18, 11,689,512 parameters at 1000 classes, with torchvision's names.

    Images up to 64x64 get a stem of one 3x3 convolution at stride 1 instead of 7x7 at stride 2 and pooling.
    `stochastic_depth` is the probability of skipping the last block in training; it rises linearly from the first on
    (:func:`drop_rates`).
    """
    return _resnet("resnet18", _basic, 1, (2, 2, 2, 2), num_classes, input_shape, stochastic_depth, seed, dtype)


@register
def resnet34(
    num_classes: int = 1000,
    input_shape: Shape = (3, 224, 224),
    stochastic_depth: float = 0.0,
    seed: Seed = 0,
    dtype: DTypeLike = "float32",
) -> Sequential:
    """ResNet-34, 21,797,672 parameters at 1000 classes; small images and stochastic depth as in :func:`resnet18`."""
    return _resnet("resnet34", _basic, 1, (3, 4, 6, 3), num_classes, input_shape, stochastic_depth, seed, dtype)


@register
def resnet50(
    num_classes: int = 1000,
    input_shape: Shape = (3, 224, 224),
    stochastic_depth: float = 0.0,
    seed: Seed = 0,
    dtype: DTypeLike = "float32",
) -> Sequential:
    """ResNet-50 (stride in the 3x3 convolution, "v1.5"), 25,557,032 parameters at 1000 classes; as :func:`resnet18`."""
    return _resnet("resnet50", _bottleneck, 4, (3, 4, 6, 3), num_classes, input_shape, stochastic_depth, seed, dtype)


@register
def resnet101(
    num_classes: int = 1000,
    input_shape: Shape = (3, 224, 224),
    stochastic_depth: float = 0.0,
    seed: Seed = 0,
    dtype: DTypeLike = "float32",
) -> Sequential:
    """ResNet-101 ("v1.5"), 44,549,160 parameters at 1000 classes; as :func:`resnet50`."""
    return _resnet("resnet101", _bottleneck, 4, (3, 4, 23, 3), num_classes, input_shape, stochastic_depth, seed, dtype)
