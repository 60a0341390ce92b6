"""AlexNet: of 2012, and in one column.

Krizhevsky, Sutskever & Hinton 2012, "ImageNet classification with deep convolutional neural networks"; Krizhevsky 2014,
"One weird trick for parallelizing convolutional neural networks".
"""

from __future__ import annotations

from fastnet.layers import (
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Sequential,
)
from fastnet.models.registry import built, register
from fastnet.types import DTypeLike, Seed, Shape

__all__ = ["alexnet", "alexnet_2012"]


@register
def alexnet(
    num_classes: int = 1000,
    input_shape: Shape = (3, 224, 224),
    dropout: float = 0.5,
    seed: Seed = 0,
    dtype: DTypeLike = "float32",
) -> Sequential:
    """AlexNet, 61,100,840 parameters at 224x224 and 1000 classes, with torchvision's names.

    Images up to 64x64 get a small form: 3x3 convolutions at stride 1 instead of 11x11 and 5x5, three 2x2 poolings, and
    1024 hidden units instead of 4096.
    """
    small = min(input_shape[-2:]) <= 64
    features, hidden = (_small(), 1024) if small else (_large(), 4096)
    model = Sequential(
        features=features,
        flatten=Flatten(),
        classifier=Sequential(
            Dropout(dropout), Linear(hidden), ReLU(), Dropout(dropout), Linear(hidden), ReLU(), Linear(num_classes)
        ),
    )
    return built(model, "alexnet", input_shape, seed, dtype)


def _large() -> Sequential:
    return Sequential(
        Conv2d(64, 11, stride=4, padding=2),
        ReLU(),
        MaxPool2d(3, 2),
        Conv2d(192, 5, padding=2),
        ReLU(),
        MaxPool2d(3, 2),
        *_last_three(),
        MaxPool2d(3, 2),
    )


def _small() -> Sequential:
    return Sequential(
        Conv2d(64, 3, padding=1),
        ReLU(),
        MaxPool2d(2),
        Conv2d(192, 3, padding=1),
        ReLU(),
        MaxPool2d(2),
        *_last_three(),
        MaxPool2d(2),
    )


def _last_three() -> list[Layer]:
    return [layer for filters in (384, 256, 256) for layer in (Conv2d(filters, 3, padding=1), ReLU())]


@register
def alexnet_2012(
    num_classes: int = 1000,
    input_shape: Shape = (3, 227, 227),
    dropout: float = 0.5,
    seed: Seed = 0,
    dtype: DTypeLike = "float32",
) -> Sequential:
    """AlexNet of 2012, 60,965,224 parameters at 227x227 and 1000 classes, with Caffe's names.

    Two groups in conv2, conv4 and conv5, which were two GPUs; local response norm after the first two; overlapping
    pooling, 3x3 at stride 2.  Weights begin as those of all models here, not with the paper's standard deviation 0.01,
    and all biases with 0.

    Images up to 64x64 get a 3x3 convolution at stride 1 in place of the 11x11 at stride 4, and 1024 hidden units.
    """
    small = min(input_shape[-2:]) <= 64
    hidden = 1024 if small else 4096
    model = Sequential(
        conv1=Conv2d(96, 3, padding=1) if small else Conv2d(96, 11, stride=4),
        relu1=ReLU(),
        norm1=LocalResponseNorm(5, 5e-4, 0.75, 2.0),
        pool1=MaxPool2d(3, 2),
        conv2=Conv2d(256, 5, padding=2, groups=2),
        relu2=ReLU(),
        norm2=LocalResponseNorm(5, 5e-4, 0.75, 2.0),
        pool2=MaxPool2d(3, 2),
        conv3=Conv2d(384, 3, padding=1),
        relu3=ReLU(),
        conv4=Conv2d(384, 3, padding=1, groups=2),
        relu4=ReLU(),
        conv5=Conv2d(256, 3, padding=1, groups=2),
        relu5=ReLU(),
        pool5=MaxPool2d(3, 2),
        flatten=Flatten(),
        fc6=Linear(hidden),
        relu6=ReLU(),
        drop6=Dropout(dropout),
        fc7=Linear(hidden),
        relu7=ReLU(),
        drop7=Dropout(dropout),
        fc8=Linear(num_classes),
    )
    return built(model, "alexnet_2012", input_shape, seed, dtype)
