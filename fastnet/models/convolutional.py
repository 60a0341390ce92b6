"""Classifiers as fully convolutional networks: their linear layers become convolutions."""

from __future__ import annotations

import copy

from fastnet.layers import (
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Identity,
    Layer,
    Linear,
    Model,
    Sequential,
    activation,
)
from fastnet.types import Shape

__all__ = ["fully_convolutional"]

_ACTIVATIONS = tuple(getattr(activation, name) for name in activation.__all__)
_ANY_SIZE = (GlobalAvgPool2d, AdaptiveAvgPool2d, AdaptiveMaxPool2d)


def fully_convolutional(model: Model) -> Sequential:
    """The same classifier without its Flatten, for images of the original size and larger ones.

    The first linear layer, on C x H x W numbers, becomes a convolution with H x W kernels, the others convolutions with
    1 x 1 kernels, with the same weights (CS231n's readings; Long et al. 2015, arXiv:1411.4038).  An image of the
    original size gives the same scores, (N, classes, 1, 1).  On a larger one the network gives a map of scores, as if
    the classifier had been moved over it in strides of its pooling, and computes what positions share only once: VGG
    for 224x224 images gives 6x6x1000 scores of 384x384 pixels.

    Parameters
    ----------
    model : Sequential
        Built; layers, Flatten, then linear layers with activations, dropout and batch norm between them.  It stays as
        it is; the result has copies of its weights, under the same names.

    Returns
    -------
    Sequential
        Built for the same input shape, with outputs (N, classes, P, Q).

    Raises
    ------
    TypeError, ValueError
        A model without Flatten, or with layers that have no convolutional form.
    """
    if not isinstance(model, Sequential):
        raise TypeError(f"fully_convolutional: the model must be a Sequential, got {type(model).__name__}")
    if not model.built:
        raise ValueError("fully_convolutional: build the model first; its input shape decides the kernels' size")
    conversion = _Conversion()
    found = conversion.container(model)
    if conversion.flat is None:
        raise TypeError(
            "fully_convolutional: the model has no Flatten, which separates convolutions from linear layers"
        )
    found.build(model.input_shape, dtype=model.dtype)
    shapes = {name: value.shape for name, value in found.state_dict().items()}
    found.load_state_dict({name: value.reshape(shapes[name]) for name, value in model.state_dict().items()})
    found.preprocessing, found.class_names = model.preprocessing, model.class_names
    return found


class _Conversion:
    """Converts layers in order; `flat` is the shape that Flatten was given, once it has come."""

    def __init__(self) -> None:
        self.flat: Shape | None = None
        self.linear = False  # whether a linear layer has come

    def container(self, model: Sequential) -> Sequential:
        return Sequential({name: self.layer(child) for name, child in model.children().items()})

    def layer(self, layer: Layer) -> Layer:
        if isinstance(layer, Sequential):
            return self.container(layer)
        if isinstance(layer, Flatten):
            self.flat = layer.input_shape
            return Identity()
        if self.flat is None:
            if isinstance(layer, _ANY_SIZE):
                raise ValueError(
                    f"fully_convolutional: {layer!r} gives the same size for every image, so there would be no map of "
                    "scores; without it, the model's last convolutions can be turned"
                )
            return copy.deepcopy(layer)
        if isinstance(layer, Linear):
            inputs, *kernel = (*layer.input_shape, 1, 1) if self.linear else self.flat
            self.linear = True
            return Conv2d(inputs, layer.out_features, (kernel[0], kernel[1]), bias=layer.use_bias, initializer="zeros")
        if isinstance(layer, BatchNorm1d) and self.linear:
            return BatchNorm2d(eps=layer.eps, momentum=layer.momentum)
        if isinstance(layer, (*_ACTIVATIONS, Dropout, Identity)):
            return copy.deepcopy(layer)
        raise TypeError(f"fully_convolutional: {layer!r} after Flatten has no form for images")
