"""Inverted dropout (Srivastava et al. 2014)."""

from __future__ import annotations

import numpy as np

from fastnet.compat.cs231n.year import p_is_kept

__all__ = ["dropout_backward", "dropout_forward"]


def dropout_forward(x, dropout_param):
    """Set random numbers of x to 0 and divide the others by the probability to keep one; nothing in mode "test".

    Parameters
    ----------
    x : array of any shape
    dropout_param : dict
        p : float
            The probability to keep a number; to 2017 to drop it (:func:`~fastnet.compat.cs231n.set_year`).
        mode : "train" or "test"
        seed : int, optional
            For ``np.random.seed`` before the mask is drawn, so that the mask is always the same.

    Returns
    -------
    out : array of x's shape and dtype
    cache : tuple
        (dropout_param, mask); the mask is None in mode "test".

    Raises
    ------
    ValueError
        Another mode, or a p with which nothing is kept.
    """
    mode, p, mask = dropout_param["mode"], dropout_param["p"], None
    if "seed" in dropout_param:
        np.random.seed(dropout_param["seed"])
    if mode == "train":
        keep = p if p_is_kept() else 1 - p
        if not 0 < keep <= 1:
            meaning = "keep, in (0, 1]" if p_is_kept() else "drop, in [0, 1)"
            raise ValueError(f"dropout_forward: p must be the probability to {meaning}, got {p!r}")
        mask = (np.random.rand(*x.shape) < keep) / keep
        out = x * mask
    elif mode == "test":
        out = x
    else:
        raise ValueError(f"dropout_forward: mode must be 'train' or 'test', got {mode!r}")
    return out.astype(x.dtype, copy=False), (dropout_param, mask)


def dropout_backward(dout, cache):
    """The gradient of :func:`dropout_forward`: dout under the same mask, or dout itself in mode "test"."""
    dropout_param, mask = cache
    return dout * mask if dropout_param["mode"] == "train" else dout
