"""ResNets for 32x32 images: those of He et al. 2016 (arXiv:1512.03385, section 4.2), and a nine-layer one."""

from __future__ import annotations

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
    Subsample,
)
from fastnet.models.depth import drop_rates, dropping
from fastnet.models.registry import built, register
from fastnet.types import DTypeLike, Seed, Shape

__all__ = ["resnet9", "resnet20", "resnet32", "resnet44", "resnet56"]


def _conv(filters: int, stride: int = 1) -> Conv2d:
    return Conv2d(filters, 3, stride=stride, padding=1, bias=False)


def _shortcut(option: str, width: int, stride: int) -> Layer:
    if option == "A":
        return Subsample(stride, width)
    return Sequential(Conv2d(width, 1, stride=stride, bias=False), BatchNorm2d())


def _block(option: str, channels: int, width: int, stride: int, rate: float) -> Sequential:
    body: dict[str, Layer] = {
        "conv1": _conv(width, stride),
        "bn1": BatchNorm2d(),
        "relu1": ReLU(),
        "conv2": _conv(width),
        "bn2": BatchNorm2d(),
    }
    shortcut = None if stride == 1 and channels == width else _shortcut(option, width, stride)
    return Sequential(_sum=Residual(dropping(body, rate), shortcut, names=("_body", "shortcut")), relu=ReLU())


def _cifar(
    name: str,
    blocks: int,
    option: str,
    stochastic_depth: float,
    num_classes: int,
    input_shape: Shape,
    seed: Seed,
    dtype: DTypeLike,
) -> Sequential:
    if option not in ("A", "B"):
        raise ValueError(f'{name}: option must be "A" (subsampled shortcuts) or "B" (projections), got {option!r}')
    stages: dict[str, Layer] = {}
    channels, rates = 16, iter(drop_rates(3 * blocks, stochastic_depth))
    for i, width in enumerate((16, 32, 64)):
        strides = [1 if i == 0 else 2] + [1] * (blocks - 1)
        stage = []
        for stride in strides:
            stage.append(_block(option, channels, width, stride, next(rates)))
            channels = width
        stages[f"layer{i + 1}"] = Sequential(*stage)
    model = Sequential(
        {"conv1": _conv(16), "bn1": BatchNorm2d(), "relu": ReLU()},
        **stages,
        avgpool=GlobalAvgPool2d(),
        flatten=Flatten(),
        linear=Linear(num_classes),
    )
    return built(model, name, input_shape, seed, dtype)


@register
def resnet20(
    num_classes: int = 10,
    input_shape: Shape = (3, 32, 32),
    option: str = "A",
    stochastic_depth: float = 0.0,
    seed: Seed = 0,
    dtype: DTypeLike = "float32",
) -> Sequential:
    """ResNet-20, 269,722 parameters, under the names of the published PyTorch weights (conv1, layer1.0.conv1, linear).

    Shortcuts across sizes: option "A" takes every second pixel and adds zero channels; "B" projects (1x1 convolution).
    `stochastic_depth` is the probability of skipping the last block in training; it rises linearly from the first on
    (:func:`drop_rates`).
    """
    return _cifar("resnet20", 3, option, stochastic_depth, num_classes, input_shape, seed, dtype)


@register
def resnet32(
    num_classes: int = 10,
    input_shape: Shape = (3, 32, 32),
    option: str = "A",
    stochastic_depth: float = 0.0,
    seed: Seed = 0,
    dtype: DTypeLike = "float32",
) -> Sequential:
    """ResNet-32, 464,154 parameters; as :func:`resnet20`."""
    return _cifar("resnet32", 5, option, stochastic_depth, num_classes, input_shape, seed, dtype)


@register
def resnet44(
    num_classes: int = 10,
    input_shape: Shape = (3, 32, 32),
    option: str = "A",
    stochastic_depth: float = 0.0,
    seed: Seed = 0,
    dtype: DTypeLike = "float32",
) -> Sequential:
    """ResNet-44, 658,586 parameters; as :func:`resnet20`."""
    return _cifar("resnet44", 7, option, stochastic_depth, num_classes, input_shape, seed, dtype)


@register
def resnet56(
    num_classes: int = 10,
    input_shape: Shape = (3, 32, 32),
    option: str = "A",
    stochastic_depth: float = 0.0,
    seed: Seed = 0,
    dtype: DTypeLike = "float32",
) -> Sequential:
    """ResNet-56, 853,018 parameters; as :func:`resnet20`."""
    return _cifar("resnet56", 9, option, stochastic_depth, num_classes, input_shape, seed, dtype)


def _unit(filters: int, *after: Layer) -> Sequential:
    return Sequential(_conv(filters), BatchNorm2d(), ReLU(), *after)


@register
def resnet9(
    num_classes: int = 10,
    input_shape: Shape = (3, 32, 32),
    width: int = 64,
    seed: Seed = 0,
    dtype: DTypeLike = "float32",
) -> Sequential:
    """A nine-layer residual net that trains quickly on 32x32 images, after the DAWNBench entries of 2018 (D. Page).

    conv 64; conv 128, pool, residual of two convs; conv 256, pool; conv 512, pool, residual; max over all pixels;
    linear.  6,573,130 parameters at width 64 and 10 classes.
    """
    model = Sequential(
        prep=_unit(width),
        layer1=_unit(2 * width, MaxPool2d(2)),
        residual1=Residual([_unit(2 * width), _unit(2 * width)]),
        layer2=_unit(4 * width, MaxPool2d(2)),
        layer3=_unit(8 * width, MaxPool2d(2)),
        residual2=Residual([_unit(8 * width), _unit(8 * width)]),
        pool=MaxPool2d((max(input_shape[-2] // 8, 1), max(input_shape[-1] // 8, 1))),
        flatten=Flatten(),
        linear=Linear(num_classes),
    )
    return built(model, "resnet9", input_shape, seed, dtype)
