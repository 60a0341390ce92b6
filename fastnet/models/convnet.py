"""The three-layer network of the CS231n assignments."""

from __future__ import annotations

from fastnet.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential
from fastnet.models.registry import built, register

__all__ = ["three_layer_convnet"]


@register
def three_layer_convnet(
    num_classes=10,
    input_shape=(3, 32, 32),
    filters=32,
    kernel_size=7,
    hidden=100,
    initializer="kaiming_normal",
    seed=0,
    dtype="float32",
):
    """conv - relu - 2x2 max pool - affine - relu - affine (CS231n, "ThreeLayerConvNet").

    The convolution keeps the image's size.  The course starts from ``initializer=functools.partial(normal, std=1e-3)``.
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
