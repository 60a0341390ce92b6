"""Convolutions of every backend, dtype and instruction set against the oracle."""

from __future__ import annotations

from functools import cache

import cases
import numpy as np
import oracle
import pytest

from fastnet.algorithms import set_conv_algorithm
from fastnet.backends import Ops
from fastnet.geometry import Conv2dGeometry

UNIT = {np.dtype(np.float32): 2.0**-24, np.dtype(np.float64): 2.0**-53}

# Larger than the blocks into which kernels cut rows, channels, filters and the reduction.
WIDE = [
    cases.Conv(2, 3, 33, 31, 17, 3, 3, 1, 1),
    cases.Conv(1, 5, 40, 37, 70, 5, 5, 2, 2),
    cases.Conv(1, 300, 4, 5, 40, 3, 3, 1, 1),
    cases.Conv(2, 20, 3, 3, 530, 1, 1),
    cases.Conv(17, 6, 9, 8, 7, 3, 3, 1, 1),
    # input gradients by scatter: runs of one vector, of two and more; edges, pixels without a whole window, gaps
    cases.Conv(2, 1, 30, 101, 6, 5, 5, 1, 2),
    cases.Conv(1, 3, 12, 60, 33, 7, 7, 1, 3),
    cases.Conv(2, 8, 9, 13, 20, 5, 5, 2, 2),
    cases.Conv(1, 2, 9, 4, 5, 4, 7, 1, 5),
    cases.Conv(2, 3, 23, 27, 9, 2, 3, (3, 4), 1, (2, 1)),
    cases.Conv(1, 3, 53, 55, 24, 11, 11, 4, 2),
    # depthwise and small groups, vectorised along channels: each specialisation, and shapes without one
    cases.Conv(1, 40, 17, 15, 40, 3, 3, 1, 1, 1, 40),
    cases.Conv(2, 20, 11, 12, 20, 3, 3, 2, 1, 1, 20),
    cases.Conv(1, 36, 13, 19, 36, 5, 5, 1, 2, 1, 36),
    cases.Conv(1, 17, 14, 21, 17, 5, 5, 2, 2, 1, 17),
    cases.Conv(2, 24, 9, 18, 24, 7, 7, 1, 3, 1, 24),
    cases.Conv(1, 33, 15, 13, 33, 7, 7, 2, 3, 1, 33),
    cases.Conv(1, 24, 12, 13, 24, 3, 3, 1, 2, 2, 24),
    cases.Conv(2, 18, 11, 10, 18, 2, 1, 1, 0, 1, 18),
    cases.Conv(2, 32, 9, 11, 32, 3, 3, 1, 1, 1, 8),
    cases.Conv(1, 28, 12, 19, 28, 3, 3, 2, 1, 1, 7),
    cases.Conv(1, 20, 9, 10, 20, 5, 5, 1, 2, 1, 5),
    cases.Conv(2, 8, 6, 5, 8, 3, 2, (1, 2), 1, 1, 2),
    # strided input gradients whose phases are 3x3 kernels, with taps that are not adjacent
    cases.Conv(1, 17, 12, 11, 18, 5, 5, 2, 2),
    cases.Conv(1, 16, 15, 16, 17, 6, 5, 2, 2),
    cases.Conv(1, 16, 13, 14, 16, 7, 7, (2, 1), 3),
    cases.Conv(1, 16, 17, 16, 16, 9, 8, 3, 4),
    cases.Conv(2, 16, 11, 10, 16, 3, 3, 1, 2, 2),
    cases.Conv(2, 32, 9, 10, 34, 3, 3, 1, 1, 1, 2),
]


def resolve(case):
    """The oracle's arguments: pairs, and four sides of padding."""
    pairs = {name: (value, value) if isinstance(value, int) else value for name, value in case.arguments.items()}
    g = Conv2dGeometry.make(case.x_shape, case.w_shape, **case.arguments)  # "same": tests/test_geometry.py checks it
    return {"stride": pairs["stride"], "padding": g.padding, "dilation": pairs["dilation"], "groups": case.groups}


@cache
def problem(case, kind, dtype):
    """Arrays and the oracle's answers: ((x, w, b, dy), (y, dx, dw, db), the same answers for |arrays|)."""
    make = cases.integers if kind == "integers" else cases.normal
    arguments = resolve(case)
    x, w, b = (make(s, dtype, i) for i, s in enumerate((case.x_shape, case.w_shape, (case.K,))))
    y = oracle.conv2d(x, w, b, **arguments)
    dy = make(y.shape, dtype, 3)
    answers = y, *oracle.conv2d_backward(dy, x, w, **arguments)
    sizes = None
    if kind != "integers":
        absolute = oracle.conv2d(abs(x), abs(w), abs(b), **arguments)
        sizes = absolute, *oracle.conv2d_backward(abs(dy), abs(x), abs(w), **arguments)
    return (x, w, b, dy), answers, sizes


def run(ops, case, arrays, needs=(True, True, True)):
    x, w, b, dy = arrays
    geometry = Conv2dGeometry.make(x.shape, w.shape, bias_shape=None if b is None else b.shape, **case.arguments)
    y, saved = ops.conv2d(x, w, b, geometry)
    return y, *ops.conv2d_backward(dy, saved, needs)


@pytest.mark.parametrize("case", cases.CONV + WIDE, ids=str)
def test_integers_are_exact(ops, dtype, case):
    arrays, answers, _ = problem(case, "integers", dtype)
    for name, got, expected in zip(("y", "dx", "dw", "db"), run(ops, case, arrays), answers, strict=True):
        assert got.dtype == dtype and got.shape == expected.shape
        np.testing.assert_array_equal(got, expected, err_msg=name)


@pytest.mark.parametrize("case", cases.CONV + WIDE, ids=str)
def test_error_stays_within_the_bound_of_a_sum(ops, dtype, case):
    arrays, answers, sizes = problem(case, "normal", dtype)
    # measured over some 10^5 sums: at most 4.5 u sum |a||b|, 4.3 with FMA; in float64 the oracle rounds as well
    # (the GPU's kernels add in one chain: 6.2)
    factor = 6 if dtype == np.float32 and ops.name != "cupy" else 8
    for name, got, expected, size in zip(["y", "dx", "dw", "db"], run(ops, case, arrays), answers, sizes, strict=True):
        assert (abs(got - expected) <= factor * UNIT[dtype] * size).all(), name


@pytest.mark.parametrize("name", ["auto", "winograd"])
@pytest.mark.parametrize("case", [c for c in cases.CONV + WIDE if c.N], ids=str)
def test_winograd_stays_close_for_every_shape(native, dtype, case, name):
    """Where Winograd applies (3x3 and 5x5 at stride 1, and the phases of strided input gradients) and where not."""
    set_conv_algorithm(name)  # the fixture restores it
    arrays, answers, _ = problem(case, "normal", dtype)
    limit = {4: 3e-6, 8: 6e-15}[dtype.itemsize]
    for part, got, expected in zip(["y", "dx", "dw", "db"], run(native, case, arrays), answers, strict=True):
        assert got.shape == expected.shape
        assert np.linalg.norm(got - expected) <= limit * np.linalg.norm(expected), part


LAYERS = [  # one image of typical layers
    cases.Conv(1, 3, 32, 32, 32, 3, 3, 1, 1),
    cases.Conv(1, 64, 32, 32, 64, 3, 3, 1, 1),
    cases.Conv(1, 128, 16, 16, 128, 3, 3, 1, 1),
    cases.Conv(1, 256, 8, 8, 256, 3, 3, 1, 1),
    cases.Conv(1, 3, 31, 31, 25, 3, 3, 2, 1),
    cases.Conv(1, 3, 32, 32, 32, 7, 7, 1, 3),
    cases.Conv(1, 64, 56, 56, 64, 3, 3, 1, 1),
    cases.Conv(1, 64, 112, 112, 64, 3, 3, 1, 1),
    cases.Conv(1, 64, 16, 16, 128, 1, 1, 1, 0),
    cases.Conv(1, 3, 224, 224, 64, 7, 7, 2, 3),
    cases.Conv(1, 256, 14, 14, 256, 3, 3, 1, 1),
]


@pytest.mark.parametrize("case", LAYERS, ids=str)
def test_layers_of_networks_are_exact_on_integers(best_native, case):
    """Against the reference backend, which small cases compare with the oracle."""
    x, w, b = (cases.integers(s, np.float32, i, -2, 2) for i, s in enumerate((case.x_shape, case.w_shape, (case.K,))))
    geometry = Conv2dGeometry.make(x.shape, w.shape, case.stride, case.padding)
    dy = cases.integers(geometry.y_shape, np.float32, 3, -1, 1)
    for got, expected in zip(run(best_native, case, (x, w, b, dy)), run(Ops(), case, (x, w, b, dy)), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_without_bias(ops, dtype):
    case = cases.Conv(2, 3, 5, 6, 7, 3, 3, 1, 1)
    (x, w, _, dy), _, _ = problem(case, "integers", dtype)
    y, *_ = run(ops, case, (x, w, None, dy))
    np.testing.assert_array_equal(y, oracle.conv2d(x, w, None, **resolve(case)))


@pytest.mark.parametrize(
    "case", [cases.Conv(2, 3, 5, 6, 7, 3, 3, 2, 1), cases.Conv(2, 6, 5, 6, 6, 3, 3, 1, 1, 1, 6)], ids=str
)
def test_only_the_needed_gradients_are_computed(ops, case):
    arrays, answers, _ = problem(case, "integers", np.dtype(np.float32))
    for needs in np.ndindex(2, 2, 2):
        gradients = run(ops, case, arrays, tuple(map(bool, needs)))[1:]
        for needed, got, expected in zip(needs, gradients, answers[1:], strict=True):
            if needed:
                np.testing.assert_array_equal(got, expected)
            else:
                assert got is None


def test_empty_batch_gives_zero_weight_gradients(ops, dtype):
    for groups in (1, 4):
        case = cases.Conv(0, 4, 5, 5, 8, 3, 3, padding=1, groups=groups)
        arrays, _, _ = problem(case, "integers", dtype)
        y, dx, dw, db = run(ops, case, arrays)
        assert y.shape == (0, 8, 5, 5) and dx.shape == (0, 4, 5, 5)
        assert not dw.any() and not db.any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("groups", [1, 4])
def test_nan_and_infinity_reach_the_outputs_that_see_them_and_no_other(ops, dtype, bad, groups):
    case = cases.Conv(2, 4, 6, 6, 8, 3, 3, padding=1, groups=groups)
    x, w = np.ones(case.x_shape, dtype), np.ones(case.w_shape, dtype)
    x[1, 1, 2, 3] = bad
    with np.errstate(invalid="ignore"):
        y, *_ = run(ops, case, (x, w, None, np.ones((2, 8, 6, 6), dtype)))
    expected = np.zeros((2, 8, 6, 6), bool)
    filters = slice(None) if groups == 1 else slice(2, 4)
    expected[1, filters, 1:4, 2:5] = True
    np.testing.assert_array_equal(~np.isfinite(y), expected)
    if np.isinf(bad):
        assert (y[expected] == bad).all()


@pytest.mark.parametrize("groups", [1, 5, 20])
@pytest.mark.parametrize("size", [(8, 9), (24, 10)])
def test_pixels_that_no_window_meets_do_not_matter(ops, dtype, groups, size):
    case = cases.Conv(2, 20, *size, 20, 3, 3, 3, 0, 1, groups)
    (x, w, b, dy), answers, _ = problem(case, "integers", dtype)
    x, used = x.copy(), np.zeros(size, bool)
    used[: size[0] // 3 * 3, : size[1] // 3 * 3] = True
    x[:, :, ~used] = np.nan
    for got, expected in zip(run(ops, case, (x, w, b, dy)), answers, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("groups", [1, 8])
@pytest.mark.parametrize("which", ["x", "w", "b", "dy"])
@pytest.mark.parametrize("how", cases.HOSTILE)
def test_hostile_arrays(ops, how, which, groups):
    """The right result, or for foreign byte order an error that says so; inputs stay unchanged."""
    case = cases.Conv(2, 8, 5, 6, 8, 3, 3, 2, 1, 1, groups)
    arrays, answers, _ = problem(case, "integers", np.dtype(np.float32))
    names = ["x", "w", "b", "dy"]
    arrays = list(arrays)
    array = arrays[names.index(which)] = cases.HOSTILE[how](arrays[names.index(which)])
    before = array.copy()
    if how == "byte-swapped":
        with pytest.raises(TypeError, match="dtype|float32"):
            run(ops, case, arrays)
    else:
        for got, expected in zip(run(ops, case, arrays), answers, strict=True):
            np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(array, before)


def test_broadcast_arrays(ops, dtype):
    case = cases.Conv(2, 8, 5, 6, 8, 3, 3, 2, 1)
    x, w, b = (cases.broadcast(s, dtype) for s in (case.x_shape, case.w_shape, (case.K,)))
    dy = cases.broadcast((2, 8, 3, 3), dtype, 1)
    answers = oracle.conv2d(x, w, b, **resolve(case)), *oracle.conv2d_backward(dy, x, w, **resolve(case))
    for got, expected in zip(run(ops, case, (x, w, b, dy)), answers, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_mixed_and_foreign_dtypes_are_refused(ops):
    geometry = Conv2dGeometry.make((1, 3, 4, 4), (2, 3, 3, 3))
    x, w, b = np.ones((1, 3, 4, 4), np.float32), np.ones((2, 3, 3, 3), np.float32), np.ones(2, np.float32)
    with pytest.raises(TypeError, match="conv2d: arrays must have one dtype, got x float64, weight float32"):
        ops.conv2d(x.astype(np.float64), w, None, geometry)
    with pytest.raises(TypeError, match="bias float64"):
        ops.conv2d(x, w, b.astype(np.float64), geometry)
    for foreign in (np.int64, np.float16, np.complex64):
        with pytest.raises(TypeError, match="float32 or float64"):
            ops.conv2d(x.astype(foreign), w.astype(foreign), None, geometry)
    y, saved = ops.conv2d(x, w, b, geometry)
    with pytest.raises(TypeError, match="conv2d_backward: dy must have the forward pass's dtype float32, got float64"):
        ops.conv2d_backward(np.ones(y.shape), saved)


def test_wrong_shapes_are_refused(ops):
    geometry = Conv2dGeometry.make((1, 3, 4, 4), (2, 3, 3, 3))
    x, w = np.ones((1, 3, 4, 4), np.float32), np.ones((2, 3, 3, 3), np.float32)
    with pytest.raises(ValueError, match=r"x must have shape \(1, 3, 4, 4\), got \(1, 3, 4, 5\)"):
        ops.conv2d(np.ones((1, 3, 4, 5), np.float32), w, None, geometry)
    with pytest.raises(ValueError, match=r"weight must have shape \(2, 3, 3, 3\), got \(3, 2, 3, 3\)"):
        ops.conv2d(x, w.reshape(3, 2, 3, 3), None, geometry)
    for bias in (np.ones(3, np.float32), np.ones(1, np.float32), np.ones((2, 1), np.float32)):
        with pytest.raises(ValueError, match=r"bias must have shape \(2,\)"):
            ops.conv2d(x, w, bias, geometry)
    _, saved = ops.conv2d(x, w, None, geometry)
    for shape in ((1, 2, 2, 3), (2, 2, 2, 2), (1, 2, 4), (1, 2, 1, 4)):
        with pytest.raises(ValueError, match="dy must have shape"):
            ops.conv2d_backward(np.ones(shape, np.float32), saved)


COLUMNS = [c for c in cases.CONV if c.groups == 1 and c.C < 20 and c.K < 40]


@pytest.mark.parametrize("case", COLUMNS, ids=str)
def test_im2col_and_col2im(ops, dtype, case):
    arguments = resolve(case)
    del arguments["groups"]
    geometry = Conv2dGeometry.make(case.x_shape, (1, case.C, case.R, case.S), **case.arguments)
    x = cases.integers(case.x_shape, dtype)
    columns = ops.im2col(x, geometry)
    expected = oracle.im2col(x, (case.R, case.S), **arguments)
    assert columns.dtype == dtype
    np.testing.assert_array_equal(columns, expected)
    back = cases.integers(expected.shape, dtype, 1)
    np.testing.assert_array_equal(
        ops.col2im(back, geometry), oracle.col2im(back, case.x_shape, (case.R, case.S), **arguments)
    )


@pytest.mark.parametrize("how", cases.HOSTILE)
def test_im2col_and_col2im_of_hostile_arrays(ops, how):
    geometry = Conv2dGeometry.make((2, 3, 5, 6), (1, 3, 3, 2), 2, 1)
    x = cases.integers((2, 3, 5, 6), np.float32)
    columns = oracle.im2col(x, (3, 2), (2, 2), (1, 1, 1, 1))
    folded = oracle.col2im(columns, x.shape, (3, 2), (2, 2), (1, 1, 1, 1))
    odd, odd_columns = cases.HOSTILE[how](x), cases.HOSTILE[how](columns.astype(np.float32))
    if how == "byte-swapped":
        with pytest.raises(TypeError, match="float32"):
            ops.im2col(odd, geometry)
        with pytest.raises(TypeError, match="float32"):
            ops.col2im(odd_columns, geometry)
    else:
        np.testing.assert_array_equal(ops.im2col(odd, geometry), columns)
        np.testing.assert_array_equal(ops.col2im(odd_columns, geometry), folded)
        np.testing.assert_array_equal(odd, x)
        np.testing.assert_array_equal(odd_columns, columns)


def test_im2col_refuses_wrong_shapes_and_dtypes(ops):
    geometry = Conv2dGeometry.make((2, 3, 5, 6), (1, 3, 3, 2))
    with pytest.raises(ValueError, match="im2col: x must have shape"):
        ops.im2col(np.ones((2, 3, 6, 5), np.float32), geometry)
    with pytest.raises(ValueError, match="col2im: columns must have shape"):
        ops.col2im(np.ones((2, 18, 16), np.float32), geometry)
    with pytest.raises(TypeError, match="col2im: arrays must be float32 or float64"):
        ops.col2im(np.ones((2, 18, 15), np.int32), geometry)


@pytest.mark.parametrize("M, K, N", cases.GEMM)
def test_matmul(ops, dtype, M, K, N):
    a, b = cases.normal((M, K), dtype), cases.normal((K, N), dtype, 1)
    expected, size = oracle.matmul(a, b), oracle.matmul(abs(a), abs(b))
    for transpose_a, transpose_b in np.ndindex(2, 2):
        y = ops.matmul(
            a.T.copy() if transpose_a else a, b.T.copy() if transpose_b else b, bool(transpose_a), bool(transpose_b)
        )
        assert y.dtype == dtype and y.shape == (M, N)
        assert (abs(y - expected) <= 8 * UNIT[dtype] * size).all()
    whole = cases.integers((M, K), dtype), cases.integers((K, N), dtype, 1)
    np.testing.assert_array_equal(ops.matmul(*whole), oracle.matmul(*whole))


@pytest.mark.parametrize("M, K, N", cases.GEMM)
def test_linear(ops, dtype, M, K, N):
    x, w, b = cases.integers((M, K), dtype), cases.integers((N, K), dtype, 1), cases.integers((N,), dtype, 2)
    dy = cases.integers((M, N), dtype, 3)
    y, saved = ops.linear(x, w, b)
    np.testing.assert_array_equal(y, oracle.matmul(x, w.T) + b)
    dx, dw, db = ops.linear_backward(dy, saved)
    np.testing.assert_array_equal(dx, oracle.matmul(dy, w))
    np.testing.assert_array_equal(dw, oracle.matmul(dy.T, x))
    np.testing.assert_array_equal(db, oracle.matmul(np.ones((1, M)), dy)[0])
    np.testing.assert_array_equal(ops.linear(x, w, None)[0], oracle.matmul(x, w.T))
    assert ops.linear_backward(dy, saved, (False, False, False)) == (None, None, None)


@pytest.mark.parametrize("how", cases.HOSTILE)
def test_matmul_and_linear_of_hostile_arrays(ops, how):
    a, b, c = (cases.integers(s, np.float32, i) for i, s in enumerate(((5, 7), (7, 6), (6,))))
    odd = [cases.HOSTILE[how](array) for array in (a, b, c)]
    if how == "byte-swapped":
        with pytest.raises(TypeError, match="float32"):
            ops.matmul(*odd[:2])
        with pytest.raises(TypeError, match="float32"):
            ops.linear(odd[0], odd[1].T, odd[2])
        return
    np.testing.assert_array_equal(ops.matmul(*odd[:2]), oracle.matmul(a, b))
    np.testing.assert_array_equal(ops.matmul(odd[0].T, odd[1].T, True, True), oracle.matmul(a, b))
    y, saved = ops.linear(odd[0], odd[1].T, odd[2])
    np.testing.assert_array_equal(y, oracle.matmul(a, b) + c)
    dy = cases.integers((5, 6), np.float32, 4)
    dx, dw, db = ops.linear_backward(cases.HOSTILE[how](dy), saved)
    np.testing.assert_array_equal(dx, oracle.matmul(dy, b.T))
    np.testing.assert_array_equal(dw, oracle.matmul(dy.T, a))
    np.testing.assert_array_equal(db, dy.sum(axis=0))
    for given, kept in zip(odd, (a, b, c), strict=True):
        np.testing.assert_array_equal(given, kept)


def test_products_refuse_what_does_not_fit(ops):
    a = np.ones((2, 3), np.float32)
    for b, text in (
        (np.ones((2, 3), np.float32), r"\(2, 3\) and \(2, 3\) do not fit"),
        (np.ones(3, np.float32), "fit"),
    ):
        with pytest.raises(ValueError, match=f"matmul: shapes .*{text}"):
            ops.matmul(a, b)
    with pytest.raises(TypeError, match="matmul: arrays must have one dtype, got a float32, b float64"):
        ops.matmul(a, np.ones((3, 2)))
    with pytest.raises(
        ValueError, match=r"linear: x must be \(N, in\) and weight \(out, in\), got \(2, 3\) and \(3, 2\)"
    ):
        ops.linear(a, np.ones((3, 2), np.float32), None)
    with pytest.raises(ValueError, match=r"linear: bias must have shape \(4,\), got \(3,\)"):
        ops.linear(a, np.ones((4, 3), np.float32), np.ones(3, np.float32))
    _, saved = ops.linear(a, np.ones((4, 3), np.float32), None)
    with pytest.raises(ValueError, match=r"dy must have shape \(2, 4\)"):
        ops.linear_backward(np.ones((4, 2), np.float32), saved)
    with pytest.raises(TypeError, match="linear_backward: dy must have the forward pass's dtype float32, got float64"):
        ops.linear_backward(np.ones((2, 4)), saved)
