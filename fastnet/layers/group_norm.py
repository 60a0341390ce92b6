"""Normalisations of each image alone: layer, group and instance norm, and local response norm.

Ba, Kiros & Hinton 2016 (arXiv:1607.06450), Wu & He 2018 (arXiv:1803.08494), Ulyanov, Vedaldi & Lempitsky 2016
(arXiv:1607.08022), Krizhevsky, Sutskever & Hinton 2012.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnet.arguments import flag
from fastnet.graph import Node, Recorder
from fastnet.layers.base import Layer, Parameter, count
from fastnet.layers.sizes import check_declared
from fastnet.ops.checks import check_eps, check_norm, check_response, normalized
from fastnet.types import DType, Generator, Shape

__all__ = ["GroupNorm", "InstanceNorm1d", "InstanceNorm2d", "LayerNorm", "LocalResponseNorm"]


class _Affine(Layer):
    """A layer with a weight and a bias, or one of them, or neither."""

    def __init__(self, eps: float, weight: bool, bias: bool) -> None:
        self.eps, self._affine = eps, (weight, bias)
        self.weight: Parameter | Any = None  # None until built
        self.bias: Parameter | Any = None  # None until built

    def affine_parameters(self, shape: Shape, rng: Generator, dtype: DType) -> None:
        for name, given, start in zip(("weight", "bias"), self._affine, ("ones", "zeros"), strict=True):
            if given:
                self.parameter(name, shape, start, rng, dtype, decay=False)


class LayerNorm(_Affine):
    """Normalise each example over its last axes, then scale and shift each of its elements.

    Parameters
    ----------
    normalized_shape : int or tuple of int, optional
        The sizes of these axes: (C, H, W) of images, D of (N, D) or (N, L, D).  By default all but the first axis.
    eps : float
        Added to the biased variance.
    elementwise_affine : bool
        Whether there is a weight (starts at 1) of this shape, and with `bias` a bias (starts at 0).
    bias : bool
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int] | None = None,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        self.normalized_shape = None if normalized_shape is None else normalized("LayerNorm", normalized_shape)
        self.elementwise_affine = flag(elementwise_affine, "LayerNorm: elementwise_affine")
        bias = flag(bias, "LayerNorm: bias")
        super().__init__(check_eps("LayerNorm", eps), self.elementwise_affine, self.elementwise_affine and bias)

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        sizes = self._sizes(shape)
        if len(shape) > 3 or len(sizes) > len(shape) or shape[len(shape) - len(sizes) :] != sizes:
            raise ValueError(f"LayerNorm: examples must end in normalized_shape {sizes}, got examples of shape {shape}")
        self.affine_parameters(sizes, rng, dtype)
        return shape

    def _sizes(self, shape: Shape) -> Shape:
        if self.normalized_shape is not None:
            return self.normalized_shape
        return tuple(shape if self.weight is None else self.weight.shape)

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.layer_norm(x, self.weight, self.bias, self._sizes(tuple(x.shape[1:])), self.eps)


class GroupNorm(_Affine):
    """Normalise groups of adjacent channels of each image, then scale and shift each channel.

    Takes (N, C), (N, C, L) or (N, C, H, W).  One group is a layer norm with a weight for each channel; a group for each
    channel is an instance norm.

    Parameters
    ----------
    num_groups : int
        Divides the number of channels.
    num_channels : int, optional
        Inferred, or checked, when the layer is built.
    eps : float
        Added to the biased variance.
    affine : bool
        Whether each channel has a weight (starts at 1) and a bias (starts at 0).
    """

    def __init__(
        self, num_groups: int, num_channels: int | None = None, eps: float = 1e-5, affine: bool = True
    ) -> None:
        self.num_groups = count(num_groups, "GroupNorm: num_groups")
        self.num_channels = None if num_channels is None else count(num_channels, "GroupNorm: num_channels")
        self.affine = flag(affine, "GroupNorm: affine")
        if self.num_channels is not None and self.num_channels % self.num_groups:
            raise ValueError(f"GroupNorm: num_groups={num_groups} must divide num_channels={num_channels}")
        super().__init__(check_eps("GroupNorm", eps), self.affine, self.affine)

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        if not 1 <= len(shape) <= 3:
            raise ValueError(f"GroupNorm: expects (N, C), (N, C, L) or (N, C, H, W), got examples of shape {shape}")
        check_declared("GroupNorm", "num_channels", self.num_channels, shape[0], " channels")
        if shape[0] % self.num_groups:
            raise ValueError(f"GroupNorm: num_groups={self.num_groups} must divide the input's {shape[0]} channels")
        self.affine_parameters(shape[:1], rng, dtype)
        return shape

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.group_norm(x, self.weight, self.bias, self.num_groups, self.eps)


class _InstanceNorm(_Affine):
    """Arguments and arithmetic are PyTorch's.

    Parameters
    ----------
    num_features : int, optional
        The number of channels: inferred, or checked, when the layer is built.
    eps : float
        Added to the biased variance.
    momentum : float
        Weight of the new value in the running statistics.
    affine : bool
        Whether each channel has a weight (starts at 1) and a bias (starts at 0).
    track_running_stats : bool
        Whether training keeps running means of the images' means and unbiased variances, which inference normalises
        with.  Otherwise inference, too, normalises each image by its own.

    Attributes
    ----------
    frozen : bool
        Set by ``freeze``: running statistics are used, and not updated, even with ``training=True``.
    """

    _axes = 0

    def __init__(
        self,
        num_features: int | None = None,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
    ) -> None:
        name = type(self).__name__
        self.num_features = None if num_features is None else count(num_features, f"{name}: num_features")
        eps, self.momentum = check_norm(name, eps, momentum)
        self.affine = flag(affine, f"{name}: affine")
        self.track_running_stats = flag(track_running_stats, f"{name}: track_running_stats")
        self.frozen = False
        self.running_mean: Parameter | Any = None  # None until built
        self.running_var: Parameter | Any = None  # None until built
        super().__init__(eps, self.affine, self.affine)

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        name = type(self).__name__
        if len(shape) != self._axes:
            expected = "(N, C, H, W)" if self._axes == 3 else "(N, C, L)"
            raise ValueError(f"{name}: expects {expected}, got examples of shape {shape}")
        check_declared(name, "num_features", self.num_features, shape[0], " channels")
        self.affine_parameters(shape[:1], rng, dtype)
        if self.track_running_stats:
            self.parameter("running_mean", shape[:1], "zeros", rng, dtype, buffer=True)
            self.parameter("running_var", shape[:1], "ones", rng, dtype, buffer=True)
        return shape

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        running = self.running_mean, self.running_var
        if self.track_running_stats and (self.frozen or not training):
            return ops.batch_norm(x, self.weight, self.bias, *running, False, self.momentum, self.eps)
        return ops.instance_norm(x, self.weight, self.bias, *running, self.momentum, self.eps)


class InstanceNorm1d(_InstanceNorm):
    __doc__ = f"Normalise each channel of each signal of (N, C, L).  {_InstanceNorm.__doc__}"
    _axes = 2


class InstanceNorm2d(_InstanceNorm):
    __doc__ = f"Normalise each channel of each image of (N, C, H, W).  {_InstanceNorm.__doc__}"
    _axes = 3


class LocalResponseNorm(Layer):
    """x / (k + alpha/size * sum of x^2)^beta: the sum runs over `size` channels around each, of the same pixel.

    Takes (N, C), (N, C, L) or (N, C, H, W).  The constants are PyTorch's, which divides alpha by the size.  AlexNet's
    paper does not: its n=5, alpha=1e-4, beta=0.75, k=2 are ``LocalResponseNorm(5, 5e-4, 0.75, 2.0)``.

    Parameters
    ----------
    size : int
        Channels in the sum, from c - size//2 on; those outside count as 0.
    alpha, beta, k : float
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        numbers = check_response("LocalResponseNorm", size, alpha, beta, k)
        self.size, self.alpha, self.beta, self.k = numbers

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        if not 1 <= len(shape) <= 3:
            raise ValueError(
                f"LocalResponseNorm: expects (N, C), (N, C, L) or (N, C, H, W), got examples of shape {shape}"
            )
        return shape

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.local_response_norm(x, self.size, self.alpha, self.beta, self.k)
