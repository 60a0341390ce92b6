"""Geometry: the arguments that it takes, and every one that must be rejected."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fastnet.arguments import pair
from fastnet.geometry import Conv2dGeometry, Pool2dGeometry

EDGES = [0, -1, -(2**31), 2**31, 2**31 - 1, 2**32, 2**62, 2**63, 2**64]

X, W = (2, 4, 8, 8), (6, 4, 3, 3)


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize(
    "argument, place",
    [("groups", None), *itertools.product(["stride", "dilation", "padding"], [None, 0, 1])],
)
def test_edge_values_of_a_convolutions_arguments(argument, place, edge):
    value = edge if place is None else ((edge, 1) if place == 0 else (1, edge))
    huge = edge == 2**31 - 1  # legal: the output of a padding like that on one axis still fits 64 bits
    if (argument == "padding" and (edge == 0 or (huge and place is not None))) or (argument == "stride" and huge):
        assert min(Conv2dGeometry.make(X, W, **{argument: value}).y_shape) >= 1
        return
    with pytest.raises(ValueError, match="conv2d: ") as error:
        Conv2dGeometry.make(X, W, **{argument: value})
    if not 0 < edge < 2**31 and not (argument == "padding" and edge == 0):
        message = str(error.value)
        assert f"conv2d: {argument} must be an integer between" in message and f"got {edge}" in message


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("axis", range(4))
def test_edge_values_of_shapes(axis, edge):
    for name, shapes in (("x", (X, W)), ("weight", (X, W))):
        shape = list(shapes[name == "weight"])
        shape[axis] = edge
        x_shape, w_shape = (X, shape) if name == "weight" else (shape, W)
        if (name == "x" and axis == 0 and edge in (0, 2**31 - 1)) or (name, axis, edge) == ("weight", 0, 2**31 - 1):
            assert Conv2dGeometry.make(x_shape, w_shape).P == 6
        elif name == "x" and axis in (2, 3) and edge == 2**31 - 1:
            assert Conv2dGeometry.make(x_shape, w_shape).y_shape[axis] == 2**31 - 3
        else:
            with pytest.raises(ValueError, match="conv2d: "):
                Conv2dGeometry.make(x_shape, w_shape)
        if name == "x":
            if edge == 2**31 - 1 or (edge == 0 and axis < 2):
                assert Pool2dGeometry.make(shape, 2).y_shape[axis] == (edge if axis < 2 else edge // 2)
            else:
                with pytest.raises(ValueError, match="pool2d: "):
                    Pool2dGeometry.make(shape, 2)


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("argument", ["kernel", "stride", "padding"])
@pytest.mark.parametrize("place", [None, 0, 1])
def test_edge_values_of_a_poolings_arguments(argument, place, edge):
    value = edge if place is None else ((edge, 1) if place == 0 else (1, edge))
    arguments = {"kernel": 2, argument: value}
    if (argument, edge) in (("padding", 0), ("stride", 2**31 - 1)):
        assert min(Pool2dGeometry.make(X, **arguments).y_shape) >= 1
        return
    with pytest.raises(ValueError, match="pool2d: "):
        Pool2dGeometry.make(X, **arguments)


def test_products_of_edge_values_never_wrap():
    """Every combination of sizes around 2**31 gives a geometry that fits 64 bits, or a ValueError."""
    sizes = (0, 1, 3, 2**16, 2**31 - 1)
    made = 0
    for N, C, H, Wd, K, R in itertools.product(sizes, repeat=6):
        try:
            g = Conv2dGeometry.make((N, C, H, Wd), (K, C, R, R))
        except ValueError:
            continue
        made += 1
        for shape in (g.x_shape, g.w_shape, g.y_shape):
            count = 1
            for size in shape:
                count *= size
            assert count * 8 < 2**63
    assert made > 100


@pytest.mark.parametrize(
    "x_shape, w_shape, text",
    [
        ((2**30, 2**15, 2**15, 1), (1, 2**15, 1, 1), r"x of shape .* more elements than memory can hold"),
        ((2**20, 1, 2**20, 2**20), (2**20, 1, 1, 1), "more elements"),
        ((4194305, 4194305, 1, 211106198978564), (1, 4194305, 1, 1), "must be an integer between|more elements"),
        ((1, 2**30, 4, 4), (2**30, 2**30, 3, 3), r"weight of shape .* more elements"),
    ],
)
def test_products_that_overflow_64_bits_are_refused(x_shape, w_shape, text):
    with pytest.raises(ValueError, match=text):
        Conv2dGeometry.make(x_shape, w_shape)


@pytest.mark.parametrize(
    "bad", [1.0, 2.5, "1", None, True, b"1", 1j, np.float32(1), np.array([1, 2]), [1.0, 1], {1}, object()]
)
@pytest.mark.parametrize("argument", ["stride", "dilation", "groups", "padding"])
def test_what_is_no_integer_is_a_type_error(argument, bad):
    with pytest.raises((TypeError, ValueError), match="conv2d: ") as error:
        Conv2dGeometry.make(X, W, **{argument: bad})
    if isinstance(bad, (float, bool, complex, bytes)) or bad is None:
        assert error.type is TypeError and "must be an integer, got" in str(error.value)


@pytest.mark.parametrize("bad", [1.0, "2", True, b"1", np.float32(2), [2, 2.0]])
@pytest.mark.parametrize("argument", ["kernel", "stride", "padding"])
def test_what_is_no_integer_is_a_type_error_in_pooling(argument, bad):
    with pytest.raises((TypeError, ValueError), match="max_pool2d: "):
        Pool2dGeometry.make(X, **{"kernel": 2, argument: bad}, op="max_pool2d")


@pytest.mark.parametrize("argument", ["stride", "dilation", "padding"])
@pytest.mark.parametrize("bad", [(), (1, 1, 1), (1,) * 5, [1, 1, 1]])
def test_tuples_of_the_wrong_length(argument, bad):
    with pytest.raises(ValueError, match=rf"conv2d: {argument} must be an int.*got .*"):
        Conv2dGeometry.make(X, W, **{argument: bad})


@pytest.mark.parametrize(
    "arguments, text",
    [
        (
            ((3, 8, 8), W),
            r"x must have 4 axes, got shape \(3, 8, 8\) \(a single image needs a leading batch axis: x\[None\]\)",
        ),
        (((8, 8), W), r"x must have 4 axes, got shape \(8, 8\)$"),
        ((X, (6, 4, 3)), r"weight must have 4 axes, got shape \(6, 4, 3\)"),
        ((X, (6, 3, 3, 3)), r"weight expects 3 input channels, x has 4 \(x\.shape=\(2, 4, 8, 8\)\)"),
        ((X, (6, 4, 3, 3), 1, 0, 1, 2), r"weight expects 4 per group x 2 groups = 8 input channels, x has 4"),
        ((X, (5, 2, 3, 3), 1, 0, 1, 2), r"5 filters cannot be split into 2 groups \(groups must divide K\)"),
        ((X, (6, 4, 9, 3)), r"kernel 9x3 with dilation \(1, 1\) covers 9x3 pixels, more than the padded input's 8x8"),
        ((X, W, 1, 0, 4), r"kernel 3x3 with dilation \(4, 4\) covers 9x9 pixels"),
        (((2, 4, 0, 8), W), "more than the padded input's 0x8"),
        ((X, (6, 4, 0, 3)), r"weight must not be empty, got shape \(6, 4, 0, 3\)"),
        ((X, (0, 4, 3, 3)), "weight must not be empty"),
        (((2, 0, 8, 8), (6, 0, 3, 3)), "weight must not be empty"),
        ((X, W, 1, "SAME"), 'padding must be numbers, "same" or "valid", got \'SAME\''),
        ((X, W, 1, "full"), "got 'full'"),
        ((X, W, 1, 0, 1, 1, (5,)), r"bias must have shape \(6,\), one element per filter, got \(5,\)"),
        ((X, W, 1, 0, 1, 1, (6, 1)), r"bias must have shape \(6,\)"),
        ((X, W, 1, 0, 1, 1, ()), r"bias must have shape \(6,\)"),
    ],
)
def test_texts_of_convolution_errors(arguments, text):
    with pytest.raises(ValueError, match="conv2d: .*" + text):
        Conv2dGeometry.make(*arguments)


@pytest.mark.parametrize(
    "arguments, text",
    [
        (((4, 8, 8), 2), r"x must have 4 axes, got shape \(4, 8, 8\)"),
        ((X, 9), r"kernel 9x9 is larger than the padded input's 8x8"),
        ((X, 2, 2, 2), "padding 2 must be smaller than the kernel 2x2 on every side"),
        ((X, 3, 1, (0, 3)), "must be smaller than the kernel"),
        (((2, 4, 0, 8), 2, 1, 1), "larger than the padded input"),
        ((X, (2, 2, 2)), r"kernel must be an int or a pair of ints, got \(2, 2, 2\)"),
        ((X, 0, 0), "kernel must be an integer between 1"),
    ],
)
def test_texts_of_pooling_errors(arguments, text):
    with pytest.raises(ValueError, match="avg_pool2d: .*" + text):
        Pool2dGeometry.make(*arguments, op="avg_pool2d")


# Arguments that crashed other libraries; see also the empty batches of tests/backends/test_conv.py and test_pool.py.
CRASHED = {
    "CVE-2021-29526 (no channels)": lambda: Conv2dGeometry.make((1, 0, 8, 8), (4, 0, 3, 3)),
    "CVE-2021-29526 (no groups)": lambda: Conv2dGeometry.make(X, W, groups=0),
    "CVE-2021-41209 (empty filter)": lambda: Conv2dGeometry.make(X, (0, 4, 0, 0)),
    "CVE-2022-21741 (stride 0)": lambda: Conv2dGeometry.make(X, W, stride=0),
    "CVE-2021-29525 (empty filter gradient)": lambda: Conv2dGeometry.make(X, (4, 4, 0, 3)),
    "CVE-2021-37674 (padding as large as the kernel)": lambda: Pool2dGeometry.make((1, 1, 3, 3), 2, 1, (3, 0, 0, 2)),
    "CVE-2021-37684 (stride 0)": lambda: Pool2dGeometry.make(X, 2, 0),
    "CVE-2021-37684 (kernel 0)": lambda: Pool2dGeometry.make(X, 0, 1),
    "CVE-2022-35941 (negative kernel)": lambda: Pool2dGeometry.make(X, -2),
    "CVE-2023-25669 (kernel = stride = 0)": lambda: Pool2dGeometry.make(X, 0, 0),
    "CVE-2025-2953 (stride 0)": lambda: Pool2dGeometry.make(X, 2, (0, 1)),
    "CVE-2023-25664 (image smaller than the window)": lambda: Pool2dGeometry.make((1, 1, 1, 1), 2),
    "pytorch #73190 (kernel 2**29)": lambda: Pool2dGeometry.make(X, 2**29),
    "pytorch #73191 (padding 2**30)": lambda: Pool2dGeometry.make(X, 2, 2, 2**30),
    "pytorch #73192 (dilation 2**31)": lambda: Conv2dGeometry.make(X, W, dilation=2**31),
    "pytorch #73192 (dilation 2**31 - 1)": lambda: Conv2dGeometry.make(X, W, dilation=2**31 - 1),
    "pytorch #73193 (stride and groups 0)": lambda: Conv2dGeometry.make(X, W, stride=0, groups=0),
    "pytorch #147458 (stride 2**32)": lambda: Conv2dGeometry.make(X, W, stride=2**32),
    "pytorch #4986 (kernel > input)": lambda: Pool2dGeometry.make((1, 1, 2, 2), 3),
    "huge dilation and padding": lambda: Pool2dGeometry.make((1, 1, 9, 9), 2**20, 1, 2**30, dilation=2**11),
    "pytorch #56998 (groups = 0, C = 0)": lambda: Conv2dGeometry.make((1, 0, 8, 8), (0, 0, 3, 3), groups=0),
    "pytorch #142454 (product over 2**63)": lambda: Conv2dGeometry.make((2**31 - 1,) * 4, (1, 2**31 - 1, 1, 1)),
    "Theano #4020 reversed (65x65 kernel)": lambda: Conv2dGeometry.make((1, 1, 64, 64), (1, 1, 65, 65)),
    "padding that overflows": lambda: Conv2dGeometry.make(X, W, padding=2**31 - 1),
    "everything at once": lambda: Conv2dGeometry.make(X, W, 2**31 - 1, 2**31 - 1, 2**31 - 1, 2**31 - 1),
}


@pytest.mark.parametrize("bug", CRASHED)
def test_arguments_that_crashed_other_libraries(bug):
    with pytest.raises(ValueError, match="2d: "):
        CRASHED[bug]()


def test_pair():
    for both in (3, (3,), [3], np.int32(3), np.array(3), (np.int64(3),)):
        assert pair(both, "x") == (3, 3)
    for two_numbers in ((1, 2), [1, 2], [np.array(1), np.uint8(2)]):
        assert pair(two_numbers, "x") == (1, 2)
    for bad in (0, (), (1, 2, 3), np.float32(2), 1.0, "ab", None):
        error = ValueError if isinstance(bad, (int, tuple)) else TypeError
        with pytest.raises(error, match="x must be"):
            pair(bad, "x")


@pytest.mark.parametrize("number", [np.int64, np.uint8, np.array, lambda n: (n,), lambda n: [n, n]])
def test_numpys_integers_and_short_sequences(number):
    given = {"stride": number(2), "padding": number(1), "dilation": number(1)}
    assert Conv2dGeometry.make(X, W, **given) == Conv2dGeometry.make(X, W, stride=2, padding=1)
    assert Pool2dGeometry.make(X, number(3), **given) == Pool2dGeometry.make(X, 3, 2, 1)


def test_an_empty_stride_is_the_kernel():
    assert Pool2dGeometry.make(X, 3, ()) == Pool2dGeometry.make(X, 3, []) == Pool2dGeometry.make(X, 3)
    with pytest.raises(ValueError, match="conv2d: stride must be an int or a pair"):
        Conv2dGeometry.make(X, W, stride=())


def test_padding_counts_as_where_it_comes_from():
    """TensorFlow's "SAME" does not count it, PyTorch's numbers do."""
    assert not Pool2dGeometry.make(X, 3, 1, "same").count_include_pad
    assert Pool2dGeometry.make(X, 3, 1, "same", count_include_pad=True).count_include_pad
    assert Pool2dGeometry.make(X, 3, 1, 1).count_include_pad


@pytest.mark.parametrize("wrong", [{"ceil_mode": 1}, {"count_include_pad": 0}, {"ceil_mode": None}])
def test_flags_are_true_or_false(wrong):
    with pytest.raises(TypeError, match="must be True or False, got"):
        Pool2dGeometry.make(X, 2, **wrong)
    assert Pool2dGeometry.make(X, 2, ceil_mode=np.True_) == Pool2dGeometry.make(X, 2, ceil_mode=True)


@pytest.mark.parametrize("divisor", [0, 2**31, 1.5, True])
def test_a_divisor_is_an_integer_other_than_0(divisor):
    with pytest.raises((TypeError, ValueError), match="pool2d: divisor_override must be an integer"):
        Pool2dGeometry.make(X, 2, divisor=divisor)


def test_equal_arguments_of_different_types_are_not_confused():
    """Geometries are cached: True == 1 == 1.0, but only one of them is a stride."""
    Conv2dGeometry.make(X, W, stride=1)
    for bad in (True, 1.0, np.True_):
        with pytest.raises(TypeError, match="conv2d: stride must be an integer"):
            Conv2dGeometry.make(X, W, stride=bad)
        with pytest.raises(TypeError, match="conv2d: stride must be an integer"):
            Conv2dGeometry.make(X, W, stride=(1, bad))


def test_sizes_whose_scratch_would_overflow_are_refused():
    far = 2**31 - 1
    with pytest.raises(ValueError, match="more elements than memory can hold"):
        Conv2dGeometry.make((1, 1, 1, 1), (1, 1, 3, 2), 1, (far, far, 2**27 - 1, 0), (far, 2**27 - 1))
    with pytest.raises(ValueError, match="more positions than an index can hold|more elements than memory can hold"):
        Pool2dGeometry.make((1, 1, 1, 1), (2**17, 2**17), 1, 2**16)
