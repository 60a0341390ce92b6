"""Transposed convolutions of every backend, dtype and instruction set: the oracle's input gradient and its adjoints."""

from __future__ import annotations

import cases
import numpy as np
import oracle
import pytest

from fastnet.geometry import Conv2dGeometry
from fastnet.ops.conv_transpose import transposed_geometry


def resolve(case):
    pairs = {name: (value, value) if isinstance(value, int) else value for name, value in case.arguments.items()}
    g = Conv2dGeometry.make(case.x_shape, case.w_shape, **case.arguments)
    return g, {"stride": pairs["stride"], "padding": g.padding, "dilation": pairs["dilation"], "groups": case.groups}


@pytest.mark.parametrize("case", cases.CONV, ids=str)
def test_against_the_oracle(ops, dtype, case):
    """The case is the convolution from y to x.  Sums of products of integers are exact."""
    g, arguments = resolve(case)
    x, w, b, dy = (cases.integers(s, dtype, i, -3, 3) for i, s in enumerate((g.y_shape, g.w_shape, (g.C,), g.x_shape)))
    y, saved = ops.conv_transpose2d(x, w, b, g)
    gradient, dw, _ = oracle.conv2d_backward(x, dy, w, **arguments)
    assert y.dtype == dtype and y.shape == g.x_shape
    np.testing.assert_array_equal(y, gradient + b[:, None, None])
    found = ops.conv_transpose2d_backward(dy, saved)
    for got, expected in zip(found, (oracle.conv2d(dy, w, **arguments), dw, dy.sum(axis=(0, 2, 3))), strict=True):
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(ops.conv_transpose2d(x, w, None, g)[0], gradient)


@pytest.mark.parametrize("how", [how for how in cases.HOSTILE if how != "byte-swapped"])
def test_hostile_arrays(ops, how):
    g = transposed_geometry((2, 5, 4, 3), (5, 3, 3, 2), 2, 1, 1)
    arrays = [cases.integers(s, np.float32, i) for i, s in enumerate((g.y_shape, g.w_shape, (g.C,), g.x_shape))]
    odd = [cases.HOSTILE[how](array) for array in arrays]
    y, saved = ops.conv_transpose2d(*arrays[:3], g)
    odd_y, odd_saved = ops.conv_transpose2d(*odd[:3], g)
    np.testing.assert_array_equal(odd_y, y)
    pairs = zip(
        ops.conv_transpose2d_backward(odd[3], odd_saved), ops.conv_transpose2d_backward(arrays[3], saved), strict=True
    )
    for one, other in pairs:
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "stride, kernel, padding, extra, dilation", [(1, 3, 0, 0, 1), (3, 2, 0, 2, 2), (2, 4, 1, 1, 1)]
)
def test_the_size_is_undone_by_the_convolution(stride, kernel, padding, extra, dilation):
    g = transposed_geometry((2, 4, 7, 5), (4, 3, kernel, kernel), stride, padding, extra, 1, dilation)
    height = (7 - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1 + extra
    assert g.x_shape[:3] == (2, 3, height) and g.y_shape == (2, 4, 7, 5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (((2, 4, 7, 5), (3, 4, 3, 3)), ValueError, r"weight of shape \(3, 4, 3, 3\) expects 3 channels, x has 4"),
        (((2, 4, 7), (4, 3, 3)), ValueError, r"x must have shape \(N, C, H, W\) and weight \(C, K // groups, R, S\)"),
        (
            ((2, 4, 7, 5), (4, 3, 3, 3), 2, 0, 2),
            ValueError,
            "output_padding must be smaller than the stride 2 or the dilation 1, got 2",
        ),
        (((2, 4, 1, 1), (4, 3, 2, 2), 1, 1), ValueError, "nothing is left of the output, 0x0"),
        (((2, 4, 7, 5), (4, 3, 3, 3), 1, "same"), TypeError, "padding must be an integer, got 'same'"),
        (((2, 4, 7, 5), (4, 3, 3, 3), 1, 0, 0, 3), ValueError, "4 filters cannot be split into 3 groups"),
    ],
)
def test_wrong_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        transposed_geometry(*arguments)
