"""Geometry: its arithmetic against a brute-force definition."""

from __future__ import annotations

import struct

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from randomized import examples

from fastnet.geometry import Conv2dGeometry, Pool2dGeometry

small = st.integers(1, 9)

sides = st.one_of(st.integers(0, 6), st.tuples(*[st.integers(0, 6)] * 2), st.tuples(*[st.integers(0, 6)] * 4))

pairs = st.one_of(st.integers(1, 5), st.tuples(st.integers(1, 5), st.integers(1, 5)))


def two(value):
    return (value, value) if isinstance(value, int) else tuple(value)


def four(padding):
    if isinstance(padding, tuple) and len(padding) == 4:
        return padding
    vertical, horizontal = two(padding)
    return vertical, vertical, horizontal, horizontal


@examples(300)
@given(st.tuples(st.integers(0, 3), small, st.integers(1, 14), st.integers(1, 14)), small, pairs, pairs, sides, pairs)
def test_convolution_sizes_equal_counting(x_shape, K, kernel, stride, padding, dilation):
    (R, S), stride_pair, four_sides, dilation_pair = two(kernel), two(stride), four(padding), two(dilation)
    spans = (R - 1) * dilation_pair[0] + 1, (S - 1) * dilation_pair[1] + 1
    P = oracle.out_size(x_shape[2], spans[0], stride_pair[0], *four_sides[:2])
    Q = oracle.out_size(x_shape[3], spans[1], stride_pair[1], *four_sides[2:])
    w_shape = (K, x_shape[1], R, S)
    if P == 0 or Q == 0:
        with pytest.raises(ValueError, match="more than the padded input's"):
            Conv2dGeometry.make(x_shape, w_shape, stride, padding, dilation)
        return
    g = Conv2dGeometry.make(x_shape, w_shape, stride, padding, dilation)
    assert g.y_shape == (x_shape[0], K, P, Q) and g.x_shape == x_shape and g.w_shape == w_shape
    assert (g.stride, g.padding, g.dilation, g.groups) == (stride_pair, four_sides, dilation_pair, 1)
    assert g.macs == x_shape[0] * K * P * Q * x_shape[1] * R * S
    numbers = [*x_shape, K, R, S, P, Q, *stride_pair, *four_sides, *dilation_pair, 1]
    assert struct.unpack("=18q", g.packed) == tuple(numbers)


@examples(300)
@given(
    st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(1, 14), st.integers(1, 14)),
    pairs,
    st.one_of(st.none(), pairs),
    sides,
    st.booleans(),
    st.booleans(),
    pairs,
)
def test_pooling_sizes_equal_counting(x_shape, kernel, stride, padding, ceil_mode, include, dilation):
    (R, S), four_sides, apart = two(kernel), four(padding), two(dilation)
    step = (R, S) if stride is None else two(stride)
    y_shape = oracle.pool_shape(x_shape, (R, S), step, four_sides, ceil_mode, apart)
    covered = [
        list(oracle.taps(x_shape[2 + i], (R, S)[i], step[i], four_sides[2 * i], apart[i], p))
        for i in (0, 1)
        for p in range(y_shape[2 + i])
    ]
    spans = [apart[0] * (R - 1) + 1, apart[1] * (S - 1) + 1]
    padded = max(four_sides[:2]) >= spans[0] or max(four_sides[2:]) >= spans[1]  # a window of padding alone
    if padded or 0 in y_shape[2:] or not all(covered):
        with pytest.raises(ValueError, match="smaller than the kernel|larger than the padded|no pixel inside"):
            Pool2dGeometry.make(x_shape, kernel, stride, padding, ceil_mode, include, dilation=dilation)
        return
    g = Pool2dGeometry.make(x_shape, kernel, stride, padding, ceil_mode, include, "pool", dilation, 7)
    assert g.y_shape == y_shape
    assert (g.stride, g.padding, g.count_include_pad, g.dilation, g.divisor) == (step, four_sides, include, apart, 7)
    numbers = *x_shape, R, S, *g.y_shape[2:], *step, *four_sides, include, *apart, 7
    assert struct.unpack("=18q", g.packed) == numbers


@examples(300)
@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(1, 7), st.integers(1, 7), st.integers(1, 9), st.integers(1, 3)
)
def test_same_is_tensorflows_definition_at_any_stride(H, W, R, S, stride, dilation):
    """ceil(size / stride) outputs; what padding is missing goes before and after, the odd pixel after."""
    g = Conv2dGeometry.make((1, 1, H, W), (1, 1, R, S), stride, "same", dilation)
    for size, kernel, out, before, after in (
        (H, R, g.P, *g.padding[:2]),
        (W, S, g.Q, *g.padding[2:]),
    ):
        effective = (kernel - 1) * dilation + 1
        assert out == -(-size // stride)
        # tensorflow/core/framework/common_shape_fns.cc
        missing = effective - stride if size % stride == 0 else effective - size % stride
        assert before + after == max(missing, 0) and before == max(missing, 0) // 2
    if dilation == 1:
        pool = Pool2dGeometry.make((1, 1, H, W), (R, S), stride, "same")
        assert (pool.P, pool.Q, pool.padding) == (g.P, g.Q, g.padding)


def test_valid_is_no_padding():
    assert Conv2dGeometry.make((1, 2, 7, 7), (3, 2, 3, 3), padding="valid").padding == (0, 0, 0, 0)
    assert Pool2dGeometry.make((1, 2, 7, 7), 3, padding="valid").padding == (0, 0, 0, 0)


def test_lists_and_numpy_integers_are_as_good_as_tuples_and_ints():
    expected = Conv2dGeometry.make((2, 3, 9, 9), (4, 3, 3, 3), (2, 1), (1, 1, 0, 2), (1, 2))
    got = Conv2dGeometry.make([2, 3, 9, 9], [4, 3, 3, 3], [2, 1], [1, 1, 0, 2], [1, 2])
    assert got == expected
    numbers = {"stride": np.int64(2), "padding": np.uint8(1), "dilation": np.int32(1), "groups": np.int16(1)}
    assert Conv2dGeometry.make((2, 3, 9, 9), (4, 3, 3, 3), **numbers) == Conv2dGeometry.make(
        (2, 3, 9, 9), (4, 3, 3, 3), 2, 1
    )
    assert Pool2dGeometry.make([2, 3, 9, 9], [3, 2], [2, 1], [1, 0]) == Pool2dGeometry.make(
        (2, 3, 9, 9), (3, 2), (2, 1), (1, 0)
    )


def test_a_geometry_cannot_be_changed():
    geometry = Conv2dGeometry.make((1, 1, 3, 3), (1, 1, 3, 3))
    with pytest.raises(AttributeError):
        geometry.N = 5


def test_groups():
    for C, K, groups in ((4, 16, 2), (6, 9, 3), (24, 24, 24), (8, 16, 8)):
        g = Conv2dGeometry.make((1, C, 5, 5), (K, C // groups, 3, 3), groups=groups)
        assert (g.C, g.K, g.groups, g.w_shape) == (C, K, groups, (K, C // groups, 3, 3))


def test_a_window_never_starts_beyond_the_input_in_ceil_mode():
    """pytorch #36977, #45357, onnxruntime #6543: a last window wholly in the padding."""
    assert Pool2dGeometry.make((1, 1, 4, 4), 2, 3, 1, True).P == 2
    assert Pool2dGeometry.make((1, 1, 3, 3), 2, 2, 1, True).P == 2
    assert Pool2dGeometry.make((1, 1, 5, 5), 1, 3, 0, True).P == 2
    assert Pool2dGeometry.make((1, 1, 6, 6), 1, 3, 0, True).P == 2
