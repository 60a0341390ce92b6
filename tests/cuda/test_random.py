"""Random numbers on the device: the same bits as the reference's, whatever the launch; positions for replays."""

from __future__ import annotations

import numpy as np
import pytest

from fastnet.backends import Ops
from fastnet.ops import Stream, philox
from fastnet.ops.random import UNITS

SEEDS = [0, 2**32 + 7, 2**63 - 1, 2**63 + 5, 2**64 - 1]
OFFSETS = [0, 1, 3, 4, 1022, 2**34 - 5, 2**62 - 5000]
SHAPES = [(1, 1, 1, 1), (3, 5, 2, 7), (0, 3, 2, 2), (4, 3, 6), (300, 7), (2, 37, 9, 4)]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("offset", OFFSETS)
def test_numbers_are_the_streams(seed, offset, device, dtype):
    for count in (1, 2, 1023, 1030):
        u = device.to_numpy(device.random_uniform((count,), dtype, seed, offset))
        assert u.dtype == dtype
        np.testing.assert_array_equal(u, philox.uniform(seed, offset, count, dtype))


def test_fewer_threads_than_numbers(device, dtype, few_blocks):
    u = device.to_numpy(device.random_uniform((7001,), dtype, 3, 6))
    np.testing.assert_array_equal(u, philox.uniform(3, 6, 7001, dtype))


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("inverted", [True, False])
def test_dropout(unit, shape, inverted, device, dtype):
    rng = np.random.default_rng(0)
    x, dy = (rng.normal(size=shape).astype(dtype) for _ in range(2))
    streams = Stream(11, 6), Stream(11, 6)
    for _ in range(2):  # the second goes on where the first ended
        results = []
        for ops, stream in zip((device, Ops()), streams, strict=True):
            y, saved = ops.dropout(ops.asarray(x), 0.4, stream, unit, inverted)
            results.append((ops.to_numpy(y), ops.to_numpy(ops.dropout_backward(ops.asarray(dy), saved))))
        for got, want in zip(*results, strict=True):
            np.testing.assert_array_equal(got, want)
        assert streams[0] == streams[1]


def test_units_with_fewer_threads_than_elements(device, dtype, few_blocks):
    x = np.random.default_rng(0).normal(size=(3, 5, 19, 11)).astype(dtype)
    for unit in UNITS:
        y, _ = device.dropout(device.asarray(x), 0.5, Stream(4), unit)
        np.testing.assert_array_equal(device.to_numpy(y), Ops().dropout(x, 0.5, Stream(4), unit)[0])


@pytest.mark.parametrize("shape", [(1,), (3, 5), (4, 3, 2, 7)], ids=str)
def test_drop_weights(shape, device, dtype):
    rng = np.random.default_rng(0)
    w, dy = (rng.normal(size=shape).astype(dtype) for _ in range(2))
    results = []
    for ops in (device, Ops()):
        y, saved = ops.drop_weights(ops.contiguous(ops.asarray(w)), 0.3, Stream(5, 2))
        dw = ops.drop_weights_backward(ops.contiguous(ops.asarray(dy)), saved)
        results.append((ops.to_numpy(y), ops.to_numpy(dw)))
    for got, want in zip(*results, strict=True):
        np.testing.assert_array_equal(got, want)


def test_nan_that_is_dropped_is_zero(device, dtype):
    x = np.full((6, 50), np.nan, dtype)
    y, _ = device.dropout(device.asarray(x), 0.5, Stream(1))
    y = device.to_numpy(y)
    assert set(np.unique(np.nan_to_num(y, nan=7.0))) == {0.0, 7.0}


def test_replays_read_positions_in_device_memory(device, dtype, monkeypatch):
    """What a captured step would launch again draws the numbers that an eager step would draw."""
    from fastnet.backends.device import random

    launched, launch = [], random.launch
    monkeypatch.setattr(random, "launch", lambda *given: (launched.append(given), launch(*given)))
    x = device.asarray(np.ones((6, 20), dtype))
    first, other, eager = Stream(2**63 + 1, 6), Stream(9), Stream(2**63 + 1, 6)
    positions = random.Positions([other.position, first.position])
    with positions:
        captured = [device.dropout(x, 0.5, first)[0] for _ in range(2)]  # a layer that is used twice
        other_too = device.dropout(x, 0.5, other)[0]
        alone = device.dropout(x, 0.5, Stream(77))[0]  # of another stream
    assert first == Stream(2**63 + 1, 6) and other == Stream(9)
    np.testing.assert_array_equal(device.to_numpy(alone), Ops().dropout(np.ones((6, 20), dtype), 0.5, Stream(77))[0])
    step = list(launched)
    for _ in range(3):
        positions.advance([other.position, first.position])
        for given in step:
            launch(*given)
        for y in captured:
            expected = Ops().dropout(np.ones((6, 20), dtype), 0.5, eager)[0]
            np.testing.assert_array_equal(device.to_numpy(y), expected)
        assert first == eager
        start = Stream(9, other.offset - 120)
        expected = Ops().dropout(np.ones((6, 20), dtype), 0.5, start)[0]
        np.testing.assert_array_equal(device.to_numpy(other_too), expected)
    first.set(3, 40)  # as a checkpoint does
    positions.advance([other.position, first.position])
    for given in step:
        launch(*given)
    expected = Ops().dropout(np.ones((6, 20), dtype), 0.5, Stream(3, 40))[0]
    np.testing.assert_array_equal(device.to_numpy(captured[0]), expected)


def test_positions_of_no_stream(device):
    from fastnet.backends.device.random import Positions

    positions = Positions([])
    with positions:
        y = device.random_uniform((5,), np.float32, 1, 2)
    positions.advance([])
    np.testing.assert_array_equal(device.to_numpy(y), philox.uniform(1, 2, 5, np.float32))


def test_numbers_that_the_host_draws_are_refused(device):
    from fastnet.backends.device.random import Positions

    stream = Stream(5, 8)
    with pytest.raises(RuntimeError, match="draws random numbers on the host"), Positions([stream.position]):
        stream.take(7)
    assert stream == Stream(5, 8)
