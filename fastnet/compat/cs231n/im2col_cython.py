"""``cs231n.im2col_cython``, in place of the extension module that students would have to build.

Arrays may have any memory order and dtype, fields need not be square, and strides need not divide evenly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastnet.compat.cs231n.im2col import col2im_indices, fields, im2col_indices, scatter

__all__ = ["col2im_6d_cython", "col2im_cython", "im2col_cython"]


def im2col_cython(x: ArrayLike, field_height: int, field_width: int, padding: int, stride: int) -> np.ndarray:
    """Images (N, C, H, W) as columns.

    Returns
    -------
    cols : ndarray, (C*field_height*field_width, P*Q*N), of x's dtype
        Column ``(p*Q + q)*N + n`` is the patch of image n at output position (p, q).
    """
    return im2col_indices(x, field_height, field_width, padding, stride)


def col2im_cython(
    cols: ArrayLike, N: int, C: int, H: int, W: int, field_height: int, field_width: int, padding: int, stride: int
) -> np.ndarray:
    """Accumulate columns from :func:`im2col_cython` at their pixels: (N, C, H, W), of cols' dtype."""
    return col2im_indices(cols, (N, C, H, W), field_height, field_width, padding, stride)


def col2im_6d_cython(
    cols: ArrayLike, N: int, C: int, H: int, W: int, HH: int, WW: int, pad: int, stride: int
) -> np.ndarray:
    """Accumulate patches (C, HH, WW, N, P, Q) at their pixels: (N, C, H, W), of cols' dtype."""
    cols, g = np.asarray(cols), fields((N, C, H, W), HH, WW, pad, stride)
    expected = g.C, g.R, g.S, g.N, g.P, g.Q
    if cols.shape != expected:
        raise ValueError(f"col2im_6d_cython: cols must have shape {expected}, got {cols.shape}")
    return scatter(cols, g)
