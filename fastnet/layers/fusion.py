"""Several layers as one step: what a container does with its children before it runs them.

A ReLU disappears into the layer before it, or into the max pooling after it (the largest of the positive parts is the
positive part of the largest, on a quarter of the numbers).  A batch norm, or max pooling, joins the convolution before
it.  Parameters and their names stay where they are; results are those of the single layers, to the last bit, with three
exceptions: in inference batch norm is folded; the gradient of a convolution's bias before a batch norm is 0, not what
rounding leaves of it; before max pooling a convolution's gradients are sums over the maxima alone, rounded otherwise
(and what is not finite counts only where it is a maximum).
"""

from __future__ import annotations

from fastnet.layers.activation import ReLU
from fastnet.layers.conv import Conv2d
from fastnet.layers.linear import Linear
from fastnet.layers.norm import BatchNorm1d, BatchNorm2d
from fastnet.layers.parameter import weighted
from fastnet.layers.pool import MaxPool2d

__all__ = ["fused", "title", "Rectified", "Normalized", "Pooled"]

# Exactly these: a subclass may compute something else.
_WITH_RELU = (Conv2d, Linear, BatchNorm1d, BatchNorm2d, MaxPool2d)


def title(step) -> str:
    """What tables call a layer, or a step of several."""
    return step.title if isinstance(step, (Rectified, Normalized, Pooled)) else type(step).__name__


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
    """A convolution and its batch norm.

    In training the moments are summed up as the convolution writes, and its gradients take the norm's from the cache;
    in inference it is one convolution, ``conv(x)*scale + shift (+ add)``, then its positive part.
    """

    def __init__(self, conv: Conv2d, norm: BatchNorm2d):
        self.conv, self.norm = conv, norm

    @property
    def title(self) -> str:
        return f"{title(self.conv)}+{title(self.norm)}"

    @property
    def path(self) -> str:
        return self.conv.path

    def trains(self) -> bool:
        return self.conv.trains() or self.norm.trains()

    def run(self, x, training, ops, relu=False):
        y, backward = self._run(x, training, ops, ops.conv2d_batch_norm_backward, relu=relu)
        backward.adds = True
        return y, backward

    def run_sum(self, x, add, training, ops):
        """``relu(norm(conv(x)) + add)``, and its backward, which returns the gradients of x and of `add`."""
        others = []

        def gradient(dy, saved, needs):
            *gradients, dadd = ops.conv2d_batch_norm_backward(dy, saved, needs)
            others.append(dadd)
            return gradients

        y, backward = self._run(x, training, ops, gradient, add=add, relu=True)
        return y, lambda dy: (backward(dy), others.pop())

    def _run(self, x, training, ops, gradient, **ending):
        conv, norm = self.conv, self.norm
        bias = None if conv.bias is None else conv.bias.value
        statistics = norm.statistics(training)
        y, saved = ops.conv2d_batch_norm(x, conv.weight.value, bias, conv.geometry(x.shape), statistics, **ending)
        return y, weighted(gradient, saved, conv.weight, conv.bias, norm.weight, norm.bias)

    def infer(self, x, ops, add=None, relu=False):
        scale, shift = self.norm.as_affine()
        if self.conv.bias is not None:
            shift = shift + self.conv.bias.value * scale
        weight = self.conv.weight.value
        return ops.conv2d_scaled(x, weight, self.conv.geometry(x.shape), scale, shift, add=add, relu=relu)


class Pooled:
    """A convolution, with or without ReLU, and the max pooling after it, which finds what is convolved in the cache."""

    def __init__(self, conv: Conv2d, pool: MaxPool2d, relu: bool = False):
        self.conv, self.pool, self.relu = conv, pool, relu

    @property
    def title(self) -> str:
        return f"{title(self.conv)}{'+ReLU' if self.relu else ''}+{title(self.pool)}"

    @property
    def path(self) -> str:
        return self.conv.path

    def trains(self) -> bool:
        return self.conv.trains()

    def run(self, x, training, ops, relu=False):
        weight, bias, geometry = self.conv.weight, self.conv.bias, self.conv.geometry(x.shape)
        pooling, values = self.pool.geometry(geometry.y_shape), (weight.value, None if bias is None else bias.value)
        y, saved = ops.conv2d_max_pool(x, *values, geometry, pooling, relu or self.relu)
        backward = weighted(ops.conv2d_max_pool_backward, saved, weight, bias)
        backward.adds = True
        return y, backward

    def infer(self, x, ops, relu=False):
        return self.run(x, False, ops, relu)[0]


def fused(layers) -> list:
    """The steps that stand for `layers`, one after the other; each has a ``run`` and an ``infer``."""
    layers, steps = list(layers), []
    for before, layer, after in zip([None, *layers], layers, [*layers[1:], None], strict=False):
        if type(layer) is ReLU and type(after) is MaxPool2d:
            continue
        if type(layer) is MaxPool2d and steps and type(steps[-1]) is Conv2d:
            steps[-1] = Pooled(steps[-1], layer, type(before) is ReLU)
            continue
        if type(layer) is ReLU and steps and _rectifies(steps[-1]):
            steps[-1] = Rectified(steps[-1])
        elif type(layer) is BatchNorm2d and type(before) is Conv2d and layer.track_running_stats:
            steps[-1] = Normalized(before, layer)
        else:
            steps.append(Rectified(layer) if type(layer) is MaxPool2d and type(before) is ReLU else layer)
    return steps


def _rectifies(layer) -> bool:
    return type(layer) in _WITH_RELU or isinstance(layer, (Normalized, Pooled)) or getattr(layer, "rectifies", False)
