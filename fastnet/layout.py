"""The order of an array's elements in memory: channels-last inside fastnet, C order for other libraries.

Both functions copy only where something has to change, with a kernel that runs on all threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastnet.backends import current

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

__all__ = ["channels_last", "contiguous"]


def channels_last(x: ArrayLike, dtype: DTypeLike = None) -> np.ndarray:
    """Images as convolutions read them: the pixels of an image in rows, each with its channels side by side.

    Every op does this to its arguments; call it for an image that several ops read.  The shape stays (N, C, H, W), as
    with torch's ``memory_format=torch.channels_last``.  The reference backend has no preferred order and keeps x's.

    Parameters
    ----------
    x : array, (N, C, H, W)
    dtype : float32 or float64, optional
        Default: x's own, if it is one of these, else float32.

    Raises
    ------
    TypeError, ValueError
        Not real numbers of at most 64 bits; not four axes; another dtype.
    """
    x, dtype = _checked("channels_last", x, dtype)
    if x.ndim != 4:
        raise ValueError(f"channels_last: x must have shape (N, C, H, W), got {tuple(x.shape)}")
    return current().asarray(x, dtype)


def contiguous(x: ArrayLike, dtype: DTypeLike = None) -> np.ndarray:
    """An array in C order, like ``np.ascontiguousarray``, which takes longer for channels-last arrays.

    Parameters
    ----------
    x : array, of any shape
    dtype : float32 or float64, optional
        Default: x's own, if it is one of these, else float32.

    Raises
    ------
    TypeError, ValueError
        Not real numbers of at most 64 bits; another dtype.
    """
    return current().contiguous(*_checked("contiguous", x, dtype))


def _checked(op: str, x, dtype):
    """The array and the dtype that it is to have."""
    x = x if hasattr(x, "dtype") else np.asarray(x)
    if x.dtype.kind not in "fiub" or x.dtype.itemsize > 8:
        raise TypeError(f"{op}: x must hold real numbers of at most 64 bits, got dtype {x.dtype}")
    if dtype is None:
        dtype = x.dtype.newbyteorder("=") if x.dtype.kind == "f" and x.dtype.itemsize >= 4 else np.float32
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise ValueError(f"{op}: dtype must be float32 or float64, got {np.dtype(dtype)}")
    return x, np.dtype(dtype)
