"""Convolutions on the device: implicit products, depthwise, transposed, and columns of patches."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from cases import CONV, Conv, integers, normal
from cuda.dtypes import mostly_float32

from fastnet.backends import Ops
from fastnet.geometry import Conv2dGeometry
from fastnet.ops.conv_transpose import transposed_geometry

REFERENCE = Ops()
TILES = [(256, 16), (128, 32), (64, 64), (128, 64), (128, 128)]
SMALL = [case for case in CONV if Conv2dGeometry.make(case.x_shape, case.w_shape, **case.arguments).macs < 30_000]
# more than a tile in both directions, sums that end within a slice, a stride with phases of different sizes
ODD = Conv(2, 19, 9, 8, 140, 3, 2, stride=2, padding=(1, 0, 2, 1))
TRANSPOSED = [
    ((2, 5, 3, 4), (5, 3, 2, 2), 2),
    ((3, 17, 4, 3), (17, 9, 3, 3), 2, 1, 1),
    ((2, 12, 5, 4), (12, 4, 4, 3), (1, 2), (1, 0), 0, 3, (1, 2)),
    ((2, 24, 3, 4), (24, 1, 3, 3), 2, 1, (1, 0), 24),
]


@pytest.fixture
def conv(device):
    """The kernels' module."""
    from fastnet.backends.device import conv

    return conv


@pytest.fixture
def tiles(device):
    """The module that chooses tiles and parts; what it has chosen is forgotten before and after."""
    from fastnet.backends.device import tiles

    tiles.cut.cache_clear()
    yield tiles
    tiles.cut.cache_clear()


def geometry(case):
    return Conv2dGeometry.make(case.x_shape, case.w_shape, **case.arguments)


def arrays(g, dtype, make=integers):
    """x, w, b, dy, and an array to add to dx."""
    shapes = g.x_shape, g.w_shape, (g.K,), g.y_shape, g.x_shape
    return [make(shape, dtype, seed) for seed, shape in enumerate(shapes)]


def computed(ops, g, given, activation=None):
    """y, dx + add, dw, db as NumPy arrays."""
    x, w, b, dy, add = given
    y, saved = ops.conv2d(ops.asarray(x), ops.contiguous(w), ops.contiguous(b), g, activation)
    gradients = ops.conv2d_backward(ops.asarray(dy), saved, add=ops.asarray(add))
    return [ops.to_numpy(each) for each in (y, *gradients)]


def assert_equal(found, expected):
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, want, strict=True)


def assert_near(found, expected, tolerance):
    """Relative errors of whole arrays."""
    for got, want in zip(found, expected, strict=True):
        assert got.shape == want.shape
        assert np.linalg.norm(got - want) <= tolerance * max(np.linalg.norm(want), 1e-30)


@mostly_float32("case", SMALL)
def test_whole_numbers_are_exact(case, device, conv, dtype):
    given, relu = arrays(geometry(case), dtype), ("relu", {})
    assert_equal(computed(device, geometry(case), given, relu), computed(REFERENCE, geometry(case), given, relu))


@pytest.mark.parametrize("case", [*SMALL[8:22:3], ODD], ids=str)
def test_sums_are_those_of_the_oracle(case, device, conv, dtype):
    g = geometry(case)
    given = x, w, b, dy, add = arrays(g, dtype, normal)
    how = g.stride, g.padding, g.dilation, g.groups
    dx, dw, db = oracle.conv2d_backward(dy, x, w, *how)
    expected = oracle.conv2d(x, w, b, *how), dx + add, dw, db
    assert_near(computed(device, g, given), expected, 1e-6 if dtype == np.float32 else 1e-14)


@pytest.mark.parametrize("tile", TILES, ids=lambda tile: f"{tile[0]}x{tile[1]}")
def test_every_tile_has_the_same_bits(tile, device, conv, tiles, dtype, monkeypatch):
    g = geometry(ODD)
    given = arrays(g, dtype, normal)
    monkeypatch.setattr(tiles, "_MOST_PARTS", 1)  # no parts: their number follows from the tile's size
    expected = computed(device, g, given)
    if dtype == np.float64 and tile == (128, 128):
        tile = 64, 64  # float32 alone has the widest
    monkeypatch.setattr(tiles, "_tiles", lambda *_: ((*tile, 1.0),))
    tiles.cut.cache_clear()
    assert_equal(computed(device, g, given), expected)


def test_the_choice_of_tiles(tiles, dtype):
    tile = "128x128" if dtype == np.float32 else "128x64"
    assert tiles.cut(4096, 4096, 1, 1000, dtype)[::3] == (tile, 1)
    assert tiles.cut(128, 10, 1, 4096, dtype) == ("256x16", 16, 2 * 64 * (256 + 16 + 8), 16)
    assert tiles.cut(2**20, 20, 1, 100, dtype)[::3] == ("128x32", 1)
    for steps in (0, 1, 5000, 10**7):  # sums of more than 4096 products are never left to one chain of FMAs
        assert tiles.cut(10**6, 64, 1, steps, dtype).parts >= max(1, steps / 4096)


def test_long_sums_are_cut_into_parts(device, conv, tiles, dtype, monkeypatch):
    monkeypatch.setattr(tiles, "_LEAST_STEPS", 16)
    monkeypatch.setattr(tiles, "_LAUNCH", 0)
    for case in (ODD, Conv(4, 12, 7, 6, 9, 3, 3, stride=2, padding=1, groups=3)):
        g = geometry(case)
        assert tiles.cut(g.N * g.P * g.Q, g.K // g.groups, g.groups, g.C // g.groups * g.R * g.S, dtype).parts > 1
        assert tiles.cut(g.R * g.S * g.C // g.groups, g.K // g.groups, g.groups, g.N * g.P * g.Q, dtype).parts > 1
        given = arrays(g, dtype)
        for activation in (None, ("relu", {})):
            assert_equal(computed(device, g, given, activation), computed(REFERENCE, g, given, activation))


@pytest.mark.parametrize("case", [Conv(2, 5, 6, 7, 5, 3, 3, padding=1, groups=5), ODD], ids=str)
def test_bits_do_not_depend_on_the_order_of_blocks(case, device, conv, dtype, monkeypatch):
    g = geometry(case)
    given = arrays(g, dtype, normal)
    expected = computed(device, g, given)
    monkeypatch.setenv("FASTNET_EMULATOR_SEED", "7")
    assert_equal(computed(device, g, given), expected)


@pytest.mark.parametrize("case", [Conv(2, 3, 6, 6, 9, 3, 3, padding=1, groups=3), Conv(2, 3, 5, 4, 5, 3, 3)], ids=str)
def test_an_activation_keeps_what_its_gradient_needs(case, device, conv, dtype):
    g = geometry(case)
    given = arrays(g, dtype, normal)
    for activation in (("gelu", {}), ("tanh", {}), ("leaky_relu", {"negative_slope": -0.5})):
        expected = computed(REFERENCE, g, given, activation)
        assert_near(computed(device, g, given, activation), expected, 2e-6 if dtype == np.float32 else 1e-14)


@pytest.mark.parametrize("case", [Conv(3, 64, 5, 4, 33, 1, 1), Conv(2, 3, 1, 1, 5, 1, 1)], ids=str)
def test_pointwise_convolutions_are_plain_products(case, device, conv, dtype, monkeypatch):
    g, relu, launched = geometry(case), ("relu", {}), []
    monkeypatch.setattr(conv, "gemm", lambda *given, gemm=conv.gemm: (launched.append(given), gemm(*given)))
    assert_equal(computed(device, g, arrays(g, dtype), relu), computed(REFERENCE, g, arrays(g, dtype), relu))
    assert len(launched) == 3


def test_only_what_is_needed_is_computed(device, conv, dtype):
    g = geometry(SMALL[5])
    x, w, b, dy, _ = arrays(g, dtype)
    _, saved = device.conv2d(device.asarray(x), device.contiguous(w), None, g)
    dx, dw, db = device.conv2d_backward(device.asarray(dy), saved, (False, True, False))
    assert dx is None and db is None
    assert_equal([device.to_numpy(dw)], [REFERENCE.conv2d_backward(dy, REFERENCE.conv2d(x, w, b, g)[1])[1]])


def test_signals(device, conv, dtype):
    g = Conv2dGeometry.make((2, 12, 1, 20), (18, 4, 1, 3), (1, 2), (0, 1), (1, 2), 3).of_signals()
    assert_equal(computed(device, g, arrays(g, dtype)), computed(REFERENCE, g, arrays(g, dtype)))


def test_scale_shift_and_sum_at_the_end(device, conv, dtype):
    for case in (Conv(2, 5, 6, 7, 5, 3, 3, padding=1, groups=5), Conv(2, 3, 5, 4, 5, 3, 3)):
        g = geometry(case)
        x, w, scale, add, _ = arrays(g, dtype)
        given = x, w, scale, scale + 1, None, add
        here = [None if each is None else device.xp.asarray(each) for each in given]
        got = device.conv2d_scaled(*here, g, ("relu", {}))
        assert_equal([device.to_numpy(got)], [REFERENCE.conv2d_scaled(*given, g, ("relu", {}))])


def test_too_large_for_the_kernels_indices(device, conv):
    g = Conv2dGeometry.make((2**26, 1, 8, 8), (1, 1, 3, 3))
    with pytest.raises(ValueError, match="up to 2\\*\\*31 - 1 pixels, got 4294967296"):
        conv.forward(g, None, None, conv.NOTHING, None)


@pytest.mark.parametrize("given", TRANSPOSED, ids=str)
def test_transposed_convolution(given, device, conv, dtype):
    g = transposed_geometry(*given)
    x, w = integers(g.y_shape, dtype, 1), integers(g.w_shape, dtype, 2)
    b, dy = integers((g.C,), dtype, 3), integers(g.x_shape, dtype, 4)
    y, saved = device.conv_transpose2d(device.asarray(x), device.contiguous(w), device.contiguous(b), g)
    found = y, *device.conv_transpose2d_backward(device.asarray(dy), saved)
    y, saved = REFERENCE.conv_transpose2d(x, w, b, g)
    assert_equal(map(device.to_numpy, found), (y, *REFERENCE.conv_transpose2d_backward(dy, saved)))


@mostly_float32("case", [case for case in SMALL if case.groups == 1 and case.N])
def test_columns_of_patches(case, device, conv, dtype):
    g = geometry(case)
    x = integers(g.x_shape, dtype)
    columns = device.to_numpy(device.im2col(device.asarray(x), g))
    how = (g.R, g.S), g.stride, g.padding, g.dilation
    np.testing.assert_array_equal(columns, oracle.im2col(x, *how))
    columns = integers(columns.shape, dtype, 1)
    images = device.to_numpy(device.col2im(device.contiguous(columns), g))
    np.testing.assert_array_equal(images, oracle.col2im(columns, g.x_shape, *how))
