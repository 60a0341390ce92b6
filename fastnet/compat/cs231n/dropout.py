"""Inverted dropout (Srivastava et al. 2014)."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.compat.cs231n.year import p_is_kept

__all__ = ["dropout_backward", "dropout_forward"]


def dropout_forward(x: np.ndarray, dropout_param: dict[str, Any]) -> tuple[np.ndarray, Any]:
    """Zero random elements of x and divide the others by the probability of keeping one; the identity in mode "test".

    Parameters
    ----------
    x : array of any shape
    dropout_param : dict
        p : float
            The probability of keeping an element; up to 2017, of dropping it (:func:`~fastnet.compat.cs231n.set_year`).
        mode : "train" or "test"
        seed : int, optional
            Passed to ``np.random.seed`` before the mask is drawn, so that every call draws the same mask.

    Returns
    -------
    out : array of x's shape and dtype
    cache : tuple
        (dropout_param, mask); the mask is None in mode "test".

    Raises
    ------
    ValueError
        If the mode is neither of these, or p is outside its range.
    """
    mode, p, mask = dropout_param["mode"], dropout_param["p"], None
    if "seed" in dropout_param:
        np.random.seed(dropout_param["seed"])
    if mode == "train":
        keep = p if p_is_kept() else 1 - p
        if not 0 < keep <= 1:
            meaning = "keeping an element, in (0, 1]" if p_is_kept() else "dropping an element, in [0, 1)"
            raise ValueError(f"dropout_forward: p must be the probability of {meaning}, got {p!r}")
        mask = (np.random.rand(*x.shape) < keep) / keep
        out = x * mask
    elif mode == "test":
        out = x
    else:
        raise ValueError(f"dropout_forward: mode must be 'train' or 'test', got {mode!r}")
    return out.astype(x.dtype, copy=False), (dropout_param, mask)


def dropout_backward(dout: np.ndarray, cache: Any) -> np.ndarray:
    """The gradient of :func:`dropout_forward`: dout times the mask, or dout itself in mode "test"."""
    dropout_param, mask = cache
    return dout * mask if dropout_param["mode"] == "train" else dout
