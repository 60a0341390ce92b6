"""Batch normalisation (Ioffe & Szegedy 2015, arXiv:1502.03167)."""

from __future__ import annotations

from typing import Any

from fastnet.arguments import flag
from fastnet.graph import Node, Recorder
from fastnet.layers.base import Layer, Parameter, count
from fastnet.layers.sizes import check_declared
from fastnet.ops.checks import check_norm
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
        If False, inference normalises with the batch's statistics too.

    Attributes
    ----------
    frozen : bool
        Set by ``freeze``: running statistics are used, and not updated, even with ``training=True``.
    """

    _axes: tuple[int, ...] = ()

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
        self.eps, self.momentum = check_norm(name, eps, momentum)
        self.affine = flag(affine, f"{name}: affine")
        self.track_running_stats = flag(track_running_stats, f"{name}: track_running_stats")
        self.frozen = False
        self.weight: Parameter | Any = None  # None until built
        self.bias: Parameter | Any = None  # None until built
        self.running_mean: Parameter | Any = None  # None until built
        self.running_var: Parameter | Any = None  # None until built

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        if len(shape) not in self._axes:
            expected = "(N, C, H, W)" if 3 in self._axes else "(N, C) or (N, C, L)"
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

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        batch_statistics = not self.track_running_stats or (training and not self.frozen)
        statistics = self.weight, self.bias, self.running_mean, self.running_var
        return ops.batch_norm(x, *statistics, batch_statistics, self.momentum, self.eps)


class BatchNorm1d(_BatchNorm):
    __doc__ = f"Normalise each column of (N, C), or each channel of (N, C, L).  {_BatchNorm.__doc__}"
    _axes = (1, 2)


class BatchNorm2d(_BatchNorm):
    __doc__ = f"Normalise each channel of (N, C, H, W).  {_BatchNorm.__doc__}"
    _axes = (3,)
