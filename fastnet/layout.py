"""The order of an array's elements in memory: channels-last inside fastnet, C order for other libraries.

Both functions copy only if the order or dtype changes, with a kernel that runs on all threads.  While a GPU is in use,
NumPy arrays stay NumPy's, and channels_last leaves their order as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.arrays import elsewhere
from fastnet.backends import Ops, current
from fastnet.ops.checks import FLOATS
from fastnet.types import Array, ArrayLike, DType, DTypeLike

__all__ = ["channels_last", "contiguous"]


def channels_last(x: ArrayLike, dtype: DTypeLike | None = None) -> Array:
    """Images in channels-last order, as convolutions read them: each pixel's channels are contiguous.

    Every op converts its arguments; call this for images that several ops read.  The shape stays (N, C, H, W), as
    with torch's ``memory_format=torch.channels_last``.  The reference backend has no preferred order and keeps x's.

    Parameters
    ----------
    x : array, (N, C, H, W)
    dtype : float32 or float64, optional
        Default: x's own, if it is one of these, else float32.

    Raises
    ------
    TypeError, ValueError
        If x does not hold real numbers of at most 64 bits or does not have four axes, or for another dtype.
    """
    images, dtype = _checked("channels_last", x, dtype)
    if images.ndim != 4:
        raise ValueError(f"channels_last: x must have shape (N, C, H, W), got {tuple(images.shape)}")
    y: Array = _home(images).asarray(images, dtype)
    return y


def contiguous(x: ArrayLike, dtype: DTypeLike | None = None) -> Array:
    """An array in C order, like ``np.ascontiguousarray``, which takes longer for channels-last arrays.

    Parameters
    ----------
    x : array, of any shape
    dtype : float32 or float64, optional
        Default: x's own, if it is one of these, else float32.

    Raises
    ------
    TypeError, ValueError
        If x does not hold real numbers of at most 64 bits, or for another dtype.
    """
    x, dtype = _checked("contiguous", x, dtype)
    y: Array = _home(x).contiguous(x, dtype)
    return y


def _home(x: Array) -> Ops:
    """The backend in whose memory x lies."""
    return current() if elsewhere(x) or not elsewhere() else Ops()


def _checked(op: str, x: Any, dtype: DTypeLike | None) -> tuple[Array, DType]:
    """The array, and the dtype to convert it to."""
    x = x if hasattr(x, "dtype") else np.asarray(x)
    if x.dtype.kind not in "fiub" or x.dtype.itemsize > 8:
        raise TypeError(f"{op}: x must hold real numbers of at most 64 bits, got dtype {x.dtype}")
    if dtype is None:
        dtype = x.dtype.newbyteorder("=") if x.dtype.kind == "f" and x.dtype.itemsize >= 4 else np.float32
    dtype = np.dtype(dtype)
    if dtype not in FLOATS:
        raise ValueError(f"{op}: dtype must be float32 or float64, got {dtype}")
    return x, dtype
