"""The affine map with two numbers on the device."""

from __future__ import annotations

import numpy as np
import pytest

from fastnet.backends import Ops

SHAPES = [(1,), (7, 5), (2, 3, 5, 7), (2, 3, 101), (0, 4), (700,)]


def run(ops, x, dy, *given, needs=None):
    numbers = [None if number is None else ops.contiguous(ops.asarray(number)) for number in given]
    y, saved = ops.scalar_affine(ops.asarray(x), *numbers)
    gradients = ops.scalar_affine_backward(ops.asarray(dy), saved, *([] if needs is None else [needs]))
    return [None if array is None else ops.to_numpy(array) for array in (y, *gradients)]


@pytest.mark.parametrize("given", ["wb", "w", "b", ""])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_integers_are_exact(shape, given, device, dtype):
    from fastnet.backends.device.arrays import KERNELS

    assert {"scalar_affine", "scalar_affine_backward"} <= set(KERNELS)
    rng = np.random.default_rng(0)
    x, dy = (rng.integers(-9, 10, shape).astype(dtype) for _ in range(2))
    w, b = (np.array([number], dtype) if name in given else None for name, number in (("w", 3), ("b", -2)))
    for got, want in zip(run(device, x, dy, w, b), run(Ops(), x, dy, w, b), strict=True):
        assert (got is None) == (want is None)
        if got is not None:
            assert got.dtype == dtype
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("needs", [(True, False, False), (False, True, False), (False, False, True)])
def test_only_the_gradients_that_are_needed(needs, device, dtype, few_blocks):
    rng = np.random.default_rng(0)
    x, dy = (rng.integers(-9, 10, 1501).astype(dtype) for _ in range(2))
    w, b = np.array([2], dtype), np.array([1], dtype)
    found, expected = (run(ops, x, dy, w, b, needs=needs)[1:] for ops in (device, Ops()))
    for got, want, need in zip(found, expected, needs, strict=True):
        assert (got is not None) == need
        if need:
            np.testing.assert_array_equal(got, want)
