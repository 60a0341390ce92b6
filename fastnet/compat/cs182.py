"""Berkeley CS182, homework 1: the package `deeplearning`, which has CS231n's API of 2016 and 2017.

The notebooks run on fastnet's kernels as CS231n's do, the folder untouched: ``fastnet.compat.install("deeplearning")``
before the first import, or any other way in; kernels and ``python -m fastnet.compat run`` serve both packages unasked.

This module is the reference for that year, whatever :func:`fastnet.compat.cs231n.set_year` says: dropout's p is the
probability to drop, ``FullyConnectedNet(dropout=0, use_batchnorm=False)``, strides must divide, and the Solver has
``record_histories_as_npz``.  What is not here is CS231n's: ``fastnet.compat.cs231n``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np

from fastnet.compat.cs231n import fast_layers, get_year, layers, set_year
from fastnet.compat.cs231n.classifiers import fc_net
from fastnet.compat.cs231n.classifiers.cnn import ThreeLayerConvNet
from fastnet.compat.cs231n.classifiers.fc_net import TwoLayerNet
from fastnet.compat.cs231n.fast_layers import (
    conv_backward_fast,
    conv_backward_strides,
    max_pool_backward_fast,
    max_pool_forward_fast,
)
from fastnet.compat.cs231n.layers import *  # noqa: F403  the others are the same
from fastnet.compat.cs231n.solver import Solver

_LATER = [name for name in layers.__all__ if name.startswith(("layernorm", "spatial_groupnorm"))]
__all__ = [
    *sorted(set(layers.__all__) - set(_LATER)),
    "FullyConnectedNet",
    "Solver",
    "ThreeLayerConvNet",
    "TwoLayerNet",
    "conv_backward_fast",
    "conv_backward_strides",
    "conv_forward_fast",
    "conv_forward_strides",
    "max_pool_backward_fast",
    "max_pool_forward_fast",
]


@contextlib.contextmanager
def _then() -> Iterator[None]:
    """In 2017."""
    before = get_year()
    set_year(2017)
    try:
        yield
    finally:
        set_year(before)


def dropout_forward(x, dropout_param):
    """As :func:`fastnet.compat.cs231n.layers.dropout_forward`, with p the probability to drop a number."""
    with _then():
        return layers.dropout_forward(x, dropout_param)


def conv_forward_strides(x, w, b, conv_param):
    """As :func:`fastnet.compat.cs231n.fast_layers.conv_forward_strides`.

    Raises
    ------
    AssertionError
        H + 2*pad - HH or W + 2*pad - WW is not a multiple of the stride.
    """
    (_, _, H, W), (_, _, HH, WW) = np.shape(x), np.shape(w)
    stride, pad = conv_param["stride"], conv_param["pad"]
    assert (W + 2 * pad - WW) % stride == 0, "width does not work"
    assert (H + 2 * pad - HH) % stride == 0, "height does not work"
    return fast_layers.conv_forward_strides(x, w, b, conv_param)


conv_forward_fast = conv_forward_strides


class FullyConnectedNet(fc_net.FullyConnectedNet):
    """As :class:`fastnet.compat.cs231n.classifiers.fc_net.FullyConnectedNet`.

    Parameters
    ----------
    dropout : float
        The probability to drop a number; 0 is no dropout.
    use_batchnorm : bool
    hidden_dims, input_dim, num_classes, reg, weight_scale, dtype, seed
        As there.
    """

    def __init__(
        self,
        hidden_dims,
        input_dim=3 * 32 * 32,
        num_classes=10,
        dropout=0,
        use_batchnorm=False,
        reg=0.0,
        weight_scale=1e-2,
        dtype=np.float32,
        seed=None,
    ):
        settings = {"reg": reg, "weight_scale": weight_scale, "dtype": dtype, "seed": seed}
        with _then():
            super().__init__(
                hidden_dims, input_dim, num_classes, dropout=dropout, use_batchnorm=use_batchnorm, **settings
            )

    def loss(self, X, y=None):
        """Scores (N, num_classes) for X (N, d1, ..., dk); with labels y (N,), (loss, dict of gradients)."""
        with _then():
            return super().loss(X, y)
