"""Several layers as one step: what a container does with its children before it runs them.

A ReLU disappears into the layer before it, or into the max pooling after it (the largest of the positive parts is the
positive part of the largest, on a quarter of the numbers).  For inference, batch norm becomes a scale and a shift
inside the convolution before it.  Parameters and their names stay where they are; results are those of the single
layers, to the last bit except where batch norm is folded.
"""

from __future__ import annotations

from fastnet.layers.activation import ReLU
from fastnet.layers.conv import Conv2d
from fastnet.layers.linear import Linear
from fastnet.layers.norm import BatchNorm1d, BatchNorm2d
from fastnet.layers.pool import MaxPool2d

__all__ = ["training_steps", "inference_steps", "title", "Rectified", "Normalized"]

# Exactly these: a subclass may compute something else.
_WITH_RELU = {Conv2d, Linear, BatchNorm1d, BatchNorm2d, MaxPool2d}


def title(step) -> str:
    """What tables call a layer, or a step of several."""
    return step.title if isinstance(step, (Rectified, Normalized)) else type(step).__name__


class Rectified:
    """A layer and the ReLU that follows it (or, for max pooling, goes before it)."""

    traced = True

    def __init__(self, layer):
        self.layer = layer

    @property
    def title(self) -> str:
        return f"{title(self.layer)}+ReLU"

    @property
    def own(self):
        return self.layer.own

    @property
    def path(self) -> str:
        return self.layer.path

    def trains(self) -> bool:
        return self.layer.trains()

    def run(self, x, training, ops):
        return self.layer.run(x, training, ops, relu=True)

    def infer(self, x, ops):
        return self.layer.infer(x, ops, relu=True)


class Normalized:
    """A convolution and its batch norm in inference: ``conv(x)*scale + shift (+ add)``, then its positive part."""

    def __init__(self, conv: Conv2d, norm: BatchNorm2d):
        self.conv, self.norm = conv, norm

    @property
    def title(self) -> str:
        return f"{title(self.conv)}+{title(self.norm)}"

    @property
    def path(self) -> str:
        return self.conv.path

    def infer(self, x, ops, add=None, relu=False):
        scale, shift = self.norm.as_affine()
        if self.conv.bias is not None:
            shift = shift + self.conv.bias.value * scale
        weight = self.conv.weight.value
        return ops.conv2d_scaled(x, weight, self.conv.geometry(x.shape), scale, shift, add=add, relu=relu)


def training_steps(layers) -> list:
    """The steps that stand for `layers`, one after the other; each has ``run(x, training, ops)``."""
    layers, steps = list(layers), []
    for before, layer, after in zip([None, *layers], layers, [*layers[1:], None], strict=False):
        if type(layer) is ReLU and type(after) is MaxPool2d:
            continue
        if type(layer) is ReLU and steps and _rectifies(steps[-1]):
            steps[-1] = Rectified(steps[-1])
        else:
            steps.append(Rectified(layer) if type(layer) is MaxPool2d and type(before) is ReLU else layer)
    return steps


def inference_steps(steps) -> list:
    """The same with batch norms folded; each has ``infer(x, ops)``."""
    folded = []
    for layer in steps:
        rectified = isinstance(layer, Rectified)
        norm = layer.layer if rectified else layer
        if type(norm) is BatchNorm2d and norm.track_running_stats and folded and type(folded[-1]) is Conv2d:
            fused = Normalized(folded[-1], norm)
            folded[-1] = Rectified(fused) if rectified else fused
        else:
            folded.append(layer)
    return folded


def _rectifies(layer) -> bool:
    return type(layer) in _WITH_RELU or getattr(layer, "rectifies", False)
