"""``cs231n.fast_layers`` on fastnet's kernels: the same names, arguments, caches and results, in the promoted dtype.

It differs from the starter code only where that is broken: pooling windows need not be square or tile the image,
arrays may have any memory order, and results are C-contiguous.  Caches keep x and w by reference, like the starter
code's.  They also contain the columns of the im2col method, but these are computed only on demand
(``np.asarray(x_cols)``).  Pass a cache to the backward function of the same name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnet.compat import kernels
from fastnet.compat.cs231n.im2col import (
    col2im,
    col2im_indices,
    field_coords,
    fields,
    gather,
    get_im2col_indices,
    get_num_fields,
    im2col_indices,
    im2col_naive,
)
from fastnet.compat.cs231n.im2col_cython import col2im_6d_cython, col2im_cython, im2col_cython
from fastnet.geometry import Pool2dGeometry

__all__ = [  # what a star import of the starter code's module gives
    "col2im",
    "col2im_6d_cython",
    "col2im_cython",
    "col2im_indices",
    "conv_backward_fast",
    "conv_backward_im2col",
    "conv_backward_pytorch",
    "conv_backward_strides",
    "conv_forward_fast",
    "conv_forward_im2col",
    "conv_forward_pytorch",
    "conv_forward_strides",
    "field_coords",
    "get_im2col_indices",
    "get_num_fields",
    "im2col_cython",
    "im2col_indices",
    "im2col_naive",
    "max_pool_backward_fast",
    "max_pool_backward_im2col",
    "max_pool_backward_reshape",
    "max_pool_forward_fast",
    "max_pool_forward_im2col",
    "max_pool_forward_reshape",
    "np",
]


# ---------------------------------------------------------------- convolution


@dataclass(frozen=True, eq=False)
class ConvColumns:
    """The patches of a convolution's input as columns, (C*HH*WW, N*P*Q), computed on demand."""

    saved: kernels.Saved
    images_first: bool  # columns are ordered by image, then position; otherwise by position, then image

    def __array__(self, dtype=None, copy=None):
        g = self.saved.geometry
        patches = gather(self.saved.image, g)
        if self.images_first:
            patches = patches.transpose(0, 1, 2, 5, 3, 4)
        return patches.reshape(g.C * g.R * g.S, -1).astype(dtype or patches.dtype, copy=False)


def _conv_forward(x, w, b, conv_param, images_first):
    out, saved = kernels.conv_forward(x, w, b, conv_param["stride"], conv_param["pad"])
    return out, (x, w, b, conv_param, ConvColumns(saved, images_first))


def _conv_backward(dout, cache):
    x_cols = cache[-1]
    if not isinstance(x_cols, ConvColumns):
        raise TypeError(
            "the cache must come from conv_forward_fast, (x, w, b, conv_param, x_cols), got one that ends with "
            f"{type(x_cols).__name__}: use forward and backward functions in pairs, naive with naive, fast with fast"
        )
    return kernels.conv_backward(dout, x_cols.saved, cache[1])


def conv_forward_im2col(x: ArrayLike, w: ArrayLike, b: ArrayLike, conv_param: dict[str, Any]) -> tuple[np.ndarray, Any]:
    """:func:`conv_forward_strides` for strides that divide evenly.

    Raises
    ------
    AssertionError
        If H + 2*pad - HH or W + 2*pad - WW is not a multiple of the stride.
    """
    (_, _, H, W), (_, _, HH, WW) = np.shape(x), np.shape(w)
    stride, pad = conv_param["stride"], conv_param["pad"]
    assert (W + 2 * pad - WW) % stride == 0, "width does not work"
    assert (H + 2 * pad - HH) % stride == 0, "height does not work"
    return _conv_forward(x, w, b, conv_param, images_first=False)


def conv_backward_im2col(dout: ArrayLike, cache: Any) -> tuple[np.ndarray, ...]:
    """The gradients of :func:`conv_forward_im2col`: dx, dw, db."""
    return _conv_backward(dout, cache)


def conv_forward_strides(
    x: ArrayLike, w: ArrayLike, b: ArrayLike, conv_param: dict[str, Any]
) -> tuple[np.ndarray, Any]:
    """Convolution.

    Parameters
    ----------
    x : array, (N, C, H, W)
    w : array, (F, C, HH, WW)
    b : array, (F,)
    conv_param : dict
        "stride" and "pad", ints.

    Returns
    -------
    out : ndarray, (N, F, 1 + (H + 2*pad - HH) // stride, 1 + (W + 2*pad - WW) // stride)
        Of the promoted dtype: x in float64 with w in float32 gives float64.
    cache : (x, w, b, conv_param, x_cols)
    """
    return _conv_forward(x, w, b, conv_param, images_first=True)


def conv_backward_strides(dout: ArrayLike, cache: Any) -> tuple[np.ndarray, ...]:
    """The gradients of :func:`conv_forward_strides`: dx, dw, db."""
    return _conv_backward(dout, cache)


conv_forward_fast = conv_forward_strides
conv_backward_fast = conv_backward_strides


def conv_forward_pytorch(
    x: ArrayLike, w: ArrayLike, b: ArrayLike, conv_param: dict[str, Any]
) -> tuple[np.ndarray, Any]:
    """:func:`conv_forward_strides` computed by PyTorch; the starter code of 2019 has it for comparison."""
    torch = _torch()
    dtype = kernels.promoted("conv_forward_pytorch", x=np.asarray(x), w=np.asarray(w), b=np.asarray(b))
    leaves = [torch.from_numpy(np.array(array, dtype, order="C")).requires_grad_() for array in (x, w, b)]
    out = torch.nn.functional.conv2d(*leaves, stride=conv_param["stride"], padding=conv_param["pad"])
    return out.detach().numpy().copy(), (x, w, b, conv_param, leaves, out)


def conv_backward_pytorch(dout: ArrayLike, cache: Any) -> tuple[np.ndarray, ...]:
    """The gradients of :func:`conv_forward_pytorch`: dx, dw, db."""
    *_, leaves, out = cache
    torch = _torch()
    dout = torch.from_numpy(np.array(dout, order="C")).to(out.dtype)
    gradients = torch.autograd.grad(out, leaves, dout, retain_graph=True)
    return tuple(gradient.numpy() for gradient in gradients)


def _torch():
    try:
        import torch
    except ImportError as error:
        raise ImportError("conv_forward_pytorch and conv_backward_pytorch need PyTorch: pip install torch") from error
    return torch


# ---------------------------------------------------------------- pooling


def _windows(pool_param):
    return (pool_param["pool_height"], pool_param["pool_width"]), pool_param["stride"]


def max_pool_forward_fast(x: ArrayLike, pool_param: dict[str, Any]) -> tuple[np.ndarray, Any]:
    """Max pooling, by :func:`max_pool_forward_reshape` where it applies, otherwise :func:`max_pool_forward_im2col`.

    Parameters
    ----------
    x : array, (N, C, H, W)
    pool_param : dict
        "pool_height", "pool_width" and "stride", ints.

    Returns
    -------
    out : ndarray, (N, C, 1 + (H - pool_height) // stride, 1 + (W - pool_width) // stride)
    cache : ("reshape" or "im2col", that method's cache)
    """
    (height, width), stride = _windows(pool_param)
    g = Pool2dGeometry.make(np.shape(x), (height, width), stride, op="max_pool")
    if height == width == stride and g.H % height == 0 and g.W % width == 0:
        out, cache = max_pool_forward_reshape(x, pool_param)
        return out, ("reshape", cache)
    out, cache = max_pool_forward_im2col(x, pool_param)
    return out, ("im2col", cache)


def max_pool_backward_fast(dout: ArrayLike, cache: Any) -> np.ndarray:
    """The gradient of :func:`max_pool_forward_fast`.

    Raises
    ------
    ValueError
        If the cache names a method other than "reshape" and "im2col".
    """
    method, method_cache = cache
    if method == "reshape":
        return max_pool_backward_reshape(dout, method_cache)
    if method == "im2col":
        return max_pool_backward_im2col(dout, method_cache)
    raise ValueError(f'Unrecognized method "{method}"')


def max_pool_forward_reshape(x: ArrayLike, pool_param: dict[str, Any]) -> tuple[np.ndarray, Any]:
    """Max pooling over square windows that tile the image.

    Returns
    -------
    out : ndarray, (N, C, H / pool_height, W / pool_width)
    cache : (x, x_reshaped, out)
        x_reshaped is (N, C, H / pool_height, pool_height, W / pool_width, pool_width), a view of x if possible.

    Raises
    ------
    AssertionError
        If the windows are not square, or do not tile the image.
    """
    (height, width), stride = _windows(pool_param)
    x = np.asarray(x)
    N, C, H, W = x.shape
    assert height == width == stride, "Invalid pool params"
    assert H % height == 0 and W % width == 0, "Windows do not tile the image"
    out = kernels.max_pool_forward(x, height)
    return out, (x, x.reshape(N, C, H // height, height, W // width, width), out)


def max_pool_backward_reshape(dout: ArrayLike, cache: Any) -> np.ndarray:
    """The gradient of :func:`max_pool_forward_reshape`; equal maxima of a window share its gradient equally."""
    x, x_reshaped, _ = cache
    size = x_reshaped.shape[3]
    return kernels.max_pool_backward(dout, x_reshaped.reshape(x.shape), size, ties="split")


@dataclass(frozen=True, eq=False)
class PoolColumns:
    """The windows of x as columns, (pool_height*pool_width, P*Q*N*C), or their argmax, computed on demand."""

    x: np.ndarray
    pool_param: dict
    argmax: bool = False

    def __array__(self, dtype=None, copy=None):
        (height, width), stride = _windows(self.pool_param)
        N, C, H, W = self.x.shape
        g = fields((N * C, 1, H, W), height, width, 0, stride)
        columns = gather(self.x.reshape(N * C, 1, H, W), g).reshape(height * width, -1)
        columns = columns.argmax(axis=0) if self.argmax else columns
        return columns.astype(dtype or columns.dtype, copy=False)


def max_pool_forward_im2col(x: ArrayLike, pool_param: dict[str, Any]) -> tuple[np.ndarray, Any]:
    """Max pooling over windows of any shape and stride.

    Returns
    -------
    out : ndarray, (N, C, 1 + (H - pool_height) // stride, 1 + (W - pool_width) // stride)
    cache : (x, x_cols, x_cols_argmax, pool_param)
    """
    x = np.asarray(x)
    out = kernels.max_pool_forward(x, *_windows(pool_param))
    return out, (x, PoolColumns(x, pool_param), PoolColumns(x, pool_param, argmax=True), pool_param)


def max_pool_backward_im2col(dout: ArrayLike, cache: Any) -> np.ndarray:
    """The gradient of :func:`max_pool_forward_im2col`; a window's first maximum, row by row, receives it."""
    x, _, _, pool_param = cache
    kernel, stride = _windows(pool_param)
    return kernels.max_pool_backward(dout, x, kernel, stride, ties="first")
