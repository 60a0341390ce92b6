"""The three-layer network of the CS231n assignments."""

from __future__ import annotations

from fastnet.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential
from fastnet.models.registry import built, register
from fastnet.types import DTypeLike, Initializer, Seed, Shape

__all__ = ["three_layer_convnet"]


@register
def three_layer_convnet(
    num_classes: int = 10,
    input_shape: Shape = (3, 32, 32),
    filters: int = 32,
    kernel_size: int = 7,
    hidden: int = 100,
    initializer: str | Initializer = "kaiming_normal",
    seed: Seed = 0,
    dtype: DTypeLike = "float32",
) -> Sequential:
    """conv - relu - 2x2 max pool - affine - relu - affine (CS231n, "ThreeLayerConvNet").

    The convolution keeps the image's size.  The course's ``initializer`` is ``functools.partial(normal, std=1e-3)``.
    """
    model = Sequential(
        conv=Conv2d(filters, kernel_size, padding="same", initializer=initializer),
        relu1=ReLU(),
        pool=MaxPool2d(2),
        flatten=Flatten(),
        fc1=Linear(hidden, initializer=initializer),
        relu2=ReLU(),
        fc2=Linear(num_classes, initializer=initializer),
    )
    return built(model, "three_layer_convnet", input_shape, seed, dtype)
