"""Pooling on the device against the oracle and the reference."""

from __future__ import annotations

import cases
import numpy as np
import oracle
import pytest
from backends.test_fractional import SETTINGS
from backends.test_pool import ties
from cuda.devices import HostOps

from fastnet.backends import Ops
from fastnet.geometry import Pool2dGeometry
from fastnet.ops import Stream
from fastnet.ops.checks import TIES
from fastnet.ops.fractional import spans

NAN = [cases.Pool(2, 3, 5, 7, 2), cases.Pool(1, 5, 7, 6, 3, 2, 1, True)]


@pytest.fixture
def ops(device):
    return HostOps(device)


def both(ops, op, x, *given, **attributes):
    """(y, dx) of a backend for dy of small integers."""
    y, saved = getattr(ops, op)(x, *given, **attributes)
    return y, getattr(ops, f"{op}_backward")(cases.integers(y.shape, x.dtype, 2, 1, 9), saved)


def assert_same(ops, op, x, *given, **attributes):
    results = (both(each, op, x, *given, **attributes) for each in (ops, Ops()))
    for got, expected in zip(*results, strict=True):
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)


WIDE = [cases.Pool(1, 300, 3, 3, 2, 1)]  # more channels than a block has threads


@pytest.mark.parametrize("case", cases.POOL + cases.DILATED + WIDE, ids=str)
def test_maxima_and_their_gradients_are_exact(ops, dtype, case):
    geometry = Pool2dGeometry.make(case.x_shape, **case.arguments)
    assert_same(ops, "max_pool2d", ties(case.x_shape, dtype), geometry)


@pytest.mark.parametrize("case", NAN, ids=str)
@pytest.mark.parametrize("activation", [None, ("relu", {})], ids=["alone", "relu"])
def test_nan_wins_and_a_relu_acts_on_maxima(ops, dtype, case, activation):
    x = ties(case.x_shape, dtype)
    x[:, ::2, ::3, ::2] = np.nan
    x[:, 1] = -np.inf
    geometry = Pool2dGeometry.make(case.x_shape, **case.arguments)
    assert_same(ops, "max_pool2d", x, geometry, activation=activation)


@pytest.mark.parametrize("rule", TIES)
@pytest.mark.parametrize("case", [cases.POOL[i] for i in (0, 3, 10, 19)] + NAN + cases.DILATED[1:4], ids=str)
def test_planes(ops, dtype, case, rule):
    x = ties(case.x_shape, dtype)
    x[:, 0, :2, :2] = np.nan
    geometry = Pool2dGeometry.make(case.x_shape, **case.arguments)
    dy = 60 * cases.integers(geometry.y_shape, dtype, 2, 1, 9)
    found = []
    for each in (ops, Ops()):
        y, saved = each.max_pool2d_planes(x, geometry, rule)
        found.append((y, each.max_pool2d_planes_backward(dy, saved)))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_allclose(found[0][1], found[1][1], 4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("case", cases.POOL + WIDE, ids=str)
def test_averages(ops, dtype, case, include):
    geometry = Pool2dGeometry.make(case.x_shape, **case.arguments, count_include_pad=include)
    x, eps = cases.integers(case.x_shape, dtype), np.finfo(dtype).eps
    (y, dx), (expected, gradient) = (both(each, "avg_pool2d", x, geometry) for each in (ops, Ops()))
    np.testing.assert_allclose(y, expected, 2 * eps)  # the sum of integers is exact
    np.testing.assert_allclose(dx, gradient, 8 * eps)


def test_averages_with_a_divisor_and_of_long_rows(ops, dtype):
    for shape, window, more in (((2, 3, 7, 8), (3, 2, 1), {"divisor": 4}), ((1, 2, 2, 80), ((2, 64), 16), {})):
        geometry = Pool2dGeometry.make(shape, *window, **more)
        assert_same(ops, "avg_pool2d", cases.integers(shape, dtype), geometry)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 4, 4), (1, 70, 8, 16), (0, 3, 2, 2), (2, 0, 2, 2)], ids=str)
def test_global_averages(ops, dtype, shape):
    assert_same(ops, "global_avg_pool2d", cases.integers(shape, dtype))


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (4, 9), (20, 3)], ids=str)
def test_adaptive_maxima(ops, dtype, size):
    x = ties((2, 5, 7, 5), dtype)
    x[0, 0, 2:4] = np.nan
    assert_same(ops, "adaptive_max_pool2d", x, size=size)


def test_adaptive_maxima_of_many_pixels_have_wide_positions(ops, dtype):
    assert_same(ops, "adaptive_max_pool2d", cases.normal((1, 2, 20, 31), dtype), size=(1, 2))


@pytest.mark.parametrize(
    "given",
    [
        {"size": (11, 9), "stream": Stream(3, 5)},
        {"size": (12, 13), "overlapping": False, "random": True, "stream": Stream(3, 5)},
        {"size": (6, 14), "window": (3, 2), "stream": Stream(3)},
        {"size": (2, 2), "window": (17, 16), "random": True, "stream": Stream(4)},
        {"size": (17, 16)},
    ],
    ids=str,
)
def test_fractional_maxima(ops, dtype, given):
    x, results = ties((2, 5, 18, 17), dtype), []
    for each in (ops, Ops()):
        stream = given.get("stream")
        drawn = {**given, **({} if stream is None else {"stream": Stream(stream.seed, stream.offset)})}
        results.append((*both(each, "fractional_max_pool2d", x, **drawn), getattr(drawn.get("stream"), "offset", None)))
    for got, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("how", ["evenly", "pseudo-randomly", "randomly"])
def test_spans(device, dtype, how):
    from fastnet.backends.device import spans as on_device

    for size, outputs, window, overlapping in [*SETTINGS, (2**19, 3, 0, True)]:
        streams = [None if how == "evenly" else Stream(7, 5) for _ in range(2)]
        given = 6, size, outputs, window, overlapping, how == "randomly"
        found = device.to_numpy(on_device._spans(dtype, *given, streams[0]))
        np.testing.assert_array_equal(found, spans(*given, streams[1]))
        assert streams[0] == streams[1]


def test_replays_draw_other_windows(device, dtype, monkeypatch):
    """Launches that were made with positions in device memory, as those of a captured step, are made again."""
    from fastnet.backends.device import random
    from fastnet.backends.device import spans as on_device

    launched, x = [], cases.normal((2, 3, 9, 8), dtype)
    for module in (random, on_device):
        launch = module.launch
        monkeypatch.setattr(module, "launch", lambda *a, run=launch: (launched.append((run, a)), run(*a)))
    stream, again, there = Stream(3, 8), Stream(3, 8), device.asarray(x)
    positions = random.Positions([stream.position])
    with positions:
        y, _ = device.fractional_max_pool2d(there, (6, 5), stream=stream)
    for _ in range(2):
        positions.advance([stream.position])
        for run, given in list(launched):
            run(*given)
        expected, _ = Ops().fractional_max_pool2d(x, (6, 5), stream=again)
        np.testing.assert_array_equal(device.to_numpy(y), expected)


def test_signals(ops, dtype):
    geometry = Pool2dGeometry.make((2, 3, 1, 19), (1, 3), (1, 2), (0, 0, 1, 1)).of_signals()
    for op in ("max_pool2d", "avg_pool2d"):
        x = 9 * cases.integers((2, 3, 19), dtype)
        (y, dx), (expected, gradient) = (both(each, op, x, geometry) for each in (ops, Ops()))
        np.testing.assert_allclose(y, expected, 1e-6)
        np.testing.assert_allclose(dx, gradient, 1e-6)


def test_the_oracle_agrees(ops, dtype):
    case = cases.Pool(2, 70, 9, 8, 3, 2, 1)
    geometry, x = Pool2dGeometry.make(case.x_shape, **case.arguments), ties(case.x_shape, dtype)
    y, _ = oracle.max_pool2d(x, (3, 3), (2, 2), (1, 1, 1, 1), False)
    np.testing.assert_array_equal(ops.max_pool2d(x, geometry)[0], y)
