"""Batch normalisation (Ioffe & Szegedy 2015, arXiv:1502.03167)."""

from __future__ import annotations

from typing import Any

from fastnet.layers.base import Layer, Parameter, count
from fastnet.layers.parameter import weighted
from fastnet.layers.sizes import check_declared
from fastnet.types import DType, Generator, Shape

__all__ = ["BatchNorm1d", "BatchNorm2d"]


class _BatchNorm(Layer):
    """Arguments and arithmetic are PyTorch's.

    Parameters
    ----------
    num_features : int, optional
        The number of channels: inferred, or checked, when the layer is built.
    eps : float
        Added to the variance.
    momentum : float
        Weight of the *new* value in the running statistics (0.1); Keras and many courses give the weight of the old
        one (0.9).  The running variance is the unbiased one.
    affine : bool
        Whether each channel has a weight (gamma, starts at 1) and a bias (beta, starts at 0).
    track_running_stats : bool
        Without, inference normalises with the batch's own statistics too.

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
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        name = type(self).__name__
        self.num_features = None if num_features is None else count(num_features, f"{name}: num_features")
        if not eps > 0:
            raise ValueError(f"{name}: eps must be positive, got {eps!r}")
        if not (isinstance(momentum, (int, float)) and 0 <= momentum <= 1):
            raise ValueError(f"{name}: momentum, the weight of the new value, must be in [0, 1], got {momentum!r}")
        self.eps, self.momentum = float(eps), float(momentum)
        self.affine, self.track_running_stats = bool(affine), bool(track_running_stats)
        self.frozen = False
        self.weight: Parameter | Any = None  # None until built
        self.bias: Parameter | Any = None  # None until built
        self.running_mean: Parameter | Any = None  # None until built
        self.running_var: Parameter | Any = None  # None until built

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        if len(shape) != self._axes:
            expected = "(N, C)" if self._axes == 1 else "(N, C, H, W)"
            raise ValueError(f"{type(self).__name__}: expects {expected}, got examples of shape {shape}")
        check_declared(type(self).__name__, "num_features", self.num_features, shape[0], " channels")
        channels = shape[:1]
        if self.affine:
            self.parameter("weight", channels, "ones", rng, dtype, decay=False)
            self.parameter("bias", channels, "zeros", rng, dtype, decay=False)
        if self.track_running_stats:
            self.parameter("running_mean", channels, "zeros", rng, dtype, buffer=True)
            self.parameter("running_var", channels, "ones", rng, dtype, buffer=True)
        return shape

    def run(self, x, training, ops, relu=False):
        op, gradient = ops.batch_norm, ops.batch_norm_backward
        if relu:
            op, gradient = ops.batch_norm_relu, ops.batch_norm_relu_backward
        y, saved = op(x, *self.statistics(training))
        return y, weighted(gradient, saved, self.weight, self.bias)

    def run_sum(self, x, add, training, ops):
        """``relu(run(x) + add)``, and its backward, which returns the gradients of x and of `add`."""
        y, saved = ops.batch_norm_relu(x, *self.statistics(training), add=add)
        others = []

        def gradient(dy, saved, needs):
            *gradients, dadd = ops.batch_norm_relu_backward(dy, saved, needs)
            others.append(dadd)
            return gradients

        inner = weighted(gradient, saved, self.weight, self.bias)
        return y, lambda dy: (inner(dy), others.pop())

    def as_affine(self):
        """(scale, shift) for each channel, with which running statistics normalise."""
        mean, var = (p.value.astype("float64") for p in (self.running_mean, self.running_var))
        scale = (var + self.eps) ** -0.5
        if self.affine:
            scale = scale * self.weight.value
        shift = -mean * scale
        if self.affine:
            shift = shift + self.bias.value
        return scale.astype(self.dtype), shift.astype(self.dtype)

    def statistics(self, training):
        """What ``batch_norm`` takes besides x."""
        gamma, beta = (self.weight, self.bias) if self.affine else (None, None)
        mean, var = (self.running_mean.value, self.running_var.value) if self.track_running_stats else (None, None)
        batch_statistics = not self.track_running_stats or (training and not self.frozen)
        return gamma and gamma.value, beta and beta.value, mean, var, batch_statistics, self.momentum, self.eps


class BatchNorm1d(_BatchNorm):
    __doc__ = "Normalise each column of (N, C).  " + _BatchNorm.__doc__
    _axes = 1


class BatchNorm2d(_BatchNorm):
    __doc__ = "Normalise each channel of (N, C, H, W).  " + _BatchNorm.__doc__
    _axes = 3
