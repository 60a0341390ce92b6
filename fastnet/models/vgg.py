"""VGG (Simonyan & Zisserman 2015, arXiv:1409.1556), configurations A, B, D and E."""

from __future__ import annotations

from collections.abc import Callable

from fastnet.layers import BatchNorm2d, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, ReLU, Sequential
from fastnet.models.registry import built, register
from fastnet.types import DTypeLike, Seed, Shape

__all__ = ["vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"]

_DEPTHS = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}


def _vgg(name: str, num_classes: int, input_shape: Shape, dropout: float, seed: Seed, dtype: DTypeLike) -> Sequential:
    depths, batch_norm = _DEPTHS[name.removesuffix("_bn")], name.endswith("_bn")
    features: list[Layer] = []
    for depth, filters in zip(depths, (64, 128, 256, 512, 512), strict=True):
        for _ in range(depth):
            features += [Conv2d(filters, 3, padding=1), *([BatchNorm2d()] if batch_norm else []), ReLU()]
        features.append(MaxPool2d(2))
    hidden = 512 if min(input_shape[-2:]) <= 64 else 4096
    model = Sequential(
        features=Sequential(*features),
        flatten=Flatten(),
        classifier=Sequential(
            Linear(hidden), ReLU(), Dropout(dropout), Linear(hidden), ReLU(), Dropout(dropout), Linear(num_classes)
        ),
    )
    return built(model, name, input_shape, seed, dtype)


_DOC = """VGG with {layers} weight layers{norm}: {count:,} parameters at 224x224 and 1000 classes, torchvision's names.

    Images up to 64x64 get 512 hidden units in the classifier instead of 4096.
    """


def _define(name: str, count: int) -> Callable[..., Sequential]:
    def factory(
        num_classes: int = 1000,
        input_shape: Shape = (3, 224, 224),
        dropout: float = 0.5,
        seed: Seed = 0,
        dtype: DTypeLike = "float32",
    ) -> Sequential:
        return _vgg(name, num_classes, input_shape, dropout, seed, dtype)

    factory.__name__ = factory.__qualname__ = name
    norm = " and batch norm" if name.endswith("_bn") else ""
    factory.__doc__ = _DOC.format(layers=name[3:5], norm=norm, count=count)
    return register(factory)


vgg11 = _define("vgg11", 132_863_336)
vgg13 = _define("vgg13", 133_047_848)
vgg16 = _define("vgg16", 138_357_544)
vgg19 = _define("vgg19", 143_667_240)
vgg11_bn = _define("vgg11_bn", 132_868_840)
vgg13_bn = _define("vgg13_bn", 133_053_736)
vgg16_bn = _define("vgg16_bn", 138_365_992)
vgg19_bn = _define("vgg19_bn", 143_678_248)
