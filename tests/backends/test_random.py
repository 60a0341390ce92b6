"""Philox4x32-10: published answers, the stream's definition, dropout."""

from __future__ import annotations

import cases
import numpy as np
import oracle
import pytest

from fastnet.ops import Stream, philox

ONES = 0xFFFFFFFF
KNOWN = [  # kat_vectors of Random123: counter, key, result
    ([0, 0, 0, 0], [0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([ONES] * 4, [ONES] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]
SEEDS = [0, 1, 12345, 2**32 - 1, 2**32, 2**63 + 5, 2**64 - 1]
OFFSETS = [0, 1, 3, 4, 127, 128, 130, 2**33 + 2, 2**34 - 5, 2**62 - 200]


@pytest.mark.parametrize("counter, key, result", KNOWN)
def test_the_oracle_gives_the_published_answers(counter, key, result):
    assert oracle.philox4x32(counter, key) == result


def test_the_first_published_answer_is_the_start_of_stream_zero(ops):
    words = np.array(KNOWN[0][2], np.uint32)
    np.testing.assert_array_equal(philox.words(0, 0, 4), words)
    np.testing.assert_array_equal(ops.random_uniform((4,), np.float64, 0), (words >> 8) / 2**24)


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("seed", SEEDS)
def test_numbers_are_the_streams(ops, dtype, seed, offset):
    u = ops.random_uniform((150,), dtype, seed, offset)
    assert u.dtype == dtype and u.shape == (150,)
    np.testing.assert_array_equal(u, oracle.uniform(seed, offset, 150))


def test_any_piece_of_a_stream_equals_that_piece(native, dtype):
    """Across groups, blocks and tasks: number i depends on (seed, i) alone."""
    whole = native.random_uniform((40000,), dtype, 7, 0)
    np.testing.assert_array_equal(whole, philox.uniform(7, 0, 40000, dtype))
    for start, stop in ((0, 1), (1, 2), (100, 129), (127, 8193), (8191, 20001), (39999, 40000)):
        np.testing.assert_array_equal(native.random_uniform((stop - start,), dtype, 7, start), whole[start:stop])


@pytest.mark.parametrize("shape", [(), (0,), (5,), (3, 4), (2, 3, 4), (2, 3, 4, 5), (0, 3, 2, 2)], ids=str)
def test_shapes_are_filled_in_memory_order(ops, dtype, shape):
    """N, H, W, C for images, N, L, C for signals, C order otherwise."""
    u = ops.random_uniform(shape, dtype, 3, 9)
    numbers = oracle.uniform(3, 9, int(np.prod(shape)))
    if len(shape) == 4:
        N, C, H, W = shape
        expected = np.moveaxis(numbers.reshape(N, H, W, C), 3, 1)
    elif len(shape) == 3:
        N, C, L = shape
        expected = numbers.reshape(N, L, C).swapaxes(1, 2)
    else:
        expected = numbers.reshape(shape)
    assert u.shape == shape and u.dtype == dtype
    np.testing.assert_array_equal(u, expected)


def test_numbers_look_uniform(best_native):
    u = best_native.random_uniform((1_000_000,), np.float64, 11)
    assert u.min() >= 0 and u.max() < 1
    assert abs(u.mean() - 0.5) < 5 / np.sqrt(12e6)
    counts = np.histogram(u, 100, (0, 1))[0]
    assert ((counts - 1e4) ** 2 / 1e4).sum() < 180  # chi-squared with 99 degrees of freedom: 5.7 deviations


@pytest.mark.parametrize("shape", [(5,), (3, 40), (2, 3, 4, 5), (0, 4), (9000,)], ids=str)
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 1 - 2**-24])
def test_dropout(ops, dtype, shape, p):
    x = cases.normal(shape, dtype)
    y, saved = ops.dropout(x, p, stream := Stream(5, 13))
    assert stream == Stream(5, 13 + -(-x.size // 4) * 4), "a call takes whole Philox blocks of four"
    keep = oracle.uniform(5, 13, x.size) >= dtype.type(p)
    keep = np.moveaxis(keep.reshape(shape[0], *shape[2:], shape[1]), 3, 1) if x.ndim == 4 else keep.reshape(shape)
    scale = dtype.type(1 / (1 - p))
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, np.where(keep, x * scale, 0))
    dy = cases.normal(shape, dtype, 1)
    dx = ops.dropout_backward(dy, saved)
    assert dx.dtype == dtype
    np.testing.assert_array_equal(dx, np.where(keep, dy * scale, 0))


def test_dropout_keeps_the_share_that_it_should(best_native, dtype):
    y, _ = best_native.dropout(np.ones((100, 10000), dtype), 0.3, Stream(1))
    assert abs((y == 0).mean() - 0.3) < 0.0025
    assert abs(y.mean() - 1) < 0.005


UNITS = {  # the axes along which elements share a number
    "channel": {2: (), 3: (2,), 4: (2, 3)},
    "example": {2: (1,), 3: (1, 2), 4: (1, 2, 3)},
    "batch": {2: (0, 1), 3: (0, 1, 2), 4: (0, 1, 2, 3)},
}


@pytest.mark.parametrize("inverted", [True, False])
@pytest.mark.parametrize(
    "shape", [(3, 40), (5, 3, 7), (2, 3, 4, 5), (3, 70, 9, 11), (0, 4, 2, 2), (2, 3, 0, 4)], ids=str
)
@pytest.mark.parametrize("unit", UNITS)
def test_dropout_of_whole_units(ops, dtype, unit, shape, inverted):
    x, dy = cases.normal(shape, dtype), cases.normal(shape, dtype, 1)
    y, saved = ops.dropout(x, 0.4, stream := Stream(9, 6), unit, inverted)
    units = [1 if axis in UNITS[unit][len(shape)] else size for axis, size in enumerate(shape)]
    count = int(np.prod(units))
    assert stream == Stream(9, 6 + -(-count // 4) * 4)
    keep = (oracle.uniform(9, 6, count) >= dtype.type(0.4)).reshape(units)
    scale = dtype.type(1 / 0.6 if inverted else 1)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, np.where(keep, x * scale, 0))
    np.testing.assert_array_equal(ops.dropout_backward(dy, saved), np.where(keep, dy * scale, 0))


def test_units_of_large_arrays(native, dtype):
    """Whole cache lines, and several tasks."""
    x = cases.normal((3, 64, 96, 96), dtype)
    for unit, axes in (("channel", (2, 3)), ("example", (1, 2, 3)), ("batch", (0, 1, 2, 3))):
        y, _ = native.dropout(x, 0.5, Stream(3), unit)
        units = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
        keep = (philox.uniform(3, 0, int(np.prod(units)), dtype) >= 0.5).reshape(units)
        np.testing.assert_array_equal(y, np.where(keep, x * 2, 0))


@pytest.mark.parametrize("p", [0.0, 0.3])
@pytest.mark.parametrize("shape", [(40, 30), (6, 3, 3, 2), (5, 4, 3), (0, 4)], ids=str)
def test_drop_weights(ops, dtype, shape, p):
    """In C order, whatever the number of axes."""
    w, dy = cases.normal(shape, dtype), cases.normal(shape, dtype, 1)
    y, saved = ops.drop_weights(w, p, stream := Stream(5, 13))
    assert stream == Stream(5, 13 + -(-w.size // 4) * 4)
    keep = (oracle.uniform(5, 13, w.size) >= dtype.type(p)).reshape(shape)
    scale = dtype.type(1 / (1 - p))
    np.testing.assert_array_equal(y, np.where(keep, w * scale, 0))
    np.testing.assert_array_equal(ops.drop_weights_backward(dy, saved), np.where(keep, dy * scale, 0))


@pytest.mark.parametrize("how", cases.HOSTILE)
def test_dropout_of_hostile_arrays(ops, how):
    x, dy = cases.normal((2, 5, 3, 4), np.float32), cases.normal((2, 5, 3, 4), np.float32, 1)
    odd, odd_dy = cases.HOSTILE[how](x), cases.HOSTILE[how](dy)
    if how == "byte-swapped":
        with pytest.raises(TypeError, match="float32"):
            ops.dropout(odd, 0.5, Stream(1))
        return
    y, saved = ops.dropout(x, 0.5, Stream(1))
    dx = ops.dropout_backward(dy, saved)
    odd_y, saved = ops.dropout(odd, 0.5, Stream(1))
    np.testing.assert_array_equal(odd_y, y)
    np.testing.assert_array_equal(ops.dropout_backward(odd_dy, saved), dx)
    np.testing.assert_array_equal(odd, x)
    np.testing.assert_array_equal(odd_dy, dy)


def test_wrong_arguments_are_refused(ops):
    x = np.ones((3, 4), np.float32)
    for p in (-0.1, 1.0, 1.5, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\), got"):
            ops.dropout(x, p, Stream(0))
    for seed, offset in ((-1, 0), (2**64, 0), (0, -1), (0, 2**62)):
        with pytest.raises(ValueError, match=r"seed must lie in \[0, 2\*\*64\) and offset in \[0, 2\*\*62\)"):
            ops.random_uniform((4,), np.float32, seed, offset)
        with pytest.raises(ValueError, match="seed must lie in"):
            ops.dropout(x, 0.5, Stream(seed, offset))
    with pytest.raises(ValueError, match="unit must be one of 'element', 'channel', 'example', 'batch', got 'pixel'"):
        ops.dropout(x, 0.5, Stream(0), "pixel")
    with pytest.raises(ValueError, match=r"unit='channel' needs an array \(N, C, ...\), got shape \(3,\)"):
        ops.dropout(x[:, 0], 0.5, Stream(0), "channel")
    with pytest.raises(ValueError, match=r"drop_weights: p, the probability of zeroing, must lie in \[0, 1\), got 1.5"):
        ops.drop_weights(x, 1.5, Stream(0))
    with pytest.raises(TypeError, match="float32 or float64"):
        ops.random_uniform((4,), np.int32, 0)
    with pytest.raises(TypeError, match="float32 or float64"):
        ops.dropout(x.astype(int), 0.5, Stream(0))
    _, saved = ops.dropout(x, 0.5, Stream(0))
    with pytest.raises(ValueError, match="dy must have shape"):
        ops.dropout_backward(np.ones((4, 3), np.float32), saved)
