"""The precision that cuBLAS computes products of float32 in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import cupy
import numpy as np

from fastnet.backends import precision

__all__ = ["chosen"]


@contextlib.contextmanager
def chosen() -> Iterator[None]:
    """Within, cuBLAS rounds operands to TF32 if `fastnet.set_float32_precision` allows it, whatever CUPY_TF32 says."""
    tf32 = precision.get() == "tf32"
    types = cupy._core._routines_linalg
    kind = types.COMPUTE_TYPE_TF32 if tf32 else types.COMPUTE_TYPE_DEFAULT
    before = cupy._core.get_compute_type(np.float32)
    cupy._core.set_compute_type(np.float32, kind)
    try:
        yield
    finally:
        cupy._core.set_compute_type(np.float32, before)
