"""Winograd convolutions: error bounds, the choice of algorithm, and same bits, for every instruction set and dtype."""

from __future__ import annotations

from functools import lru_cache

import cases
import numpy as np
import oracle
import pytest
from isas import ISAS, kernels

import fastnet
from fastnet.backends import Ops
from fastnet.geometry import Conv2dGeometry

SHAPES = [
    cases.Conv(2, 3, 8, 9, 5, 3, 3, 1, 1),
    cases.Conv(1, 1, 1, 1, 1, 3, 3, 1, 1),
    cases.Conv(3, 20, 7, 7, 33, 3, 3, 1, (1, 0, 2, 1)),
    cases.Conv(2, 64, 12, 12, 70, 3, 3, 1, 1),
    cases.Conv(5, 17, 13, 6, 16, 3, 3),
    cases.Conv(2, 8, 10, 10, 8, 3, 3, 1, 2, 1, 2),
    cases.Conv(70, 16, 5, 5, 16, 3, 3, 1, 1),
    cases.Conv(2, 3, 8, 9, 5, 5, 5, 1, 2),
    cases.Conv(1, 1, 5, 5, 1, 5, 5),
    cases.Conv(3, 20, 7, 8, 33, 5, 5, 1, (1, 0, 2, 3)),
    cases.Conv(2, 40, 12, 11, 70, 5, 5, 1, 2),
    cases.Conv(2, 8, 10, 10, 8, 5, 5, 1, 2, 1, 2),
    cases.Conv(130, 12, 6, 5, 16, 5, 5, 1, 1),
    cases.Conv(100, 40, 7, 8, 40, 3, 3, 1, 1),  # dw: several chunks of tiles
    cases.Conv(2, 200, 8, 7, 205, 3, 3, 1, 1),  # few tiles: some filters at a time
]
# transformed weights exceed the cache; tiles exceed one block
MANY_WEIGHTS = cases.Conv(33, 421, 8, 7, 420, 3, 3, 1, 1)
# relative L2 against float64 on unit-variance data; measured: at most 1.8e-6 (256 channels) and 3.4e-15
BOUND = {np.dtype(np.float32): 3e-6, np.dtype(np.float64): 6e-15}


def arrays_of(case, dtype):
    x, w, b = (cases.normal(s, dtype, i) for i, s in enumerate((case.x_shape, case.w_shape, (case.K,))))
    geometry = Conv2dGeometry.make(x.shape, w.shape, **case.arguments)
    return x, w, b, cases.normal(geometry.y_shape, dtype, 3), geometry


def run(ops, x, w, b, dy, geometry):
    y, saved = ops.conv2d(x, w, b, geometry)
    return y, *ops.conv2d_backward(dy, saved)


@pytest.fixture
def algorithm():
    """fastnet.set_conv_algorithm, undone after the test."""
    before = fastnet.get_conv_algorithm()
    yield fastnet.set_conv_algorithm
    fastnet.set_conv_algorithm(before)


@lru_cache(maxsize=len(SHAPES))
def in_float64(case, dtype):
    """y, dx, dw and db by the reference, for all instruction sets."""
    x, w, b, dy, geometry = arrays_of(case, dtype)
    return run(Ops(), *(a.astype(np.float64) for a in (x, w, b, dy)), geometry)


def check_errors(found, exact, dtype):
    for name, got, expected in zip(("y", "dx", "dw"), found, exact, strict=False):
        assert np.linalg.norm(got - expected) <= BOUND[dtype] * np.linalg.norm(expected), name


@pytest.mark.parametrize("case", SHAPES, ids=str)
def test_error_is_small(native, algorithm, dtype, case):
    algorithm("winograd")
    check_errors(run(native, *arrays_of(case, dtype)), in_float64(case, dtype), dtype)


def test_error_is_small_with_many_weights(best_native, algorithm, dtype):
    """Against the direct kernels, since plain NumPy takes seconds."""
    *arrays, geometry = arrays_of(MANY_WEIGHTS, dtype)
    algorithm("direct")
    exact = run(best_native, *(a.astype(np.float64) for a in arrays), geometry)
    algorithm("winograd")
    check_errors(run(best_native, *arrays, geometry), exact, dtype)


def test_against_plain_loops(native, algorithm):
    algorithm("winograd")
    x, w, b, _, _ = arrays_of(cases.Conv(1, 3, 6, 7, 4, 3, 3, 1, 1), np.dtype(np.float64))
    y, _ = native.conv2d(x, w, b, Conv2dGeometry.make(x.shape, w.shape, padding=1))
    np.testing.assert_allclose(y, oracle.conv2d(x, w, b, (1, 1), (1, 1, 1, 1), (1, 1), 1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", SHAPES, ids=str)
def test_bits_depend_on_neither_threads_nor_fma_isa(threads, algorithm, dtype, case):
    arguments, results = arrays_of(case, dtype), set()
    for isa in set(ISAS) & {"avx2", "avx512"}:
        with kernels(isa) as ops:
            algorithm("winograd")
            for count in (1, 2, 3, 7):
                threads(count)
                results.add(tuple(a.tobytes() for a in run(ops, *arguments)))
    if results:
        assert len(results) == 1


SPLIT = [cases.Conv(7, 20, 9, 6, 24, 3, 3, 1, 1), cases.Conv(40, 40, 8, 6, 136, 3, 3, 1, 1), MANY_WEIGHTS]


@pytest.mark.parametrize("case", SPLIT, ids=str)
def test_bits_do_not_depend_on_how_a_batch_is_split(best_native, algorithm, dtype, case):
    algorithm("winograd")
    x, w, b, dy, _ = arrays_of(case, dtype)

    def forward_and_input_gradient(part):
        geometry = Conv2dGeometry.make(x[part].shape, w.shape, padding=1)
        return run(best_native, x[part], w, b, dy[part], geometry)[:2]

    whole = forward_and_input_gradient(slice(None))
    for cut in (1, 3):
        parts = [forward_and_input_gradient(slice(0, cut)), forward_and_input_gradient(slice(cut, None))]
        for index in (0, 1):
            np.testing.assert_array_equal(np.concatenate([p[index] for p in parts]), whole[index])


def test_auto_takes_winograd_by_shape_and_direct_is_exact(best_native, algorithm):
    rng = np.random.default_rng(0)
    x = rng.integers(-8, 9, (2, 64, 12, 12)).astype(np.float32)
    w = rng.integers(-8, 9, (64, 64, 3, 3)).astype(np.float32)
    geometry = Conv2dGeometry.make(x.shape, w.shape, padding=1)
    exact, _ = Ops().conv2d(x.astype(np.float64), w.astype(np.float64), None, geometry)
    results = {}
    for name in ("auto", "direct", "winograd"):
        algorithm(name)
        assert fastnet.get_conv_algorithm() == name
        results[name] = best_native.conv2d(x, w, None, geometry)[0]
    np.testing.assert_array_equal(results["direct"], exact)
    assert not np.array_equal(results["winograd"], exact)
    np.testing.assert_array_equal(results["auto"], results["winograd"])

    few = np.ascontiguousarray(x[:, :7]), np.ascontiguousarray(w[:, :7])
    geometry = Conv2dGeometry.make(few[0].shape, few[1].shape, padding=1)
    algorithm("auto")
    exact, _ = Ops().conv2d(few[0], few[1], None, geometry)
    np.testing.assert_array_equal(best_native.conv2d(*few, None, geometry)[0], exact)


def test_unknown_algorithm():
    with pytest.raises(ValueError, match="auto, direct, winograd, got 'fft'"):
        fastnet.set_conv_algorithm("fft")
