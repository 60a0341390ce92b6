"""im2col and col2im against plain loops."""

from __future__ import annotations

import cases
import numpy as np
import pytest

from fastnet.compat.cs231n import im2col, im2col_cython

CASES = [  # x, field height, field width, padding, stride
    ((2, 3, 5, 5), 3, 3, 1, 1),
    ((3, 2, 6, 7), 2, 3, 0, 1),
    ((2, 3, 8, 8), 3, 3, 1, 2),  # does not divide evenly
    ((1, 2, 9, 4), 4, 2, 2, 3),
    ((2, 1, 3, 3), 3, 3, 0, 1),
    ((1, 1, 1, 1), 1, 1, 0, 1),
    ((0, 2, 4, 4), 3, 3, 1, 1),
]
DTYPES = [np.float32, np.float64, np.int64, np.uint8]


def output_size(x_shape, height, width, padding, stride):
    return [
        (size + 2 * padding - field) // stride + 1 for size, field in zip(x_shape[2:], (height, width), strict=True)
    ]


def meetings(x_shape, height, width, padding, stride):
    """(row, column, index into x) of every pixel of a field that is not padding; columns by position, then image."""
    N, C, H, W = x_shape
    P, Q = output_size(x_shape, height, width, padding, stride)
    for n, c, r, s, p, q in np.ndindex(N, C, height, width, P, Q):
        h, w = p * stride + r - padding, q * stride + s - padding
        if 0 <= h < H and 0 <= w < W:
            yield (c * height + r) * width + s, (p * Q + q) * N + n, (n, c, h, w)


def gathered(x, *field):
    P, Q = output_size(x.shape, *field)
    cols = np.zeros((x.shape[1] * field[0] * field[1], P * Q * len(x)), x.dtype)
    for row, column, pixel in meetings(x.shape, *field):
        cols[row, column] = x[pixel]
    return cols


def scattered(cols, x_shape, *field):
    x = np.zeros(x_shape, cols.dtype)
    for row, column, pixel in meetings(x_shape, *field):
        x[pixel] += cols[row, column]
    return x


def integers(shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).integers(0, 9, shape).astype(dtype)


def check(result, expected):
    assert result.dtype == expected.dtype and result.flags.c_contiguous and result.flags.writeable
    np.testing.assert_array_equal(result, expected)


GATHERS = [im2col_cython.im2col_cython, im2col.im2col_indices, im2col.im2col_naive]


@pytest.mark.parametrize("data", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_columns(case, data):
    shape, *field = case
    x = integers(shape, 0, data)
    for gather in GATHERS:
        check(gather(x, *field), gathered(x, *field))


@pytest.mark.parametrize("data", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_back_to_images(case, data):
    shape, *field = case
    cols = integers(gathered(integers(shape), *field).shape, 1, data)
    expected = scattered(cols, shape, *field)
    check(im2col_cython.col2im_cython(cols, *shape, *field), expected)
    check(im2col.col2im_indices(cols, shape, *field), expected)
    check(im2col.col2im(cols, shape, *field), expected)
    height, width, padding, stride = field
    P, Q = output_size(shape, *field)
    cols6 = cols.reshape(shape[1], height, width, P, Q, shape[0]).transpose(0, 1, 2, 5, 3, 4)
    check(im2col_cython.col2im_6d_cython(cols6, *shape, height, width, padding, stride), expected)
    check(im2col_cython.col2im_6d_cython(cols6.copy(), *shape, height, width, padding, stride), expected)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_index_arrays(case):
    shape, *field = case
    height, width, padding, stride = field
    x = integers(shape)
    k, i, j = im2col.get_im2col_indices(shape, *field)
    P, Q = output_size(shape, *field)
    rows = shape[1] * height * width
    assert k.shape == (rows, 1) and i.shape == j.shape == (rows, P * Q)
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    np.testing.assert_array_equal(padded[:, k, i, j].transpose(1, 2, 0).reshape(rows, -1), gathered(x, *field))


@pytest.mark.parametrize("how", cases.HOSTILE)
def test_any_memory_order(how):
    make, field = cases.HOSTILE[how], (3, 2, 1, 2)
    x = integers((2, 3, 6, 7))
    cols = gathered(x, *field)
    for gather in GATHERS:
        np.testing.assert_array_equal(gather(make(x), *field), cols)
    np.testing.assert_array_equal(im2col.col2im_indices(make(cols), x.shape, *field), scattered(cols, x.shape, *field))


def test_defaults():
    x = integers((2, 3, 5, 6))
    cols = gathered(x, 3, 3, 1, 1)
    np.testing.assert_array_equal(im2col.im2col_indices(x, 3, 3), cols)
    np.testing.assert_array_equal(im2col.im2col_naive(x), cols)
    np.testing.assert_array_equal(im2col.col2im_indices(cols, x.shape), scattered(cols, x.shape, 3, 3, 1, 1))
    np.testing.assert_array_equal(im2col.col2im(cols, x.shape), scattered(cols, x.shape, 3, 3, 1, 1))


def test_fields():
    assert im2col.get_num_fields((2, 3, 5, 7), 3, 2, 1, 2) == (3, 4)
    coordinates = list(im2col.field_coords(4, 3, 2, 3, 0, 2))
    assert coordinates == [(0, 2, 0, 3), (2, 4, 0, 3)]
    assert list(im2col.field_coords(1, 1, 2, 2, 1, 1)) == [(0, 2, 0, 2), (0, 2, 1, 3), (1, 3, 0, 2), (1, 3, 1, 3)]


def test_mismatched_arguments_are_refused():
    x = integers((2, 3, 4, 4))
    with pytest.raises(ValueError, match="kernel 7x7 .* covers 7x7 pixels, more than the padded input's 6x6"):
        im2col_cython.im2col_cython(x, 7, 7, 1, 1)
    with pytest.raises(ValueError, match=r"cols must have shape \(3, 3, 3, 2, 4, 4\), got \(3, 3, 3, 2, 2, 2\)"):
        im2col_cython.col2im_6d_cython(np.ones((3, 3, 3, 2, 2, 2)), 2, 3, 4, 4, 3, 3, 1, 1)
