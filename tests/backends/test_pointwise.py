"""Activations, sums, concatenation, flattening, subsampling of every backend against formulas."""

from __future__ import annotations

import cases
import numpy as np
import oracle
import pytest

SHAPES = [
    (),
    (0,),
    (1,),
    (7,),
    (3, 5),
    (2, 3, 4, 5),
    (1, 17, 3, 3),
    (0, 3, 2, 2),
    (2, 33, 9, 31),
    (40001,),
    (2, 3, 4, 5, 2),
]
UNARY = ["relu", "leaky_relu", "sigmoid", "tanh"]


def ulps(got, expected, dtype):
    """|got - expected| in units of the last place of the (extended precision) expected value."""
    expected = np.asarray(expected, np.longdouble)
    with np.errstate(over="ignore", under="ignore"):
        unit = np.spacing(np.maximum(abs(expected).astype(dtype), np.finfo(dtype).tiny))
    return abs(np.asarray(got, np.longdouble) - expected) / unit


def inputs(dtype):
    """Numbers of all magnitudes, both signs, zeros; no subnormals (kernels flush them to zero)."""
    random = np.random.default_rng(0)
    spread = np.concatenate(
        [
            random.normal(size=3000),
            random.normal(size=3000) * 30,
            np.exp(random.uniform(-80, 80, 3000)) * random.choice([-1, 1], 3000),
            [0.0, -0.0, 1, -1, 88.5, -88.5, 104, -104, 710, -746, 1e30, -1e30],
        ]
    ).astype(dtype)
    return spread[abs(spread) >= np.finfo(dtype).tiny], np.array([0.0, -0.0], dtype)


@pytest.mark.parametrize("shape", [s for s in SHAPES if s], ids=str)
@pytest.mark.parametrize("op", UNARY)
def test_every_shape_gives_what_its_elements_give(ops, dtype, op, shape):
    """Element by element, whatever the shape and the position in a vector or block."""
    x = cases.normal(shape, dtype)
    y, saved = getattr(ops, op)(x)
    expected = {
        "relu": lambda: np.maximum(x, 0),
        "leaky_relu": lambda: np.where(x > 0, x, x * dtype.type(0.01)),
        "sigmoid": lambda: oracle.sigmoid(x),
        "tanh": lambda: oracle.tanh(x),
    }[op]()
    assert y.shape == shape and y.dtype == dtype
    assert (ulps(y, expected, dtype) <= (0.5 if op.endswith("relu") else 4)).all()
    dy = cases.normal(shape, dtype, 1)
    dx = getattr(ops, op + "_backward")(dy, saved)
    wide, out = dy.astype(np.longdouble), np.asarray(y, np.longdouble)
    slope = {
        "relu": lambda: (x > 0) * 1.0,
        "leaky_relu": lambda: np.where(x > 0, 1.0, dtype.type(0.01)),
        "sigmoid": lambda: out * (1 - out),
        "tanh": lambda: 1 - out * out,
    }[op]()
    # 1 - y cancels: the error is relative to dy
    error = abs(dx - wide * slope) / np.maximum(abs(wide), np.finfo(dtype).tiny)
    assert dx.shape == shape and dx.dtype == dtype
    assert (error <= 2 * np.finfo(dtype).eps).all()


@pytest.mark.parametrize("op, limit", [("sigmoid", 4), ("tanh", 4)])
def test_accuracy_over_the_whole_range(ops, dtype, op, limit):
    x, zeros = inputs(dtype)
    y, _ = getattr(ops, op)(x)
    expected = getattr(oracle, op)(x)
    normal = abs(expected) >= np.finfo(dtype).tiny
    error = ulps(y, expected, dtype)
    assert error[normal].max() <= limit
    assert (abs(y[~normal]) <= np.finfo(dtype).tiny).all()
    assert (abs(y) <= 1).all()
    np.testing.assert_array_equal(getattr(ops, op)(zeros)[0], {"sigmoid": 0.5, "tanh": 0.0}[op])


def test_relu_is_exact(ops, dtype):
    x = np.concatenate([*inputs(dtype), np.array([np.inf, -np.inf, np.nan], dtype)])
    y, saved = ops.relu(x)
    np.testing.assert_array_equal(y, np.maximum(x, 0))
    slope = np.array([1, 0.0, 0.0], dtype)
    dx = ops.relu_backward(np.ones_like(x), saved)
    np.testing.assert_array_equal(dx, np.concatenate([(x[:-3] > 0).astype(dtype), slope]))


@pytest.mark.parametrize("slope", [0.0, 0.01, 0.2, 1.0, -0.5])
def test_leaky_relu_is_exact(ops, dtype, slope):
    x = np.concatenate(inputs(dtype))
    y, saved = ops.leaky_relu(x, slope)
    with np.errstate(under="ignore"):
        expected = np.where(x > 0, x, x * dtype.type(slope))
    tiny = abs(expected) < np.finfo(dtype).tiny
    np.testing.assert_array_equal(y[~tiny], expected[~tiny])
    dy = cases.normal(x.shape, dtype, 1)
    np.testing.assert_array_equal(ops.leaky_relu_backward(dy, saved), np.where(x > 0, dy, dy * dtype.type(slope)))


@pytest.mark.parametrize("position", [0, 5, 16, 40])
@pytest.mark.parametrize("op", UNARY)
def test_nan_and_infinity_propagate(ops, dtype, op, position):
    for bad, expected in (
        (np.nan, {"relu": np.nan, "leaky_relu": np.nan, "sigmoid": np.nan, "tanh": np.nan}),
        (np.inf, {"relu": np.inf, "leaky_relu": np.inf, "sigmoid": 1, "tanh": 1}),
        (-np.inf, {"relu": 0, "leaky_relu": -np.inf, "sigmoid": 0, "tanh": -1}),
    ):
        x = np.ones(41, dtype)
        x[position] = bad
        y, saved = getattr(ops, op)(x)
        np.testing.assert_array_equal(y[position], expected[op])
        assert np.isfinite(np.delete(y, position)).all()
        dx = getattr(ops, op + "_backward")(np.ones_like(x), saved)
        assert np.isfinite(np.delete(dx, position)).all()


def test_numbers_without_axes(ops, dtype):
    """A 0-d array is an array, or a clear error; never a crash."""
    for op in UNARY:
        try:
            y, _ = getattr(ops, op)(np.array(0.5, dtype))
        except (TypeError, ValueError) as error:
            assert str(error)
        else:
            np.testing.assert_allclose(y, getattr(ops, op)(np.array([0.5], dtype))[0][0], rtol=1e-6)


@pytest.mark.parametrize("shape", [(5,), (4, 6), (2, 3, 4, 5)], ids=str)
@pytest.mark.parametrize("how", cases.HOSTILE)
@pytest.mark.parametrize("op", UNARY)
def test_hostile_arrays(ops, op, how, shape):
    x, dy = cases.normal(shape, np.float32), cases.normal(shape, np.float32, 1)
    y, saved = getattr(ops, op)(x)
    dx = getattr(ops, op + "_backward")(dy, saved)
    odd, odd_dy = cases.HOSTILE[how](x), cases.HOSTILE[how](dy)
    if how == "byte-swapped":
        with pytest.raises(TypeError, match="float32"):
            getattr(ops, op)(odd)
        with pytest.raises(TypeError, match="dtype"):
            getattr(ops, op + "_backward")(odd_dy, saved)
        return
    odd_y, saved = getattr(ops, op)(odd)
    np.testing.assert_array_equal(odd_y, y)
    np.testing.assert_array_equal(getattr(ops, op + "_backward")(odd_dy, saved), dx)
    np.testing.assert_array_equal(odd, x)
    np.testing.assert_array_equal(odd_dy, dy)


@pytest.mark.parametrize("op", UNARY)
def test_wrong_shapes_and_dtypes_are_refused(ops, op):
    with pytest.raises(TypeError, match=f"{op}: arrays must be float32 or float64, got int64"):
        getattr(ops, op)(np.arange(4))
    _, saved = getattr(ops, op)(np.ones((2, 3), np.float32))
    with pytest.raises(ValueError, match=r"dy must have shape \(2, 3\), got \(3, 2\)"):
        getattr(ops, op + "_backward")(np.ones((3, 2), np.float32), saved)
    with pytest.raises(TypeError, match=f"{op}_backward: dy must have the forward pass's dtype float32, got float64"):
        getattr(ops, op + "_backward")(np.ones((2, 3)), saved)


# ---------------------------------------------------------------- plumbing


@pytest.mark.parametrize("shape", [s for s in SHAPES if s], ids=str)
def test_add_and_accumulate(ops, dtype, shape):
    a, b = cases.normal(shape, dtype), cases.normal(shape, dtype, 1)
    np.testing.assert_array_equal(ops.add(a, b), a + b)
    total = a.copy()
    assert ops.accumulate(total, b) is None
    np.testing.assert_array_equal(total, a + b)


@pytest.mark.parametrize("how", cases.HOSTILE)
def test_add_and_accumulate_of_hostile_arrays(ops, how):
    a, b = cases.normal((2, 3, 4, 5), np.float32), cases.normal((2, 3, 4, 5), np.float32, 1)
    odd_a, odd_b = cases.HOSTILE[how](a), cases.HOSTILE[how](b)
    if how == "byte-swapped":
        for call in (ops.add, ops.accumulate):
            with pytest.raises(TypeError, match="float32"):
                call(odd_a, odd_b)
        return
    for left, right in ((odd_a, b), (a, odd_b), (odd_a, odd_b)):
        np.testing.assert_array_equal(ops.add(left, right), a + b)
        np.testing.assert_array_equal(odd_a, a)
        np.testing.assert_array_equal(odd_b, b)
    total = a.copy()
    ops.accumulate(total, odd_b)
    np.testing.assert_array_equal(total, a + b)
    if how == "read-only":
        if ops.name == "cupy":  # CuPy's arrays never are
            return
        with pytest.raises(ValueError, match="read-only|readonly|writable"):
            ops.accumulate(odd_a, b)
        np.testing.assert_array_equal(odd_a, a)
    else:
        ops.accumulate(odd_a, b)
        np.testing.assert_array_equal(odd_a, a + b)


def test_accumulate_refuses_read_only_in_the_kernels_order(ops):
    if ops.name == "cupy":
        pytest.skip("CuPy's arrays are never read-only")
    total = np.ones(5, np.float32)
    total.flags.writeable = False
    with pytest.raises((ValueError, BufferError), match="read-only|readonly|writable"):
        ops.accumulate(total, np.ones(5, np.float32))
    assert (total == 1).all()


def test_add_and_accumulate_refuse_what_does_not_fit(ops):
    a = np.ones((2, 3), np.float32)
    for call in (ops.add, ops.accumulate):
        with pytest.raises(ValueError, match=r"must have shape \(2, 3\)"):
            call(a, a[:1])
        with pytest.raises(TypeError, match="one dtype"):
            call(a, a.astype(np.float64))


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (3, 0, 2, 2), (0, 3, 4, 4), (2, 17)], ids=str)
def test_concat_and_split_are_inverse(ops, dtype, shape):
    tail = shape[2:]
    counts = (1, 3, 17, 0, shape[1])
    parts = [cases.normal((shape[0], count, *tail), dtype, i) for i, count in enumerate(counts)]
    whole = ops.concat(parts)
    assert whole.dtype == dtype
    np.testing.assert_array_equal(whole, np.concatenate(parts, axis=1))
    pieces = ops.split(whole, counts)
    assert len(pieces) == len(parts)
    for piece, part in zip(pieces, parts, strict=True):
        assert piece.dtype == dtype
        np.testing.assert_array_equal(piece, part)
    np.testing.assert_array_equal(ops.concat(parts[:1]), parts[0])


@pytest.mark.parametrize("how", cases.HOSTILE)
def test_concat_split_and_flatten_of_hostile_arrays(ops, how):
    x, other = cases.normal((2, 5, 3, 4), np.float32), cases.normal((2, 2, 3, 4), np.float32, 1)
    odd = cases.HOSTILE[how](x)
    if how == "byte-swapped":
        with pytest.raises(TypeError, match="float32"):
            ops.concat([other, odd])
        return
    np.testing.assert_array_equal(ops.concat([odd, other]), np.concatenate([x, other], axis=1))
    for piece, expected in zip(ops.split(odd, (2, 3)), np.split(x, [2], axis=1), strict=True):
        np.testing.assert_array_equal(piece, expected)
    np.testing.assert_array_equal(ops.flatten(odd), x.reshape(2, -1))
    flat = cases.HOSTILE[how](x.reshape(2, -1))
    np.testing.assert_array_equal(ops.unflatten(flat, x.shape[1:]), x)
    np.testing.assert_array_equal(odd, x)


def test_pieces_do_not_share_memory(ops):
    """A branch that changes its gradient in place must not change another branch's."""
    x = ops.asarray(cases.normal((2, 5, 3, 4), np.float32))
    kept = x.copy()
    first, second = ops.split(x, (2, 3))
    first[...] = 0
    np.testing.assert_array_equal(second, kept[:, 2:])
    whole = ops.concat([x := kept.copy()])
    whole[...] = 0
    np.testing.assert_array_equal(x, kept)


def test_concat_and_split_refuse_what_does_not_fit(ops):
    a = np.ones((2, 3, 4, 4), np.float32)
    with pytest.raises(ValueError, match=r"concat: x must have shape \(2, 3, 4, 4\), got \(2, 3, 4, 5\)"):
        ops.concat([a, np.ones((2, 3, 4, 5), np.float32)])
    with pytest.raises(ValueError, match="concat: x must have shape"):
        ops.concat([a, np.ones((3, 3, 4, 4), np.float32)])
    with pytest.raises(TypeError, match="one dtype, got x0 float32, x1 float64"):
        ops.concat([a, a.astype(np.float64)])
    with pytest.raises(ValueError, match=r"split: pieces \(1, 1\) do not add up to the 3 channels"):
        ops.split(a, (1, 1))
    volume = np.ones((2, 3, 4, 4, 4), np.float32)
    for call in (lambda: ops.concat([volume]), lambda: ops.split(volume, (1, 2))):
        with pytest.raises(ValueError, match=r"shape \(N, C\), \(N, C, L\) or \(N, C, H, W\), got \(2, 3, 4, 4, 4\)"):
            call()


@pytest.mark.parametrize(
    "shape", [(2, 3, 4, 5), (1, 1, 1, 1), (0, 3, 2, 2), (3, 17, 1, 1), (2, 33, 7, 9), (4, 6), (3, 5, 2)], ids=str
)
def test_flatten_and_unflatten(ops, dtype, shape):
    x = cases.normal(shape, dtype)
    flat = ops.flatten(ops.asarray(x, dtype))
    assert flat.dtype == dtype and flat.shape == (shape[0], int(np.prod(shape[1:])))
    np.testing.assert_array_equal(flat, x.reshape(flat.shape))
    np.testing.assert_array_equal(ops.unflatten(flat, shape[1:]), x)
    with pytest.raises(ValueError, match="unflatten: x must have shape"):
        ops.unflatten(np.ones((shape[0], flat.shape[1] + 1), dtype), shape[1:])


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("channels", [5, 6, 8, 11])
def test_subsample(ops, dtype, stride, channels):
    x = cases.normal((2, 5, 7, 6), dtype)
    y, saved = ops.subsample(x, stride, channels)
    expected = np.zeros((2, channels, -(-7 // stride), -(-6 // stride)))
    before = (channels - 5) // 2
    expected[:, before : before + 5] = x[:, :, ::stride, ::stride]
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, expected)
    dy = cases.normal(y.shape, dtype, 1)
    dx = ops.subsample_backward(dy, saved)
    back = np.zeros(x.shape)
    back[:, :, ::stride, ::stride] = dy[:, before : before + 5]
    np.testing.assert_array_equal(dx, back)
    with pytest.raises(ValueError, match="subsample: 4 channels requested, x already has 5"):
        ops.subsample(x, stride, 4)
