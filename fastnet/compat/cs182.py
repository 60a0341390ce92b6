"""Berkeley CS182, homework 1: the package `deeplearning`, which has CS231n's API of 2016 and 2017.

Its notebooks run on fastnet's kernels without edits, like CS231n's: call ``fastnet.compat.install("deeplearning")``
before the first import.  The Jupyter kernel and ``python -m fastnet.compat run`` serve both packages by default.

This module is the reference implementation for those years, independent of :func:`fastnet.compat.cs231n.set_year`:
dropout's p is the probability of dropping an element, ``FullyConnectedNet(dropout=0, use_batchnorm=False)``, strides
must divide evenly, and the Solver has ``record_histories_as_npz``.  Everything else is in ``fastnet.compat.cs231n``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

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
from fastnet.compat.cs231n.layers import *  # noqa: F403  all the others are unchanged
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
    """Follow the conventions of 2017."""
    before = get_year()
    set_year(2017)
    try:
        yield
    finally:
        set_year(before)


def dropout_forward(  # type: ignore[no-redef]
    x: np.ndarray, dropout_param: dict[str, Any]
) -> tuple[np.ndarray, Any]:
    """As :func:`fastnet.compat.cs231n.layers.dropout_forward`, where p is the probability of dropping an element."""
    with _then():
        return layers.dropout_forward(x, dropout_param)


def conv_forward_strides(
    x: np.ndarray, w: np.ndarray, b: np.ndarray, conv_param: dict[str, Any]
) -> tuple[np.ndarray, Any]:
    """As :func:`fastnet.compat.cs231n.fast_layers.conv_forward_strides`.

    Raises
    ------
    AssertionError
        If H + 2*pad - HH or W + 2*pad - WW is not a multiple of the stride.
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
        The probability of dropping an element; 0 disables dropout.
    use_batchnorm : bool
    hidden_dims, input_dim, num_classes, reg, weight_scale, dtype, seed
        As in the base class.
    """

    def __init__(
        self,
        hidden_dims: Sequence[int],
        input_dim: int = 3 * 32 * 32,
        num_classes: int = 10,
        dropout: float = 0,
        use_batchnorm: bool = False,
        reg: float = 0.0,
        weight_scale: float = 1e-2,
        dtype: DTypeLike = np.float32,
        seed: int | None = None,
    ):
        settings: dict[str, Any] = {"reg": reg, "weight_scale": weight_scale, "dtype": dtype, "seed": seed}
        with _then():
            super().__init__(
                hidden_dims, input_dim, num_classes, dropout=dropout, use_batchnorm=use_batchnorm, **settings
            )

    def loss(self, X: np.ndarray, y: np.ndarray | None = None) -> Any:
        """Scores (N, num_classes) for X (N, d1, ..., dk); with labels y (N,), (loss, dict of gradients)."""
        with _then():
            return super().loss(X, y)
