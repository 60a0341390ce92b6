"""Residual networks for 32x32 images without normalization (Zhang, Dauphin & Ma 2019, arXiv:1901.09321)."""

from __future__ import annotations

from fastnet.initializers import fixup
from fastnet.layers import (
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    Linear,
    ReLU,
    Residual,
    ScalarAffine,
    Sequential,
    Subsample,
)
from fastnet.models.registry import built, register
from fastnet.types import DTypeLike, Seed, Shape

__all__ = ["fixup_resnet20", "fixup_resnet56", "fixup_resnet110"]


def _conv(filters: int, stride: int = 1) -> Conv2d:
    return Conv2d(filters, 3, stride=stride, padding=1, bias=False)


def _bias() -> ScalarAffine:
    return ScalarAffine(scale=False)


def _block(channels: int, width: int, stride: int) -> Sequential:
    body: dict[str, Layer] = {
        "bias1a": _bias(),
        "conv1": _conv(width, stride),
        "bias1b": _bias(),
        "relu1": ReLU(),
        "bias2a": _bias(),
        "conv2": _conv(width),
        "scale": ScalarAffine(),  # the branch's multiplier, and its last bias
    }
    shortcut = None if stride == 1 and channels == width else Subsample(stride, width)
    return Sequential(_sum=Residual(body, shortcut, names=("_body", "shortcut")), relu=ReLU())


def _fixup(name: str, blocks: int, num_classes: int, input_shape: Shape, seed: Seed, dtype: DTypeLike) -> Sequential:
    stages: dict[str, Layer] = {}
    channels = 16
    for i, width in enumerate((16, 32, 64)):
        stage = []
        for stride in [1 if i == 0 else 2] + [1] * (blocks - 1):
            stage.append(_block(channels, width, stride))
            channels = width
        stages[f"layer{i + 1}"] = Sequential(*stage)
    model = Sequential(
        {"conv1": _conv(16), "bias1": _bias(), "relu": ReLU()},
        **stages,
        avgpool=GlobalAvgPool2d(),
        flatten=Flatten(),
        bias2=_bias(),
        linear=Linear(num_classes),
    )
    built(model, name, input_shape, seed, dtype)
    fixup(model, seed)
    return model


@register
def fixup_resnet20(
    num_classes: int = 10, input_shape: Shape = (3, 32, 32), seed: Seed = 0, dtype: DTypeLike = "float32"
) -> Sequential:
    """ResNet-20 with scalar biases and multipliers in place of batch norms, 268,393 parameters.

    It begins with every branch at 0, and with classes of equal scores; see `fastnet.initializers.fixup`.
    """
    return _fixup("fixup_resnet20", 3, num_classes, input_shape, seed, dtype)


@register
def fixup_resnet56(
    num_classes: int = 10, input_shape: Shape = (3, 32, 32), seed: Seed = 0, dtype: DTypeLike = "float32"
) -> Sequential:
    """ResNet-56 without normalization, 849,091 parameters; as :func:`fixup_resnet20`."""
    return _fixup("fixup_resnet56", 9, num_classes, input_shape, seed, dtype)


@register
def fixup_resnet110(
    num_classes: int = 10, input_shape: Shape = (3, 32, 32), seed: Seed = 0, dtype: DTypeLike = "float32"
) -> Sequential:
    """ResNet-110 without normalization, 1,720,138 parameters; as :func:`fixup_resnet20`."""
    return _fixup("fixup_resnet110", 18, num_classes, input_shape, seed, dtype)
