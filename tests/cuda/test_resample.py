"""Images of another size on the device: the tests of all backends, on the emulator, and the records' examples."""

from __future__ import annotations

import cases
import numpy as np
import pytest
from backends import test_resample as resamples
from cuda.devices import HostOps

from fastnet.backends import Ops

INTERPOLATED = [
    {"size": (10, 8)},
    {"size": (10, 8), "mode": "bilinear"},
    {"size": (3, 9), "mode": "bilinear", "align_corners": True},
    {"size": (6, 5), "mode": "bilinear", "scales": (1.3, 1.4)},
]


@pytest.fixture
def ops(device):
    return HostOps(device)


@pytest.mark.parametrize("mode", resamples.NUMPY)
@pytest.mark.parametrize("shape, sides", [*zip(resamples.SHAPES, 2 * resamples.SIDES, strict=False)], ids=str)
def test_pad(ops, dtype, shape, sides, mode):
    resamples.test_pad(ops, dtype, shape, sides, mode)


@pytest.mark.parametrize("mode", resamples.NUMPY)
def test_signals_and_removed_pixels(ops, dtype, mode):
    resamples.test_signals_are_padded(ops, dtype, mode)
    resamples.test_negative_sides_remove_pixels(ops, dtype, mode)
    resamples.test_padding_copies_what_is_not_finite(ops, dtype, mode)


def test_what_is_outside(ops, dtype):
    resamples.test_what_is_outside(ops, dtype)


@pytest.mark.parametrize(
    "op, given",
    [
        *(("interpolate", given) for given in INTERPOLATED),
        *(("adaptive_avg_pool2d", {"size": size}) for size in ((1, 1), (3, 2), (7, 9))),
    ],
    ids=str,
)
def test_interpolation(ops, dtype, op, given):
    x, results = cases.normal((2, 17, 5, 4), dtype), []
    for each in (ops, Ops()):
        y, saved = getattr(each, op)(x, **given)
        results.append((y, getattr(each, f"{op}_backward")(cases.normal(y.shape, dtype, 1), saved)))
    for got, expected in zip(*results, strict=True):
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(got, expected, 16 * np.finfo(dtype).eps, 16 * np.finfo(dtype).eps)
