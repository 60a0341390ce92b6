"""EfficientNet-Lite0: EfficientNet-B0 (Tan & Le 2019, arXiv:1905.11946) without what embedded hardware lacks.

Lite has no squeeze-and-excitation, and ReLU6 in place of Swish; convolutions are padded as TensorFlow's "SAME", which
at stride 2 pads more at the bottom and at the right.
"""

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

__all__ = ["efficientnet_lite0"]

# kernel size, expansion, channels, blocks, stride of the first block
_STAGES = (
    (3, 1, 16, 1, 1),
    (3, 6, 24, 2, 2),
    (5, 6, 40, 2, 2),
    (3, 6, 80, 3, 2),
    (5, 6, 112, 3, 1),
    (5, 6, 192, 4, 2),
    (3, 6, 320, 1, 1),
)


def _conv(filters: int, kernel_size: int, stride: int = 1, groups: int = 1) -> Conv2d:
    return Conv2d(filters, kernel_size, stride=stride, padding="same", groups=groups, bias=False)


def _norm() -> BatchNorm2d:
    return BatchNorm2d(eps=1e-3)


def _block(channels: int, filters: int, kernel_size: int, stride: int, expansion: int) -> Layer:
    """A 1x1 convolution to `expansion` times the channels, a depthwise one, and a linear 1x1 one to `filters`."""
    wide = channels * expansion
    layers: dict[str, Layer] = {}
    if expansion > 1:
        layers |= {"conv_pw": _conv(wide, 1), "bn1": _norm(), "act1": ReLU6()}
        depthwise, last, project = "bn2", "bn3", "conv_pwl"
    else:
        depthwise, last, project = "bn1", "bn2", "conv_pw"
    layers |= {"conv_dw": _conv(wide, kernel_size, stride, wide), depthwise: _norm(), "act_dw": ReLU6()}
    body = Sequential({**layers, project: _conv(filters, 1), last: _norm()})
    return Residual(body, names=("_body", "shortcut")) if stride == 1 and channels == filters else body


@register
def efficientnet_lite0(
    num_classes: int = 1000,
    input_shape: Shape = (3, 224, 224),
    dropout: float = 0.2,
    seed: Seed = 0,
    dtype: DTypeLike = "float32",
) -> Sequential:
    """EfficientNet-Lite0, 4,652,008 parameters at 1000 classes, with timm's names (tf_efficientnet_lite0)."""
    stages, channels = [], 32
    for kernel_size, expansion, filters, blocks, stride in _STAGES:
        stage = []
        for i in range(blocks):
            stage.append(_block(channels, filters, kernel_size, stride if i == 0 else 1, expansion))
            channels = filters
        stages.append(Sequential(*stage))
    model = Sequential(
        conv_stem=_conv(32, 3, 2),
        bn1=_norm(),
        act1=ReLU6(),
        blocks=Sequential(*stages),
        conv_head=_conv(1280, 1),
        bn2=_norm(),
        act2=ReLU6(),
        pool=GlobalAvgPool2d(),
        flatten=Flatten(),
        dropout=Dropout(dropout),
        classifier=Linear(num_classes),
    )
    return built(model, "efficientnet_lite0", input_shape, seed, dtype)
