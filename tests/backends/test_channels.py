"""PReLU and maxout against plain formulas in float64, at hostile shapes, on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest
from isas import ISAS, kernels

from fastnet.backends import use_backend

SHAPES = [(1, 1), (7, 12), (300, 3), (2, 4, 5), (3, 6, 5, 7), (2, 130, 9, 3), (40, 16, 16, 16), (0, 6), (3, 6, 0, 2)]


@pytest.fixture(params=["reference", *ISAS])
def ops(request):
    with use_backend("reference") if request.param == "reference" else kernels(request.param) as found:
        yield found


def arrays(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape).astype(dtype), rng.normal(size=shape).astype(dtype)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_prelu(ops, dtype, shape, shared):
    x, dy = arrays(shape, dtype)
    w = np.random.default_rng(2).normal(size=1 if shared else shape[1]).astype(dtype)
    slopes = np.broadcast_to(w, shape[1:2]).reshape(1, -1, *(1,) * (len(shape) - 2))
    y, saved = ops.prelu(x, w)
    dx, dw = ops.prelu_backward(dy, saved)
    np.testing.assert_array_equal(y, np.where(x > 0, x, x * slopes))
    np.testing.assert_array_equal(dx, np.where(x > 0, dy, dy * slopes))
    products = np.where(x > 0, 0, x.astype(np.float64) * dy)
    axes = tuple(axis for axis in range(len(shape)) if shared or axis != 1)
    bound = 16 * np.finfo(dtype).eps * (np.abs(products).sum(axis=axes) + 1)
    assert (np.abs(dw - products.sum(axis=axes)) <= bound).all() and dw.shape == w.shape


def test_nan_stays_and_slopes_are_the_user_s(ops):
    x = np.array([[np.nan, -1.0, 0.0, 2.0]])
    y, _ = ops.prelu(x, np.array([2.0]))
    np.testing.assert_array_equal(y, [[np.nan, -2.0, 0.0, 2.0]])  # max(2x, x) would be -1 at -1, and 4 at 2


def test_sums_have_the_same_bits_for_any_number_of_threads(dtype):
    from fastnet import get_num_threads, set_num_threads

    before, found = get_num_threads(), []
    x, dy = arrays((40, 33, 16, 16), dtype)
    try:
        for isa in [isa for isa in ISAS if isa != "portable"]:
            with kernels(isa) as native:
                for threads in (1, 2, 5):
                    set_num_threads(threads)
                    found.append(native.prelu_backward(dy, native.prelu(x, np.full(33, 0.25, dtype))[1])[1])
    finally:
        set_num_threads(before)
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


@pytest.mark.parametrize("pieces", [1, 2, 3, 6])
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape[1] % 6 == 0], ids=str)
def test_maxout(ops, dtype, shape, pieces):
    x = np.random.default_rng(1).integers(-2, 3, shape).astype(dtype)  # with many equal values
    groups = x.reshape(shape[0], shape[1] // pieces, pieces, *shape[2:])
    y, saved = ops.maxout(x, pieces)
    np.testing.assert_array_equal(y, groups.max(axis=2))
    dy = arrays(y.shape, dtype)[1]
    first = groups.argmax(axis=2)[:, :, None] == np.arange(pieces).reshape(-1, *(1,) * (len(shape) - 2))
    expected = np.where(first, dy[:, :, None], 0).reshape(shape)
    np.testing.assert_array_equal(ops.maxout_backward(dy, saved), expected)


def test_maxout_of_nan(ops):
    y, saved = ops.maxout(np.array([[1.0, np.nan, 3.0, 2.0]]), 2)
    np.testing.assert_array_equal(y, [[np.nan, 3.0]])
    np.testing.assert_array_equal(ops.maxout_backward(np.ones_like(y), saved), [[0, 1, 1, 0]])


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda ops: ops.prelu(np.ones((2, 3)), np.ones(2)), r"weight must have shape \(1,\) or \(3,\)"),
        (lambda ops: ops.maxout(np.ones((2, 5)), 2), "5 channels do not divide into groups of pieces=2"),
        (lambda ops: ops.maxout(np.ones((2, 512)), 256), r"pieces must lie in 1\.\.255, got 256"),
    ],
)
def test_channels_that_do_not_fit(ops, call, words):
    with pytest.raises(ValueError, match=words):
        call(ops)
