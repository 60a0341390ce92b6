"""deeplearning.ai "Convolutional Neural Networks", week 1: the functions of "Convolution model - Step by Step".

Images are (m, n_H, n_W, n_C), filters (f, f, n_C_prev, n_C), biases (1, 1, 1, n_C).  Students write these functions in
the notebook; these serve as a reference, and make its later cells run fast::

    from fastnet.compat.deeplearning_ai import conv_forward, conv_backward, pool_forward, pool_backward

The bias is added once to each output, as in the current assignment.  The notebook of 2017 adds it to each product
before they are summed, so its outputs differ by (f*f*n_C_prev - 1) * b.  In max pooling, each of a window's equal
maxima receives the whole gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnet.compat import nhwc

__all__ = [
    "conv_backward",
    "conv_forward",
    "conv_single_step",
    "create_mask_from_window",
    "distribute_value",
    "pool_backward",
    "pool_forward",
    "zero_pad",
]


def zero_pad(X: ArrayLike, pad: int) -> np.ndarray:
    """Pad the images X (m, n_H, n_W, n_C) with `pad` zeros on each side."""
    return np.pad(X, ((0, 0), (pad, pad), (pad, pad), (0, 0)))


def conv_single_step(a_slice_prev: np.ndarray, W: ArrayLike, b: ArrayLike) -> float:
    """One output: the sum of a_slice_prev * W, both (f, f, n_C_prev), plus the scalar b (1, 1, 1)."""
    return np.sum(np.multiply(a_slice_prev, W)) + np.asarray(b).item()


def conv_forward(
    A_prev: ArrayLike, W: ArrayLike, b: ArrayLike, hparameters: dict[str, Any]
) -> tuple[np.ndarray, tuple]:
    """Convolution.

    Parameters
    ----------
    A_prev : array, (m, n_H_prev, n_W_prev, n_C_prev)
    W : array, (f, f, n_C_prev, n_C)
    b : array, (1, 1, 1, n_C)
    hparameters : dict
        "stride" and "pad".

    Returns
    -------
    Z : array, (m, n_H, n_W, n_C)
    cache : (A_prev, W, b, hparameters)
    """
    Z = nhwc.conv_forward(A_prev, W, b, hparameters["stride"], hparameters["pad"])
    return Z, (A_prev, W, b, hparameters)


def conv_backward(dZ: ArrayLike, cache: Any) -> tuple[np.ndarray, ...]:
    """The gradients of :func:`conv_forward`: dA_prev, dW and db (1, 1, 1, n_C)."""
    A_prev, W, _, hparameters = cache
    dA_prev, dW, db = nhwc.conv_backward(dZ, A_prev, W, hparameters["stride"], hparameters["pad"])
    return dA_prev, dW, db.reshape(1, 1, 1, -1)


def pool_forward(A_prev: ArrayLike, hparameters: dict[str, Any], mode: str = "max") -> tuple[np.ndarray, tuple]:
    """Pooling without padding.

    Parameters
    ----------
    A_prev : array, (m, n_H_prev, n_W_prev, n_C)
    hparameters : dict
        "f", the side of a window, and "stride".
    mode : "max" or "average"

    Returns
    -------
    A : array, (m, n_H, n_W, n_C)
    cache : (A_prev, hparameters)
    """
    pool = nhwc.max_pool_forward if _is_max(mode) else nhwc.avg_pool_forward
    return pool(A_prev, hparameters["f"], hparameters["stride"]), (A_prev, hparameters)


def pool_backward(dA: ArrayLike, cache: Any, mode: str = "max") -> np.ndarray:
    """The gradient of :func:`pool_forward`: dA_prev."""
    A_prev, hparameters = cache
    f, stride = hparameters["f"], hparameters["stride"]
    if _is_max(mode):
        return nhwc.max_pool_backward(dA, A_prev, f, stride, ties="all")
    return nhwc.avg_pool_backward(dA, np.shape(A_prev), f, stride)


def _is_max(mode) -> bool:
    if mode not in ("max", "average"):
        raise ValueError(f'mode must be "max" or "average", got {mode!r}')
    return mode == "max"


def create_mask_from_window(x: ArrayLike) -> np.ndarray:
    """True where x has its largest value."""
    return x == np.max(x)


def distribute_value(dz: float, shape: Sequence[int]) -> np.ndarray:
    """Distribute the scalar dz equally over an array of `shape` (n_H, n_W)."""
    return np.full(shape, dz / (shape[0] * shape[1]))
