"""The convolutional network of 2015, as functions of a dict of arrays, for ClassifierTrainer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnet.compat.cs231n.layer_utils import conv_relu_pool_backward, conv_relu_pool_forward
from fastnet.compat.cs231n.layers import affine_backward, affine_forward, softmax_loss

__all__ = ["init_two_layer_convnet", "two_layer_convnet"]


def init_two_layer_convnet(
    weight_scale: float = 1e-3,
    bias_scale: float = 0,
    input_shape: Sequence[int] = (3, 32, 32),
    num_classes: int = 10,
    num_filters: int = 32,
    filter_size: int = 5,
) -> dict[str, np.ndarray]:
    """The initial weights of :func:`two_layer_convnet`, a dict of W1, b1, W2, b2, drawn by ``np.random.randn``.

    Raises
    ------
    ValueError
        If `filter_size` is even: the convolution must preserve the size of the image.
    """
    if filter_size % 2 != 1:
        raise ValueError(f"init_two_layer_convnet: filter_size must be odd, got {filter_size}")
    C, H, W = input_shape
    return {
        "W1": weight_scale * np.random.randn(num_filters, C, filter_size, filter_size),
        "b1": bias_scale * np.random.randn(num_filters),
        "W2": weight_scale * np.random.randn(num_filters * (H // 2) * (W // 2), num_classes),
        "b2": bias_scale * np.random.randn(num_classes),
    }


def two_layer_convnet(
    X: np.ndarray, model: dict[str, np.ndarray], y: np.ndarray | None = None, reg: float = 0.0
) -> Any:
    """conv - ReLU - 2x2 max pool - affine - softmax, with ``reg / 2 * sum(W**2)``.

    Parameters
    ----------
    X : array, (N, C, H, W)
    model : dict
        W1 (F, C, S, S) with S odd, b1 (F,), W2 (F * H/2 * W/2, classes), b2 (classes,).
    y : array of int, (N,), optional
    reg : float

    Returns
    -------
    scores : array, (N, classes), without y
    loss, grads : float and dict, with y
    """
    W1, b1, W2, b2 = (model[name] for name in ("W1", "b1", "W2", "b2"))
    conv_param = {"stride": 1, "pad": (W1.shape[2] - 1) // 2}
    a, conv_cache = conv_relu_pool_forward(X, W1, b1, conv_param, {"pool_height": 2, "pool_width": 2, "stride": 2})
    scores, cache = affine_forward(a, W2, b2)
    if y is None:
        return scores
    loss, dscores = softmax_loss(scores, y)
    da, dW2, db2 = affine_backward(dscores, cache)
    _, dW1, db1 = conv_relu_pool_backward(da, conv_cache)
    grads = {"W1": dW1 + reg * W1, "b1": db1, "W2": dW2 + reg * W2, "b2": db2}
    return loss + 0.5 * reg * sum(np.sum(W * W) for W in (W1, W2)), grads
