"""The convolutional network of assignment 2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastnet.compat.cs231n.layer_utils import (
    affine_relu_backward,
    affine_relu_forward,
    conv_relu_pool_backward,
    conv_relu_pool_forward,
)
from fastnet.compat.cs231n.layers import affine_backward, affine_forward, softmax_loss

__all__ = ["ThreeLayerConvNet"]


class ThreeLayerConvNet:
    """conv - ReLU - 2x2 max pool - affine - ReLU - affine - softmax, with ``reg / 2 * sum(W**2)`` of the three weights.

    Parameters
    ----------
    input_dim : tuple
        (C, H, W); the convolution preserves H and W.
    num_filters, filter_size, hidden_dim, num_classes : int
        `filter_size` is odd.
    weight_scale : float
        Standard deviation of the initial weights, drawn by ``np.random.randn`` in order; biases start at 0.
    reg : float
    dtype : dtype
        The dtype of the parameters.  X is not cast, so X in float64 makes everything float64, as in the course.

    Attributes
    ----------
    params : dict
        W1 (F, C, HH, WW), b1, W2, b2, W3, b3.
    """

    def __init__(
        self,
        input_dim: Sequence[int] = (3, 32, 32),
        num_filters: int = 32,
        filter_size: int = 7,
        hidden_dim: int = 100,
        num_classes: int = 10,
        weight_scale: float = 1e-3,
        reg: float = 0.0,
        dtype: DTypeLike = np.float32,
    ):
        self.reg, self.dtype = reg, dtype
        C, H, W = input_dim
        shapes = {
            "1": (num_filters, C, filter_size, filter_size),
            "2": (num_filters * (H // 2) * (W // 2), hidden_dim),
            "3": (hidden_dim, num_classes),
        }
        outputs = {"1": num_filters, "2": hidden_dim, "3": num_classes}
        self.params = {}
        for layer, shape in shapes.items():
            self.params[f"W{layer}"] = (weight_scale * np.random.randn(*shape)).astype(dtype)
            self.params[f"b{layer}"] = np.zeros(outputs[layer], dtype)

    def loss(self, X: np.ndarray, y: np.ndarray | None = None) -> Any:
        """Scores (N, num_classes) for X (N, C, H, W); with labels y (N,), (loss, dict of gradients)."""
        W1, b1, W2, b2, W3, b3 = (self.params[name] for name in ("W1", "b1", "W2", "b2", "W3", "b3"))
        conv_param = {"stride": 1, "pad": (W1.shape[2] - 1) // 2}
        pool_param = {"pool_height": 2, "pool_width": 2, "stride": 2}
        out, conv_cache = conv_relu_pool_forward(X, W1, b1, conv_param, pool_param)
        out, hidden_cache = affine_relu_forward(out, W2, b2)
        scores, cache = affine_forward(out, W3, b3)
        if y is None:
            return scores
        loss, dout = softmax_loss(scores, y)
        grads = {}
        dout, grads["W3"], grads["b3"] = affine_backward(dout, cache)
        dout, grads["W2"], grads["b2"] = affine_relu_backward(dout, hidden_cache)
        _, grads["W1"], grads["b1"] = conv_relu_pool_backward(dout, conv_cache)
        for name in ("W1", "W2", "W3"):
            loss += 0.5 * self.reg * np.sum(self.params[name] ** 2)
            grads[name] += self.reg * self.params[name]
        return loss, grads
