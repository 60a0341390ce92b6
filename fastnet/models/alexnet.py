"""AlexNet in one column (Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks")."""

from __future__ import annotations

from fastnet.layers import Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, ReLU, Sequential
from fastnet.models.registry import built, register
from fastnet.types import DTypeLike, Seed, Shape

__all__ = ["alexnet"]


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
