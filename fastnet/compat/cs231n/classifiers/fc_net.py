"""The fully connected networks of assignments 1 and 2, to be trained by a Solver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastnet.compat.cs231n.layer_utils import affine_relu_backward, affine_relu_forward
from fastnet.compat.cs231n.layers import (
    affine_backward,
    affine_forward,
    batchnorm_backward,
    batchnorm_forward,
    dropout_backward,
    dropout_forward,
    layernorm_backward,
    layernorm_forward,
    relu_backward,
    relu_forward,
    softmax_loss,
)
from fastnet.compat.cs231n.saved import load_params, save_params
from fastnet.compat.cs231n.year import p_is_kept

__all__ = ["FullyConnectedNet", "TwoLayerNet"]

NORMALIZATIONS = {
    "batchnorm": (batchnorm_forward, batchnorm_backward),
    "layernorm": (layernorm_forward, layernorm_backward),
}


class _Saved:
    """Saves and loads the parameters of both networks."""

    def save(self, fname: str) -> None:
        """Write the parameters to cs231n/saved/<fname>."""
        save_params(fname, self.params)

    def load(self, fname: str) -> bool:
        """Read the parameters that :meth:`save` wrote; return whether the file exists."""
        params = load_params(fname)
        if params is None:
            return False
        self.params = params
        return True


class TwoLayerNet(_Saved):
    """affine - ReLU - affine - softmax, with ``reg / 2 * sum(W**2)`` of both weights.

    Parameters
    ----------
    input_dim, hidden_dim, num_classes : int
    weight_scale : float
        Standard deviation of the initial weights, drawn by ``np.random.randn``, W1 first; biases start at 0.
    reg : float

    Attributes
    ----------
    params : dict
        W1 (D, H), b1 (H,), W2 (H, C), b2 (C,), in float64.
    """

    def __init__(
        self,
        input_dim: int = 3 * 32 * 32,
        hidden_dim: int = 100,
        num_classes: int = 10,
        weight_scale: float = 1e-3,
        reg: float = 0.0,
    ):
        self.reg = reg
        self.params = {
            "W1": weight_scale * np.random.randn(input_dim, hidden_dim),
            "b1": np.zeros(hidden_dim),
            "W2": weight_scale * np.random.randn(hidden_dim, num_classes),
            "b2": np.zeros(num_classes),
        }

    def loss(self, X: np.ndarray, y: np.ndarray | None = None) -> Any:
        """Scores (N, num_classes) for X (N, d1, ..., dk); with labels y (N,), (loss, dict of gradients)."""
        W1, b1, W2, b2 = (self.params[name] for name in ("W1", "b1", "W2", "b2"))
        hidden, hidden_cache = affine_relu_forward(X, W1, b1)
        scores, cache = affine_forward(hidden, W2, b2)
        if y is None:
            return scores
        loss, dscores = softmax_loss(scores, y)
        dhidden, dW2, db2 = affine_backward(dscores, cache)
        _, dW1, db1 = affine_relu_backward(dhidden, hidden_cache)
        grads = {"W1": dW1 + self.reg * W1, "b1": db1, "W2": dW2 + self.reg * W2, "b2": db2}
        return loss + 0.5 * self.reg * (np.sum(W1 * W1) + np.sum(W2 * W2)), grads


class FullyConnectedNet(_Saved):
    """(affine - [normalisation] - ReLU - [dropout]) x (L - 1) - affine - softmax, with ``reg / 2 * sum(W**2)``.

    Parameters
    ----------
    hidden_dims : list of int
        The sizes of the L - 1 hidden layers.
    input_dim, num_classes : int
    dropout_keep_ratio : float
        The probability of keeping an element; 1 disables dropout.
    normalization : None, "batchnorm" or "layernorm"
    reg : float
    weight_scale : float
        Standard deviation of the initial weights, drawn by ``np.random.randn`` in order; biases start at 0.
    dtype : dtype
        The dtype of the parameters; X is cast to it.
    seed : int, optional
        Makes dropout draw the same masks each time.
    dropout : float, optional
        The older argument: the probability of keeping (2018 to 2020) or dropping (up to 2017) an element; see
        :func:`~fastnet.compat.cs231n.set_year`.
    use_batchnorm : bool
        The older form of ``normalization="batchnorm"``.

    Attributes
    ----------
    params : dict
        W1, b1 to WL, bL, and with normalisation gamma1, beta1 to gamma(L-1), beta(L-1).
    num_layers : int
        L.
    dropout_param : dict
    bn_params : list of dict
        One for each normalisation layer.

    Raises
    ------
    ValueError
        If `normalization` is none of these.
    """

    def __init__(
        self,
        hidden_dims: Sequence[int],
        input_dim: int = 3 * 32 * 32,
        num_classes: int = 10,
        dropout_keep_ratio: float = 1,
        normalization: str | None = None,
        reg: float = 0.0,
        weight_scale: float = 1e-2,
        dtype: DTypeLike = np.float32,
        seed: int | None = None,
        *,
        dropout: float | None = None,
        use_batchnorm: bool = False,
    ):
        self.normalization = "batchnorm" if use_batchnorm else normalization
        if self.normalization not in (None, *NORMALIZATIONS):
            raise ValueError(
                f"FullyConnectedNet: normalization must be None, 'batchnorm' or 'layernorm', got {normalization!r}"
            )
        if dropout is None:
            dropout = dropout_keep_ratio if p_is_kept() else 1 - dropout_keep_ratio
        self.use_dropout = dropout != 1 if p_is_kept() else dropout > 0
        self.reg, self.dtype, self.num_layers, self.params = reg, dtype, 1 + len(hidden_dims), {}
        sizes = [input_dim, *hidden_dims, num_classes]
        for i in range(1, self.num_layers + 1):
            self.params[f"W{i}"] = (weight_scale * np.random.randn(sizes[i - 1], sizes[i])).astype(dtype)
            self.params[f"b{i}"] = np.zeros(sizes[i], dtype)
            if self.normalization and i < self.num_layers:
                self.params[f"gamma{i}"] = np.ones(sizes[i], dtype)
                self.params[f"beta{i}"] = np.zeros(sizes[i], dtype)
        self.dropout_param: dict[str, Any] = {"mode": "train", "p": dropout} if self.use_dropout else {}
        if self.use_dropout and seed is not None:
            self.dropout_param["seed"] = seed
        first = {"mode": "train"} if self.normalization == "batchnorm" else {}
        self.bn_params = [dict(first) for _ in hidden_dims] if self.normalization else []

    def loss(self, X: np.ndarray, y: np.ndarray | None = None) -> Any:
        """Scores (N, num_classes) for X (N, d1, ..., dk); with labels y (N,), (loss, dict of gradients).

        With labels, batch normalisation and dropout are in mode "train", without labels in mode "test".
        """
        for param in (self.dropout_param, *self.bn_params):
            if "mode" in param:
                param["mode"] = "test" if y is None else "train"
        out, last, caches = X.astype(self.dtype), self.num_layers, []
        for i in range(1, last):
            out, cache = self._hidden_forward(out, i)
            caches.append(cache)
        scores, cache = affine_forward(out, self.params[f"W{last}"], self.params[f"b{last}"])
        if y is None:
            return scores
        loss, dout = softmax_loss(scores, y)
        grads = {}
        dout, grads[f"W{last}"], grads[f"b{last}"] = affine_backward(dout, cache)
        for i in reversed(range(1, last)):
            dout = self._hidden_backward(dout, i, caches.pop(), grads)
        for i in range(1, last + 1):
            W = self.params[f"W{i}"]
            loss += 0.5 * self.reg * np.sum(W * W)
            grads[f"W{i}"] += self.reg * W
        return loss, grads

    def _hidden_forward(self, x, i):
        params, norm_cache, dropout_cache = self.params, None, None
        out, fc_cache = affine_forward(x, params[f"W{i}"], params[f"b{i}"])
        if self.normalization:
            forward, _ = NORMALIZATIONS[self.normalization]
            out, norm_cache = forward(out, params[f"gamma{i}"], params[f"beta{i}"], self.bn_params[i - 1])
        out, relu_cache = relu_forward(out)
        if self.use_dropout:
            out, dropout_cache = dropout_forward(out, self.dropout_param)
        return out, (fc_cache, norm_cache, relu_cache, dropout_cache)

    def _hidden_backward(self, dout, i, cache, grads):
        fc_cache, norm_cache, relu_cache, dropout_cache = cache
        if self.use_dropout:
            dout = dropout_backward(dout, dropout_cache)
        dout = relu_backward(dout, relu_cache)
        if self.normalization:
            _, backward = NORMALIZATIONS[self.normalization]
            dout, grads[f"gamma{i}"], grads[f"beta{i}"] = backward(dout, norm_cache)
        dout, grads[f"W{i}"], grads[f"b{i}"] = affine_backward(dout, fc_cache)
        return dout
