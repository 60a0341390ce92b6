"""Fractional max pooling: boundaries by exact fractions, maxima by plain loops."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import cases
import numpy as np
import oracle
import pytest

from fastnet.ops import Stream
from fastnet.ops.fractional import spans

SETTINGS = [  # size, outputs, window, overlapping
    *[(17, outputs, 0, overlapping) for outputs in (1, 9, 12, 16, 17) for overlapping in (False, True)],
    *[(13, outputs, window, True) for outputs, window in ((1, 1), (1, 13), (6, 2), (12, 2), (5, 4), (13, 1))],
    (25, 7, 0, True),
]


def numbers_of(seed, offset, count):
    """Numbers of the stream as fractions."""
    return [Fraction(int(u * 2**24), 2**24) for u in oracle.uniform(seed, offset, count)]


def bounds_of(extent, steps, numbers, random):
    """Boundaries from 0 to extent; numbers: one, or one for each step."""
    if steps == 0:
        return [extent]
    alpha = Fraction(extent, steps)
    if not random:
        (u,) = numbers
        return [math.floor((i + u) * alpha) - math.floor(u * alpha) for i in range(steps + 1)]
    bounds, larger = [0], extent % steps
    for i, u in enumerate(numbers):  # each of the steps left is equally likely to be one of the larger ones left
        up = u * (steps - i) < larger
        bounds.append(bounds[-1] + extent // steps + up)
        larger -= up
    return bounds


def spans_of(size, outputs, window, overlapping, numbers, random):
    steps, extent = (outputs - 1, size - window) if window else (outputs, size)
    bounds = bounds_of(extent, steps, numbers, random)
    if window:
        return [(first, first + window) for first in bounds]
    return [(first, min(last + overlapping, size)) for first, last in itertools.pairwise(bounds)]


@pytest.mark.parametrize("random", [False, True])
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_spans(setting, random):
    size, outputs, window, overlapping = setting
    steps = outputs - 1 if window else outputs
    words, stream = steps if random else 1, Stream(7, 5)
    found = spans(6, *setting, random, stream)
    assert found.shape == (6, outputs, 2)
    assert stream == Stream(7, 5 + -(-6 * words // 4) * 4)
    drawn = numbers_of(7, 5, 6 * words)
    for n, image in enumerate(found.tolist()):
        expected = spans_of(*setting, drawn[n * words : (n + 1) * words], random)
        assert [tuple(span) for span in image] == expected
        assert expected[-1][1] == size and (window or expected[0][0] == 0)
        sizes = {last - first for first, last in expected}
        if not window:
            least = size // outputs
            assert sizes <= {least, least + 1, least + 2} and all(first < last for first, last in expected)
            assert overlapping or sum(last - first for first, last in expected) == size


def test_random_steps_are_in_every_order_equally_often():
    """4 larger and 2 smaller steps: 15 orders."""
    found = spans(6000, 10, 6, 0, False, True, Stream(1))
    orders, counts = np.unique(found[:, :, 1] - found[:, :, 0], axis=0, return_counts=True)
    assert len(orders) == 15
    assert ((counts - 400) ** 2 / 400).sum() < 40  # chi-squared with 14 degrees of freedom: 5 deviations


CASES = [
    ((2, 5, 9, 8), (6, 5), None, True, False),
    ((2, 5, 9, 8), (6, 5), None, False, True),
    ((3, 33, 7, 12), (5, 7), (2, 3), True, False),
    ((2, 3, 20, 19), (1, 1), None, True, False),  # 380 pixels: positions need more than a byte
    ((1, 18, 40, 33), (2, 2), (17, 16), True, True),
    ((0, 4, 6, 6), (3, 3), None, True, False),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_maxima_and_gradients(ops, dtype, case):
    """Integers, so that sums are exact, and ties: the first of equals, rows first, gets the gradient."""
    shape, (P, Q), window, overlapping, random = case
    N, C, H, W = shape
    rng = np.random.default_rng(3)
    x, dy = (rng.integers(-9, 9, size).astype(dtype) for size in (shape, (N, C, P, Q)))
    y, saved = ops.fractional_max_pool2d(x, (P, Q), window, overlapping, random, stream := Stream(4, 8))
    again = Stream(4, 8)
    rows = spans(N, H, P, window[0] if window else 0, overlapping, random, again)
    columns = spans(N, W, Q, window[1] if window else 0, overlapping, random, again)
    assert stream == again
    expected, gradient = np.empty((N, C, P, Q), dtype), np.zeros(shape, dtype)
    for n, c, p, q in itertools.product(range(N), range(C), range(P), range(Q)):
        pixels = list(itertools.product(range(*rows[n, p]), range(*columns[n, q])))
        best = max(pixels, key=lambda pixel, n=n, c=c: x[n, c][pixel])  # the first of equals
        expected[n, c, p, q] = x[n, c][best]
        gradient[n, c][best] += dy[n, c, p, q]
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(ops.fractional_max_pool2d_backward(dy, saved), gradient)


def test_nan_wins_and_the_first_gets_the_gradient(ops, dtype):
    x = np.zeros((1, 1, 2, 3), dtype)
    x[0, 0, 0, 2] = np.inf
    x[0, 0, 0, 1] = x[0, 0, 1, 0] = np.nan
    y, saved = ops.fractional_max_pool2d(x, (1, 1))
    assert np.isnan(y).all()
    dx = ops.fractional_max_pool2d_backward(np.full((1, 1, 1, 1), 5, dtype), saved)
    assert dx[0, 0].tolist() == [[0, 5, 0], [0, 0, 0]]


@pytest.mark.parametrize("window", [None, (2, 3)])
def test_without_a_stream_boundaries_are_even(ops, dtype, window):
    """floor(i alpha + 1/2): the pseudo-random ones whose shift u alpha is 1/2."""
    x = cases.normal((2, 3, 9, 8), dtype)
    y, _ = ops.fractional_max_pool2d(x, (6, 5), window)
    taken = zip((9, 8), (6, 5), window or (0, 0), strict=True)
    rows, columns = (
        spans_of(size, outputs, each, True, [Fraction(outputs - bool(each), 2 * (size - each))], False)
        for size, outputs, each in taken
    )
    expected = [[x[:, :, slice(*row), slice(*column)].max((2, 3)) for column in columns] for row in rows]
    np.testing.assert_array_equal(y, np.moveaxis(expected, (0, 1), (2, 3)))


@pytest.mark.parametrize("how", cases.HOSTILE)
def test_hostile_arrays(ops, how):
    x, dy = cases.normal((2, 5, 7, 6), np.float32), cases.normal((2, 5, 4, 4), np.float32, 1)
    odd, odd_dy = cases.HOSTILE[how](x), cases.HOSTILE[how](dy)
    if how == "byte-swapped":
        with pytest.raises(TypeError, match="float32"):
            ops.fractional_max_pool2d(odd, (4, 4))
        return
    y, saved = ops.fractional_max_pool2d(x, (4, 4), stream=Stream(1))
    dx = ops.fractional_max_pool2d_backward(dy, saved)
    odd_y, saved = ops.fractional_max_pool2d(odd, (4, 4), stream=Stream(1))
    np.testing.assert_array_equal(odd_y, y)
    np.testing.assert_array_equal(ops.fractional_max_pool2d_backward(odd_dy, saved), dx)


def test_wrong_arguments_are_refused(ops):
    x = np.ones((2, 3, 8, 6), np.float32)
    for arguments, message in (
        (((9, 3),), "9 windows need a height of at least 9, got 8"),
        (((4, 7),), "7 windows need a width of at least 7, got 6"),
        (((4, 5), (2, 3)), "5 windows of 3 pixels need a width of at least 7, got 6"),
        (((0, 3),), "at least one pixel"),
        (((4, 4), None, True, True), "random=True needs a stream"),
        (((4, 4), None, True, False, Stream(0, 2**62 - 1)), None),
    ):
        if message is None:
            ops.fractional_max_pool2d(x, *arguments)
            continue
        with pytest.raises(ValueError, match=f"fractional_max_pool2d: .*{message}"):
            ops.fractional_max_pool2d(x, *arguments)
    with pytest.raises(ValueError, match=r"x must have shape \(N, C, H, W\)"):
        ops.fractional_max_pool2d(x[0], (2, 2))
