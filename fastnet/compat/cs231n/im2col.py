"""``cs231n.im2col``: patches of images as columns of a matrix, and back.

Column ``(p*Q + q)*N + n`` is the patch of image n at output position (p, q); its row
``(c*field_height + r)*field_width + s`` is pixel (r, s) of channel c.  Fields need not be square, and strides need not
divide evenly: rows and columns of pixels that no field reaches are ignored, and :func:`col2im` leaves 0 there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from fastnet.geometry import Conv2dGeometry

__all__ = [
    "col2im",
    "col2im_indices",
    "field_coords",
    "get_im2col_indices",
    "get_num_fields",
    "im2col_indices",
    "im2col_naive",
]


def fields(x_shape: Sequence[int], field_height: int, field_width: int, padding: int, stride: int) -> Conv2dGeometry:
    """Check the arguments, and return the geometry of the fields of images (N, C, H, W)."""
    return Conv2dGeometry.make(x_shape, (1, x_shape[1], field_height, field_width), stride, padding)


def _padded_shape(g: Conv2dGeometry) -> tuple[int, int]:
    top, bottom, left, right = g.padding
    return g.H + top + bottom, g.W + left + right


def _inside(g: Conv2dGeometry) -> tuple[slice, slice]:
    return slice(g.padding[0], g.padding[0] + g.H), slice(g.padding[2], g.padding[2] + g.W)


def _under_tap(g: Conv2dGeometry, r: int, s: int) -> tuple[slice, slice]:
    """The padded pixels at position (r, s) of all fields."""
    down, right = g.stride
    return slice(r, r + (g.P - 1) * down + 1, down), slice(s, s + (g.Q - 1) * right + 1, right)


def gather(x: np.ndarray, g: Conv2dGeometry) -> np.ndarray:
    """Patches of x (N, C, H, W) as (C, R, S, P, Q, N), a new array of x's dtype."""
    images = np.zeros((g.C, *_padded_shape(g), g.N), x.dtype)
    images[:, *_inside(g)] = x.transpose(1, 2, 3, 0)
    patches = np.empty((g.C, g.R, g.S, g.P, g.Q, g.N), x.dtype)
    for r, s in np.ndindex(g.R, g.S):
        patches[:, r, s] = images[:, *_under_tap(g, r, s)]
    return patches


def scatter(patches: np.ndarray, g: Conv2dGeometry) -> np.ndarray:
    """The adjoint of :func:`gather`: accumulate patches (C, R, S, N, P, Q) at their pixels, (N, C, H, W), C order."""
    x = np.zeros((g.N, g.C, *_padded_shape(g)), patches.dtype)
    for c, r, s in np.ndindex(g.C, g.R, g.S):  # one channel at a time, so that it stays in cache
        x[:, c, *_under_tap(g, r, s)] += patches[c, r, s]
    return np.ascontiguousarray(x[:, :, *_inside(g)])


def get_im2col_indices(
    x_shape: Sequence[int], field_height: int, field_width: int, padding: int = 1, stride: int = 1
) -> tuple[np.ndarray, ...]:
    """Index arrays such that ``x_padded[:, k, i, j]`` has shape (N, C*field_height*field_width, P*Q).

    Returns
    -------
    k : ndarray of int, (C*field_height*field_width, 1)
    i, j : ndarrays of int, (C*field_height*field_width, P*Q)
    """
    g = fields(x_shape, field_height, field_width, padding, stride)
    k, r, s = (axis.reshape(-1, 1) for axis in np.indices((g.C, g.R, g.S)))
    p, q = (axis.reshape(1, -1) for axis in np.indices((g.P, g.Q)))
    return k, r + g.stride[0] * p, s + g.stride[1] * q


def im2col_indices(x: ArrayLike, field_height: int, field_width: int, padding: int = 1, stride: int = 1) -> np.ndarray:
    """Images (N, C, H, W) as columns (C*field_height*field_width, P*Q*N)."""
    x = np.asarray(x)
    g = fields(x.shape, field_height, field_width, padding, stride)
    return gather(x, g).reshape(g.C * g.R * g.S, -1)


def col2im_indices(
    cols: ArrayLike,
    x_shape: Sequence[int],
    field_height: int = 3,
    field_width: int = 3,
    padding: int = 1,
    stride: int = 1,
) -> np.ndarray:
    """Accumulate columns (C*field_height*field_width, P*Q*N) at their pixels, (N, C, H, W)."""
    g = fields(x_shape, field_height, field_width, padding, stride)
    patches = np.asarray(cols).reshape(g.C, g.R, g.S, g.P, g.Q, g.N)
    return scatter(patches.transpose(0, 1, 2, 5, 3, 4), g)


# ---------------------------------------------------------------- additional names of the starter code of 2025


def get_num_fields(
    x_shape: Sequence[int], field_height: int, field_width: int, padding: int, stride: int
) -> tuple[int, int]:
    """(P, Q), the number of fields vertically and horizontally."""
    g = fields(x_shape, field_height, field_width, padding, stride)
    return g.P, g.Q


def field_coords(
    H: int, W: int, field_height: int, field_width: int, padding: int, stride: int
) -> Iterator[tuple[int, int, int, int]]:
    """Yield (y0, y1, x0, x1) of each field in padded pixels, row by row; y1 and x1 are exclusive."""
    P, Q = get_num_fields((1, 1, H, W), field_height, field_width, padding, stride)
    for p, q in np.ndindex(P, Q):
        yield p * stride, p * stride + field_height, q * stride, q * stride + field_width


def im2col_naive(
    x: ArrayLike, field_height: int = 3, field_width: int = 3, padding: int = 1, stride: int = 1
) -> np.ndarray:
    """:func:`im2col_indices`, computed one column at a time."""
    x = np.asarray(x)
    N, C, H, W = x.shape
    P, Q = get_num_fields(x.shape, field_height, field_width, padding, stride)
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    cols = np.empty((C * field_height * field_width, P * Q * N), x.dtype)
    for field, (y0, y1, x0, x1) in enumerate(field_coords(H, W, field_height, field_width, padding, stride)):
        for n in range(N):
            cols[:, field * N + n] = padded[n, :, y0:y1, x0:x1].ravel()
    return cols


def col2im(
    cols: ArrayLike,
    x_shape: Sequence[int],
    field_height: int = 3,
    field_width: int = 3,
    padding: int = 1,
    stride: int = 1,
) -> np.ndarray:
    """Another name of :func:`col2im_indices`."""
    return col2im_indices(cols, x_shape, field_height, field_width, padding, stride)
