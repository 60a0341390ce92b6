"""SqueezeNet (Iandola et al. 2016, arXiv:1602.07360)."""

from __future__ import annotations

from collections.abc import Iterable

from fastnet.layers import Concat, Conv2d, Dropout, Flatten, GlobalAvgPool2d, Layer, MaxPool2d, ReLU, Sequential
from fastnet.models.registry import built, register
from fastnet.types import DTypeLike, Seed, Shape

__all__ = ["squeezenet1_0", "squeezenet1_1"]


def _fire(squeeze: int, expand: int) -> Sequential:
    """1x1 down to `squeeze` channels, then `expand` channels by 1x1 and `expand` by 3x3, concatenated."""
    return Sequential(
        squeeze=Conv2d(squeeze, 1),
        squeeze_activation=ReLU(),
        _expand=Concat(
            _1=Sequential(expand1x1=Conv2d(expand, 1), expand1x1_activation=ReLU()),
            _3=Sequential(expand3x3=Conv2d(expand, 3, padding=1), expand3x3_activation=ReLU()),
        ),
    )


def _pool() -> MaxPool2d:
    return MaxPool2d(3, 2, ceil_mode=True)


def _squeezenet(
    name: str,
    features: Iterable[Layer],
    num_classes: int,
    input_shape: Shape,
    dropout: float,
    seed: Seed,
    dtype: DTypeLike,
) -> Sequential:
    model = Sequential(
        features=Sequential(*features),
        classifier=Sequential(Dropout(dropout), Conv2d(num_classes, 1), ReLU(), GlobalAvgPool2d()),
        flatten=Flatten(),
    )
    return built(model, name, input_shape, seed, dtype)


@register
def squeezenet1_0(
    num_classes: int = 1000,
    input_shape: Shape = (3, 224, 224),
    dropout: float = 0.5,
    seed: Seed = 0,
    dtype: DTypeLike = "float32",
) -> Sequential:
    """SqueezeNet 1.0, 1,248,424 parameters at 1000 classes, with torchvision's names."""
    features = [
        Conv2d(96, 7, stride=2),
        ReLU(),
        _pool(),
        *(_fire(16, 64), _fire(16, 64), _fire(32, 128)),
        _pool(),
        *(_fire(32, 128), _fire(48, 192), _fire(48, 192), _fire(64, 256)),
        _pool(),
        _fire(64, 256),
    ]
    return _squeezenet("squeezenet1_0", features, num_classes, input_shape, dropout, seed, dtype)


@register
def squeezenet1_1(
    num_classes: int = 1000,
    input_shape: Shape = (3, 224, 224),
    dropout: float = 0.5,
    seed: Seed = 0,
    dtype: DTypeLike = "float32",
) -> Sequential:
    """SqueezeNet 1.1, 1,235,496 parameters at 1000 classes and 2.4 times fewer operations, with torchvision's names."""
    features = [
        Conv2d(64, 3, stride=2),
        ReLU(),
        _pool(),
        *(_fire(16, 64), _fire(16, 64)),
        _pool(),
        *(_fire(32, 128), _fire(32, 128)),
        _pool(),
        *(_fire(48, 192), _fire(48, 192), _fire(64, 256), _fire(64, 256)),
    ]
    return _squeezenet("squeezenet1_1", features, num_classes, input_shape, dropout, seed, dtype)
