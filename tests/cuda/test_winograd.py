"""3x3 convolutions by Winograd's minimal filtering on the device, and the choice of it."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from cases import Conv, integers, normal

import fastnet
from fastnet.backends import Ops
from fastnet.geometry import Conv2dGeometry

# outputs of whole and of cut tiles, one pixel, asymmetric padding, more channels than a block has threads
CASES = [
    Conv(2, 3, 8, 8, 5, 3, 3, padding=1),
    Conv(3, 17, 5, 9, 33, 3, 3),
    Conv(1, 4, 3, 3, 2, 3, 3),
    Conv(2, 3, 6, 7, 4, 3, 3, padding=(0, 1, 2, 3)),
    Conv(1, 2, 1, 2, 300, 3, 3, padding=2),
]


@pytest.fixture
def algorithm():
    """fastnet.set_conv_algorithm, undone after the test."""
    before = fastnet.get_conv_algorithm()
    yield fastnet.set_conv_algorithm
    fastnet.set_conv_algorithm(before)


@pytest.fixture
def launched(device, monkeypatch):
    """The names of the Winograd kernels that a test launches."""
    from fastnet.backends.device import winograd

    names = []
    monkeypatch.setattr(winograd, "launch", lambda *g, launch=winograd.launch: (names.append(g[1]), launch(*g)))
    return names


def geometry(case):
    return Conv2dGeometry.make(case.x_shape, case.w_shape, **case.arguments)


def arrays(g, dtype, make):
    shapes = g.x_shape, g.w_shape, (g.K,), g.y_shape, g.x_shape
    return [make(shape, dtype, seed) for seed, shape in enumerate(shapes)]


def computed(ops, g, given, activation=None):
    """y and dx + add as NumPy arrays."""
    x, w, b, dy, add = given
    y, saved = ops.conv2d(ops.asarray(x), ops.contiguous(w), ops.contiguous(b), g, activation)
    dx = ops.conv2d_backward(ops.asarray(dy), saved, (True, False, False), add=ops.asarray(add))[0]
    return ops.to_numpy(y), ops.to_numpy(dx)


def error(found, expected):
    assert found.shape == expected.shape
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_outputs_are_those_of_the_oracle(case, launched, algorithm, device, dtype):
    g = geometry(case)
    x, w, b, dy, add = given = arrays(g, dtype, normal)
    algorithm("winograd")
    y, dx = computed(device, g, given)
    assert launched == 2 * ["winograd_filters", "winograd_inputs", "winograd_outputs"]
    how, limit = (g.stride, g.padding), 3e-6 if dtype == np.float32 else 1e-14
    assert error(y, oracle.conv2d(x, w, b, *how)) < limit
    assert error(dx, oracle.conv2d_backward(dy, x, w, *how)[0] + add) < limit


def test_it_ends_as_other_convolutions_do(launched, algorithm, device, dtype):
    g = geometry(CASES[1])
    given = arrays(g, dtype, normal)
    algorithm("winograd")
    for activation in (("relu", {}), ("gelu", {})):
        for found, expected in zip(
            computed(device, g, given, activation), computed(Ops(), g, given, activation), strict=True
        ):
            assert error(found, expected) < (3e-6 if dtype == np.float32 else 1e-14)
    assert launched


def test_blocks_of_tiles_have_the_same_bits(launched, algorithm, device, dtype, monkeypatch):
    from fastnet.backends.device import winograd

    g = geometry(CASES[1])
    given = arrays(g, dtype, normal)
    algorithm("winograd")
    expected = computed(device, g, given)
    monkeypatch.setattr(winograd, "_BYTES", 36 * 50 * dtype.itemsize * 5)  # 5 tiles of 6, and of 18, at a time
    launched.clear()
    found = computed(device, g, given)
    assert launched.count("winograd_outputs") == 2 + 4
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, want)


def test_direct_is_exact(launched, algorithm, device, dtype):
    g = geometry(Conv(1, 64, 5, 4, 64, 3, 3, padding=1))
    given = arrays(g, dtype, integers)
    algorithm("direct")
    for found, expected in zip(computed(device, g, given), computed(Ops(), g, given), strict=True):
        np.testing.assert_array_equal(found, expected, strict=True)
    assert not launched


def test_the_choice(algorithm, device):
    from fastnet.backends.device.winograd import fits

    wide = Conv(2, 64, 8, 8, 64, 3, 3, padding=1)
    others = [
        Conv(2, 64, 8, 8, 64, 3, 3, stride=2, padding=1),
        Conv(2, 64, 8, 8, 64, 3, 3, dilation=2),
        Conv(2, 64, 8, 8, 64, 3, 3, groups=2),
        Conv(2, 64, 8, 8, 64, 5, 5, padding=2),
        Conv(2, 64, 8, 8, 64, 3, 1),
    ]
    narrow = [Conv(2, 63, 8, 8, 64, 3, 3), Conv(2, 64, 8, 8, 3, 3, 3), Conv(2, 64, 4, 8, 64, 3, 3)]
    for name, chosen in (("auto", [wide]), ("winograd", [wide, *narrow]), ("direct", [])):
        algorithm(name)
        assert fastnet.get_conv_algorithm() == name
        assert [case for case in (wide, *others, *narrow) if fits(geometry(case))] == chosen


def test_signals_are_direct(algorithm, device):
    from fastnet.backends.device.winograd import fits

    algorithm("winograd")
    assert not fits(Conv2dGeometry.make((2, 64, 1, 20), (64, 64, 1, 3), 1, (0, 1)).of_signals())
