"""Batch, layer, and group normalisation, of vectors and of images.

All return ``gamma * xhat + beta`` with ``xhat = (x - mean) / sqrt(var + eps)`` and the biased variance; they differ in
the axes over which mean and variance are computed.  Ioffe & Szegedy 2015 (arXiv:1502.03167), Ba, Kiros & Hinton 2016
(arXiv:1607.06450), Wu & He 2018 (arXiv:1803.08494).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastnet import functional
from fastnet.compat.kernels import promoted
from fastnet.layout import contiguous

__all__ = [
    "batchnorm_backward",
    "batchnorm_backward_alt",
    "batchnorm_forward",
    "layernorm_backward",
    "layernorm_forward",
    "spatial_batchnorm_backward",
    "spatial_batchnorm_forward",
    "spatial_groupnorm_backward",
    "spatial_groupnorm_forward",
]


def _moments(x, axis, eps):
    """(mean, biased variance, 1 / standard deviation), with the axis kept."""
    mean = x.mean(axis=axis, keepdims=True)
    variance = np.mean((x - mean) ** 2, axis=axis, keepdims=True)
    return mean, variance, 1 / np.sqrt(variance + eps)


def _normalized_backward(dxhat, xhat, inverse, axis):
    """dx = (dxhat - mean(dxhat) - xhat * mean(dxhat * xhat)) / std, the simplified gradient of xhat(x)."""
    along_mean = dxhat.mean(axis=axis, keepdims=True)
    along_xhat = np.mean(dxhat * xhat, axis=axis, keepdims=True)
    return inverse * (dxhat - along_mean - xhat * along_xhat)


# ---------------------------------------------------------------- batch normalisation


def batchnorm_forward(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, bn_param: dict[str, Any]
) -> tuple[np.ndarray, Any]:
    """Normalise each column with the batch's moments (mode "train") or the running ones (mode "test").

    Parameters
    ----------
    x : array, (N, D)
    gamma, beta : array, (D,)
        Floating point or integers.
    bn_param : dict
        mode : "train" or "test"
        eps : float, default 1e-5
        momentum : float, default 0.9
            The weight of the *old* value in ``running = momentum * running + (1 - momentum) * batch``.
        running_mean, running_var : array, (D,)
            Zeros in x's dtype if absent; written back in both modes.

    Returns
    -------
    out : array, (N, D)
    cache : tuple
        For :func:`batchnorm_backward` and :func:`batchnorm_backward_alt`; None in mode "test".

    Raises
    ------
    ValueError
        If the mode is missing or neither of these.
    """
    mode, eps, momentum = bn_param.get("mode"), bn_param.get("eps", 1e-5), bn_param.get("momentum", 0.9)
    running_mean = bn_param.get("running_mean", np.zeros(x.shape[1], x.dtype))
    running_var = bn_param.get("running_var", np.zeros(x.shape[1], x.dtype))
    if mode == "train":
        mean, variance, inverse = _moments(x, 0, eps)
        centred = x - mean
        xhat, cache = centred * inverse, (centred, inverse, gamma)
        running_mean = momentum * running_mean + (1 - momentum) * mean[0]
        running_var = momentum * running_var + (1 - momentum) * variance[0]
    elif mode == "test":
        xhat, cache = (x - running_mean) / np.sqrt(running_var + eps), None
    else:
        raise ValueError(f'Invalid forward batchnorm mode "{mode}"')
    bn_param["running_mean"], bn_param["running_var"] = running_mean, running_var
    return gamma * xhat + beta, cache


def batchnorm_backward(dout: np.ndarray, cache: Any) -> tuple[np.ndarray, ...]:
    """Gradients dx (N, D), dgamma (D,), dbeta (D,) in mode "train", by backpropagation node by node through the graph.

    ``centred = x - mean; variance = mean(centred**2); inverse = (variance + eps)**-0.5; xhat = centred * inverse``
    """
    centred, inverse, gamma = cache
    dgamma, dbeta = np.sum(dout * centred * inverse, axis=0), dout.sum(axis=0)
    dxhat = dout * gamma
    dinverse = np.sum(dxhat * centred, axis=0)
    dvariance = dinverse * -0.5 * inverse**3
    dcentred = dxhat * inverse + 2 * centred / len(dout) * dvariance
    dmean = -dcentred.sum(axis=0)
    return dcentred + dmean / len(dout), dgamma, dbeta


def batchnorm_backward_alt(dout: np.ndarray, cache: Any) -> tuple[np.ndarray, ...]:
    """The result of :func:`batchnorm_backward`, from the same cache, by the simplified formula."""
    centred, inverse, gamma = cache
    xhat = centred * inverse
    return _normalized_backward(dout * gamma, xhat, inverse, 0), np.sum(dout * xhat, axis=0), dout.sum(axis=0)


def _as_rows(x):
    """(N, C, H, W) to (N*H*W, C)."""
    return x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1])


def _as_images(rows, shape):
    """(N*H*W, C) back to `shape`, (N, C, H, W)."""
    N, C, H, W = shape
    return rows.reshape(N, H, W, C).transpose(0, 3, 1, 2)


def spatial_batchnorm_forward(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, bn_param: dict[str, Any]
) -> tuple[np.ndarray, Any]:
    """:func:`batchnorm_forward` of each channel of (N, C, H, W), over N, H and W; gamma and beta are (C,)."""
    out, cache = batchnorm_forward(_as_rows(x), gamma, beta, bn_param)
    return _as_images(out, x.shape), cache


def spatial_batchnorm_backward(dout: np.ndarray, cache: Any) -> tuple[np.ndarray, ...]:
    """Gradients dx (N, C, H, W), dgamma (C,), dbeta (C,) of :func:`spatial_batchnorm_forward`."""
    dx, dgamma, dbeta = batchnorm_backward_alt(_as_rows(dout), cache)
    return _as_images(dx, dout.shape), dgamma, dbeta


# ---------------------------------------------------------------- layer and group normalisation, on fastnet's kernels


class _Normalized(NamedTuple):
    """What the gradients of layer and group norm need."""

    backward: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
    shape: tuple[int, ...]  # gamma's


def _on_kernels(op, x, gamma, beta, size, eps):
    """``(out, cache)`` of ``functional.layer_norm`` or ``group_norm``, with NumPy's promotion and in C order; a later
    change of x does not reach the cache."""
    x, gamma, beta = np.asarray(x), np.asarray(gamma), np.asarray(beta)
    dtype = promoted(op, x=x, gamma=gamma, beta=beta)
    affine = {"gamma": np.asarray(gamma.reshape(-1), dtype), "beta": np.asarray(beta.reshape(-1), dtype)}
    out, backward = getattr(functional, op)(np.array(x, dtype, order="C"), size, **affine, eps=eps)
    return contiguous(out), _Normalized(backward, gamma.shape)


def _gradients(dout, cache):
    dx, dgamma, dbeta = cache.backward(dout)
    return contiguous(dx), dgamma.reshape(cache.shape), dbeta.reshape(cache.shape)


def layernorm_forward(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, ln_param: dict[str, Any]
) -> tuple[np.ndarray, Any]:
    """Normalise each row of x (N, D) by its own moments, both in training and at test time.

    `ln_param` may hold eps, 1e-5 by default.  Returns ``(out, cache)``.
    """
    return _on_kernels("layer_norm", x, gamma, beta, np.shape(x)[1], ln_param.get("eps", 1e-5))


def layernorm_backward(dout: np.ndarray, cache: Any) -> tuple[np.ndarray, ...]:
    """Gradients dx (N, D), dgamma (D,), dbeta (D,) of :func:`layernorm_forward`."""
    return _gradients(dout, cache)


def spatial_groupnorm_forward(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, G: int, gn_param: dict[str, Any]
) -> tuple[np.ndarray, Any]:
    """Normalise each of the G groups of consecutive channels in each image by its own moments.

    Parameters
    ----------
    x : array, (N, C, H, W)
    gamma, beta : array, (1, C, 1, 1) or (C,)
    G : int
        Divides C.
    gn_param : dict
        eps : float, default 1e-5

    Returns
    -------
    out : array, (N, C, H, W)
    cache : tuple

    Raises
    ------
    ValueError
        If G does not divide C.
    """
    C = np.shape(x)[1]
    if C % G:
        raise ValueError(f"spatial_groupnorm_forward: G must divide the {C} channels of x, got {G}")
    return _on_kernels("group_norm", x, gamma, beta, G, gn_param.get("eps", 1e-5))


def spatial_groupnorm_backward(dout: np.ndarray, cache: Any) -> tuple[np.ndarray, ...]:
    """Gradients dx (N, C, H, W), dgamma, dbeta (both in gamma's shape) of :func:`spatial_groupnorm_forward`."""
    return _gradients(dout, cache)
