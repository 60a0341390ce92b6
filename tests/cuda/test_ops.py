"""The backend "cupy": every op as its record says, with kernels of csrc/cuda or CuPy's own functions."""

from __future__ import annotations

import numpy as np
import pytest

from fastnet.backends import Ops
from fastnet.diagnose.examples import run_example
from fastnet.ops import REGISTRY

_CANCELLING = {"rmsprop_step": 10}  # divides by the root of a difference: products rounded before it is taken show


def test_which_ops_have_no_kernel(device):
    """A literal list; the gradients of an op with a kernel are kernels, too."""
    from fastnet.backends.device import FALLBACK
    from fastnet.backends.device.arrays import KERNELS

    assert {name for name, op in REGISTRY.items() if name not in KERNELS and not op.composed} == FALLBACK
    gradients = {f"{name}_backward" for name, op in REGISTRY.items() if name in KERNELS and op.backward}
    assert gradients | (set(REGISTRY) & set(KERNELS)) == set(KERNELS)


@pytest.mark.parametrize("op", REGISTRY.values(), ids=REGISTRY)
def test_every_op_computes_what_the_reference_does(op, device, dtype):
    tolerance = 1e-4 if dtype == np.float32 else 1e-9
    for example in op.examples:
        found = run_example(device, op, example, dtype, place=device.xp.asarray)
        expected = run_example(Ops(), op, example, dtype)
        for got, want in zip(found, expected, strict=True):
            np.testing.assert_allclose(got, want, tolerance * _CANCELLING.get(op.name, 1), tolerance)
