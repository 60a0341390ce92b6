"""Products of the stand-in, in the precision that CuPy's private switch says."""

from __future__ import annotations

import functools

import numpy as np


class _routines_linalg:
    """Numbers of compute types."""

    COMPUTE_TYPE_TBD, COMPUTE_TYPE_DEFAULT, COMPUTE_TYPE_TF32 = 0, 1, 7


_types = {}


def set_compute_type(dtype, compute_type):
    """What products of this dtype are computed in from now on."""
    if compute_type not in (0, 1, 7):
        raise ValueError(f"Unknown compute type: {compute_type}")
    _types[np.dtype(dtype)] = compute_type


def get_compute_type(dtype):
    """What products of this dtype are computed in."""
    return _types.get(np.dtype(dtype)) or _routines_linalg.COMPUTE_TYPE_DEFAULT


def _rounded(x):
    """float32 to 10 bits of mantissa, to the nearest, ties away from zero."""
    return ((x.view(np.uint32) + np.uint32(1 << 12)) & np.uint32(0xFFFFE000)).view(np.float32)


def _product(function):
    @functools.wraps(function)
    def call(a, b, **more):
        if a.dtype == b.dtype == np.float32 and get_compute_type(np.float32) == _routines_linalg.COMPUTE_TYPE_TF32:
            a, b = _rounded(a), _rounded(b)
        return function(a, b, **more)

    return call


PRODUCTS = {"matmul": _product(np.matmul), "dot": _product(np.dot)}
