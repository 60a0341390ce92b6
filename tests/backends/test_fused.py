"""Fused kernels compute what the single ops compute, with the same bits unless a product is fused.

The reference composes fused ops from single ones, so test_fused_reference.py compares it with the oracle.
"""

from __future__ import annotations

from functools import partial

import cases
import numpy as np
import pytest
from isas import ISAS, kernels

from fastnet import backends
from fastnet.geometry import Conv2dGeometry, Pool2dGeometry

same = np.testing.assert_array_equal
RELU = ("relu", {})

CONVOLUTIONS = [  # x, filters, kernel, stride, padding, groups: gemm, narrow, depthwise, grouped, Winograd's shape
    ((3, 5, 9, 8), 7, 3, 2, 1, 1),
    ((2, 16, 7, 9), 20, 3, 1, 1, 1),
    ((2, 40, 6, 5), 33, 1, 1, 0, 1),
    ((2, 3, 11, 10), 3, 5, 1, 2, 1),
    ((2, 9, 8, 20), 2, 3, 1, 1, 1),
    ((2, 18, 6, 7), 18, 3, 1, 1, 18),
    ((2, 8, 6, 7), 12, 3, 2, 1, 4),
    ((4, 24, 2, 2), 16, 3, 1, 1, 1),
]


class Composed(backends.NativeOps or backends.Ops):
    """The kernels of single ops: a fused op runs as its record composes it."""

    def kernel(self, op):
        return partial(op.forward, self) if op.composed else super().kernel(op)

    def gradient(self, op):
        return partial(op.backward, self) if op.composed else super().gradient(op)


def convolution(case, dtype):
    shape, K, size, stride, padding, groups = case
    w_shape = (K, shape[1] // groups, size, size)
    g = Conv2dGeometry.make(shape, w_shape, stride=stride, padding=padding, groups=groups)
    arrays = {"x": g.x_shape, "w": g.w_shape, "dy": g.y_shape, "add": g.y_shape, "dadd": g.x_shape}
    made = {name: cases.normal(size, dtype, seed) for seed, (name, size) in enumerate(arrays.items())}
    return g, made, cases.normal((K,), dtype, 7), cases.normal((K,), dtype, 8)


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_convolution_with_relu_and_an_accumulated_gradient(native, algorithm, dtype, case):
    g, a, _, b = convolution(case, dtype)
    y, saved = native.conv2d(a["x"], a["w"], b, g, RELU)
    plain, plain_saved = native.conv2d(a["x"], a["w"], b, g)
    expected, positive = native.relu(plain)
    same(y, expected)
    assert (y == 0).any() and (y > 0).any()
    got = native.conv2d_backward(a["dy"], saved, add=a["dadd"])
    dx, dw, db = native.conv2d_backward(native.relu_backward(a["dy"], positive), plain_saved)
    for one, other in zip(got, (dx + a["dadd"], dw, db), strict=True):
        same(one, other)


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("added", [False, True])
def test_scaled_convolution(native, algorithm, dtype, case, relu, added):
    g, a, scale, shift = convolution(case, dtype)
    y = native.conv2d_scaled(a["x"], a["w"], scale, shift, None, a["add"] if added else None, g, RELU if relu else None)
    plain = native.conv2d(a["x"], a["w"], None, g)[0].astype(np.float64)
    expected = plain * scale[:, None, None] + shift[:, None, None] + (a["add"] if added else 0)
    bound = 8 * np.finfo(dtype).eps * (abs(plain * scale[:, None, None]) + abs(shift[:, None, None]) + 4)
    np.testing.assert_array_less(abs(y - (np.maximum(expected, 0) if relu else expected)), bound)
    assert y.dtype == dtype and (not relu or (y >= 0).all())


def test_nan_goes_through_relu(ops, dtype):
    g, a, scale, shift = convolution(CONVOLUTIONS[0], dtype)
    a["x"][0, 0, 4, 4] = np.nan
    assert np.isnan(ops.conv2d_scaled(a["x"], a["w"], scale, shift, None, None, g, RELU)).any()
    assert np.isnan(ops.conv2d(a["x"], a["w"], shift, g, RELU)[0]).any()


def test_wrong_shapes_of_a_sum_are_refused(ops):
    g, a, scale, shift = convolution(CONVOLUTIONS[0], np.dtype(np.float32))
    with pytest.raises(ValueError, match="conv2d_scaled: add"):
        ops.conv2d_scaled(a["x"], a["w"], scale, shift, None, a["add"][:, :, 1:], g)
    with pytest.raises(ValueError, match="conv2d_scaled: scale"):
        ops.conv2d_scaled(a["x"], a["w"], scale[1:], shift, None, None, g)
    with pytest.raises(ValueError, match="conv2d_backward: add"):
        ops.conv2d_backward(a["dy"], ops.conv2d(a["x"], a["w"], None, g)[1], add=a["dadd"][1:])


@pytest.mark.parametrize(
    "shape", [(2, 3), (64, 5), (2, 1, 3, 3), (3, 16, 5, 4), (2, 7, 31, 9), (2, 100, 6, 6), (4, 600, 2, 2)]
)
@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_batch_norm_with_relu(native, dtype, shape, added, training):
    x, dy, add = (cases.normal(shape, dtype, seed) for seed in range(3))
    gamma, beta, mean = (cases.normal(shape[1:2], dtype, seed) for seed in range(3, 6))
    var = abs(cases.normal(shape[1:2], dtype, 6)) + dtype.type(0.1)
    running = mean.copy(), var.copy()
    y, saved = native.batch_norm_activation(x, gamma, beta, *running, add if added else None, training, activation=RELU)
    plain, plain_saved = native.batch_norm(x, gamma, beta, mean, var, training)
    same(running[0], mean)
    expected, positive = native.relu(plain + add if added else plain)
    same(y, expected)
    *gradients, dadd = native.batch_norm_activation_backward(dy, saved, (True,) * 3 + (added,))
    gated = native.relu_backward(dy, positive)
    for one, other in zip(gradients, native.batch_norm_backward(gated, plain_saved), strict=True):
        same(one, other)
    same(dadd, gated) if added else None
    assert (dadd is None) == (not added)
    assert native.batch_norm_activation_backward(dy, saved, (True, False, False, False))[1:3] == (None, None)


@pytest.mark.parametrize("window", [(2, 2, 0), (3, 2, 1), (3, 1, 1), (17, 4, 8), (16, 16, 0)], ids=str)
def test_max_pooling_with_relu(native, dtype, window):
    size, stride, padding = window
    x = cases.normal((2, 5, 18, 33), dtype) - dtype.type(2)
    x[0, :, :9] -= 9  # windows without a positive element
    x[1, 0, 0, 0], x[1, 1, 3, 3] = np.nan, 50
    g = Pool2dGeometry.make(x.shape, size, stride, padding)
    y, saved = native.max_pool2d(x, g, RELU)
    plain, plain_saved = native.max_pool2d(x, g)
    expected, positive = native.relu(plain)
    same(y, expected)
    dy = cases.normal(g.y_shape, dtype, 1)
    same(
        native.max_pool2d_backward(dy, saved),
        native.max_pool2d_backward(native.relu_backward(dy, positive), plain_saved),
    )


def test_linear_with_relu(native, dtype):
    x, w, b, dy = (cases.normal(s, dtype, i) for i, s in enumerate([(9, 17), (21, 17), (21,), (9, 21)]))
    y, saved = native.linear(x, w, b, RELU)
    plain, plain_saved = native.linear(x, w, b)
    expected, positive = native.relu(plain)
    same(y, expected)
    expected = native.linear_backward(native.relu_backward(dy, positive), plain_saved)
    for one, other in zip(native.linear_backward(dy, saved), expected, strict=True):
        same(one, other)


# from 16 images on kernels run a few images at a time: each algorithm of forward, input and weight gradient
FUSABLE = [
    ((17, 8, 9, 8), 12, 3, 1, 1, 1),
    ((33, 24, 6, 7), 20, 3, 1, 1, 1),
    ((16, 9, 8, 8), 10, 5, 1, 2, 1),
    ((18, 5, 9, 8), 7, 3, 2, 1, 1),
    ((16, 3, 11, 10), 9, 5, 1, 2, 1),
    ((17, 20, 6, 5), 33, 1, 2, 0, 1),
    ((16, 40, 2, 2), 16, 3, 1, 1, 1),
    ((20, 70, 4, 4), 60, 3, 1, 1, 1),
    ((16, 18, 6, 7), 18, 3, 1, 1, 18),
    ((16, 8, 6, 7), 12, 3, 2, 1, 4),
    ((2, 16, 7, 9), 20, 3, 1, 1, 1),
    ((129, 2, 3, 3), 5, 3, 1, 1, 1),
]


@pytest.mark.parametrize("case", FUSABLE, ids=str)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("relu, added", [(False, False), (True, False), (True, True)])
def test_convolution_and_batch_norm(native, algorithm, dtype, case, training, relu, added):
    """The same bits as the composition of the record."""
    g, a, gamma, beta = convolution(case, dtype)
    bias, start = cases.normal((g.K,), dtype, 9), cases.normal((g.K,), dtype, 10)
    add, results = a["add"] if added else None, []
    for ops in (native, Composed()):
        running = [start.copy(), abs(start) + 1]
        y, saved = ops.conv2d_batch_norm(
            a["x"], a["w"], bias, gamma, beta, *running, add, g, training, activation=RELU if relu else None
        )
        gradients = ops.conv2d_batch_norm_backward(a["dy"], saved, (True,) * 5 + (added,), add=a["dadd"])
        results.append([y, *running, *gradients])
        fewer = ops.conv2d_batch_norm_backward(a["dy"], saved, (False, True, False, True, False, False))
        assert [got is None for got in fewer[:5]] == [True, False, True, False, True]
        same(fewer[1], gradients[1])
    db = [result.pop(5) for result in results]
    for one, other in zip(*results, strict=True):
        same(one, other)
    if training:
        same(db[0], 0)
    bound = 100 * abs(a["dy"]).sum(axis=(0, 2, 3)) * (abs(gamma) + 1) * np.finfo(dtype).eps
    np.testing.assert_array_less(abs(db[0] - db[1]), bound)


POOLS = [  # window, stride, padding, ceil_mode, relu
    *((2, 2, 0, False, True), (2, 2, 0, True, False), (3, 2, 1, False, True), (3, 2, 1, True, False)),
    *((2, 1, 1, False, True), (7, 6, 0, True, True)),
]


@pytest.mark.parametrize("case", FUSABLE, ids=str)
@pytest.mark.parametrize("window", POOLS, ids=str)
def test_convolution_and_max_pooling(native, algorithm, dtype, case, window):
    """The same bits as the composition; gradients may be accumulated in another order."""
    g, a, _, bias = convolution(case, dtype)
    size, stride, padding, ceil_mode, relu = window
    activation = RELU if relu else None
    size = size if size > 3 else min(size, *g.y_shape[2:])  # 7, with ceil_mode: larger than some outputs
    pool = Pool2dGeometry.make(g.y_shape, size, stride, padding, ceil_mode)
    dy, results = cases.normal(pool.y_shape, dtype, 11), []
    a["x"][0], bias[0] = 0, 0  # maxima that are 0
    for ops in (native, Composed()):
        y, saved = ops.conv2d_max_pool(a["x"], a["w"], bias, g, pool, activation)
        gradients = ops.conv2d_max_pool_backward(dy, saved, add=a["dadd"])
        results.append([y, *gradients])
        for needs in [(False, True, False), (True, False, True), (False, False, False)]:
            fewer = ops.conv2d_max_pool_backward(dy, saved, needs, add=a["dadd"])
            assert [got is not None for got in fewer] == list(needs)
            for got, need, expected in zip(fewer, needs, gradients, strict=True):
                same(got, expected) if need else None
    (y, *got), (expected, *apart) = results
    same(y, expected)
    largest = native.max_pool2d(native.conv2d(a["x"], a["w"], bias, g)[0], pool, activation)[1]
    between, convolved = (
        native.max_pool2d_backward(abs(dy), largest),
        native.conv2d(abs(a["x"]), abs(a["w"]), None, g)[1],
    )
    sizes = native.conv2d_backward(between, convolved, (True, True, False))
    for one, other, size in zip(got, apart, (abs(sizes[0]) + abs(a["dadd"]), sizes[1]), strict=False):
        bound = 8 * np.finfo(dtype).eps * abs(size) + np.finfo(dtype).tiny
        np.testing.assert_array_less(abs(one.astype(np.float64) - other), bound)
    db = got[2].astype(np.float64)
    counts = dy * (expected > 0) if relu else dy
    bound = 8 * np.finfo(dtype).eps * abs(counts).sum(axis=(0, 2, 3)) + np.finfo(dtype).tiny
    np.testing.assert_array_less(abs(db - counts.sum(axis=(0, 2, 3), dtype=np.float64)), bound)


PATCHES = [  # x, filters, kernel, stride, padding, dilation, pooling's arguments
    ((17, 1, 28, 28), 6, 5, 1, 2, 1, (2,)),
    ((16, 3, 32, 30), 33, 7, 1, 3, 1, (2, 2, 0, False, True)),
    ((3, 3, 63, 60), 20, 11, 4, 2, 1, (3, 2)),
    ((5, 20, 11, 12), 18, 5, 1, 0, 1, (3, 2, 1, True)),
    ((2, 13, 70, 40), 5, 6, 2, (2, 1), (3, 1), (2, 2, 1)),
    ((1, 40, 9, 9), 3, (8, 2), 1, 0, 1, (2,)),
    ((18, 12, 14, 14), 32, 5, 1, 0, 1, (2,)),
    ((6, 5, 12, 13), 18, 7, 2, 6, 1, (2,)),
    ((16, 1, 12, 12), 6, 5, 1, 0, 1, (9, 8, 0, True)),
    ((17, 1, 28, 28), 6, 5, 1, 2, 1, (2, 2, 0, False, True, "pool", 2)),
]


def patches(case):
    shape, K, size, stride, padding, dilation, window = case
    kernel = size if isinstance(size, tuple) else (size, size)
    g = Conv2dGeometry.make(shape, (K, shape[1], *kernel), stride=stride, padding=padding, dilation=dilation)
    return g, Pool2dGeometry.make(g.y_shape, *window)


@pytest.mark.parametrize("case", PATCHES, ids=str)
def test_gradients_from_maxima_alone_are_exact_on_integers(native, dtype, case):
    g, pool = patches(case)
    x, w, dy = (cases.integers(size, dtype, i, -4, 4) for i, size in enumerate((g.x_shape, g.w_shape, pool.y_shape)))
    add = cases.integers(g.x_shape, dtype, 3, -4, 4)
    for activation in None, RELU:
        y, saved = native.conv2d_max_pool(x, w, None, g, pool, activation)
        expected, apart = Composed().conv2d_max_pool(x, w, None, g, pool, activation)
        same(y, expected)
        got = native.conv2d_max_pool_backward(dy, saved, (True, True, True), add=add)
        composed = Composed().conv2d_max_pool_backward(dy, apart, (True, True, True), add=add)
        for one, other in zip(got, composed, strict=True):
            same(one, other)
        same(native.conv2d_max_pool_backward(dy, saved, (True, False, False))[0], got[0] - add)


@pytest.mark.parametrize("case", PATCHES, ids=str)
def test_gradients_from_maxima_alone_have_the_same_bits_in_each_variant(threads, case):
    """On instruction sets with FMA and any number of threads; the input gradient for any split of the batch too."""
    g, pool = patches(case)
    x, w, dy = (
        cases.normal(size, np.dtype(np.float32), i) for i, size in enumerate((g.x_shape, g.w_shape, pool.y_shape))
    )
    N, expected = len(x), None
    for isa in [isa for isa in ISAS if isa != "portable"]:
        with kernels(isa, "auto") as ops:
            for count in 1, 2, 3, 7:
                threads(count)
                saved = ops.conv2d_max_pool(x, w, None, g, pool, RELU)[1]
                got = ops.conv2d_max_pool_backward(dy, saved, (True, True, True))
                expected = expected or got
                for one, other in zip(got, expected, strict=True):
                    same(one, other)
            for first in range(0, N, 3):
                part, part_pool = patches((x[first : first + 3].shape, *case[1:]))
                _, saved = ops.conv2d_max_pool(x[first : first + 3], w, None, part, part_pool, RELU)
                same(ops.conv2d_max_pool_backward(dy[first : first + 3], saved)[0], expected[0][first : first + 3])


def test_an_infinite_gradient_stays_in_its_patch():
    """It reaches the pixels under its maximum's kernel and the weights of its filter, and no others."""
    g, pool = patches(((4, 6, 14, 14), 16, 5, 1, 0, 1, (2,)))
    x, w, dy = (
        cases.normal(size, np.dtype(np.float32), i) for i, size in enumerate((g.x_shape, g.w_shape, pool.y_shape))
    )
    dy[1, 3, 2, 2] = np.inf
    with kernels(algorithm="auto") as ops:
        saved = ops.conv2d_max_pool(x, w, None, g, pool)[1]
        dx, dw, db = ops.conv2d_max_pool_backward(dy, saved, (True, True, True))
    reached = np.argwhere(~np.isfinite(dx))
    assert set(reached[:, 0]) == {1} and all(np.ptp(reached[:, axis]) == 4 for axis in (2, 3))
    assert set(np.argwhere(~np.isfinite(dw))[:, 0]) == {3} and not np.isfinite(db[3])


def test_convolution_and_max_pooling_with_large_windows_and_no_bias(native):
    """Windows of 256 pixels: the index has 32 bits."""
    shape, w_shape = (16, 4, 20, 20), (5, 4, 3, 3)
    g = Conv2dGeometry.make(shape, w_shape, padding=1)
    pool = Pool2dGeometry.make(g.y_shape, 16, 4)
    x, w, dy = (cases.integers(size, np.float64, seed) for seed, size in enumerate((shape, w_shape, pool.y_shape)))
    results = []
    for ops in (native, Composed()):
        y, saved = ops.conv2d_max_pool(x, w, None, g, pool, RELU)
        results.append([y, *ops.conv2d_max_pool_backward(dy, saved, (True, True, True))])
    for one, other in zip(*results, strict=True):
        same(one, other)


def test_convolution_and_max_pooling_refuse_wrong_arguments(ops):
    g, a, _, bias = convolution(FUSABLE[0], np.float32)
    pool = Pool2dGeometry.make(g.y_shape, 2)
    with pytest.raises(ValueError, match="conv2d_max_pool: .* output .17, 12, 9, 8., got .17, 12, 8, 8."):
        ops.conv2d_max_pool(a["x"], a["w"], bias, g, Pool2dGeometry.make((17, 12, 8, 8), 2))
    _, saved = ops.conv2d_max_pool(a["x"], a["w"], bias, g, pool)
    with pytest.raises(ValueError, match="dy"):
        ops.conv2d_max_pool_backward(a["dy"], saved)
    with pytest.raises(ValueError, match="add"):
        ops.conv2d_max_pool_backward(cases.normal(pool.y_shape, np.float32), saved, add=a["dadd"][:3])


def test_convolution_and_batch_norm_refuse_wrong_arguments(ops):
    g, a, gamma, beta = convolution(FUSABLE[0], np.float32)
    with pytest.raises(ValueError, match="add"):
        ops.conv2d_batch_norm(a["x"], a["w"], None, gamma, beta, None, None, a["add"][:, :3], g, True, activation=RELU)
    with pytest.raises(ValueError, match="gamma"):
        ops.conv2d_batch_norm(a["x"], a["w"], None, gamma[:3], beta, None, None, None, g, True)
    _, saved = ops.conv2d_batch_norm(a["x"], a["w"], None, gamma, beta, None, None, None, g, True)
    with pytest.raises(ValueError, match="dy"):
        ops.conv2d_batch_norm_backward(a["dy"][:3], saved)
    with pytest.raises(ValueError, match="add"):
        ops.conv2d_batch_norm_backward(a["dy"], saved, add=a["x"][:3])
