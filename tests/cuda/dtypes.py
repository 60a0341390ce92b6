"""Which cases of a test are computed in which dtypes."""

from __future__ import annotations

import numpy as np
import pytest
from cuda.devices import ON_GPU


def mostly_float32(name, cases):
    """Parametrises a test: each case in float32; in float64, whose kernels are the same templates, every fourth."""
    fewer = cases if ON_GPU else cases[::4]
    each = [*((case, np.dtype("float32")) for case in cases), *((case, np.dtype("float64")) for case in fewer)]
    return pytest.mark.parametrize(f"{name}, dtype", each, ids=str)
