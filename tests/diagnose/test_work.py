"""Operations and bytes of ops: counted another way."""

from __future__ import annotations

import cases
import numpy as np
import pytest
from isas import needs_kernels

from fastnet.diagnose.work import arrays_in, winograd_flops, work_of
from fastnet.geometry import Conv2dGeometry, Pool2dGeometry
from fastnet.ops import REGISTRY

CONV = cases.Conv(2, 3, 9, 8, 5, 3, 2, 2, 1)


def geometry(case):
    return Conv2dGeometry.make(case.x_shape, case.w_shape, **case.arguments)


def arrays(*shapes):
    return [np.ones(shape, np.float32) for shape in shapes]


def work(name, read, made, part="", **attributes):
    return work_of(REGISTRY[name.removesuffix("_backward")], name, part, read, made, attributes)


def test_a_convolution_and_its_gradients():
    g = geometry(CONV)
    x, w, b, y = arrays(g.x_shape, g.w_shape, (g.K,), g.y_shape)
    pixels = g.N * g.P * g.Q
    products = 2 * pixels * g.K * g.C * g.R * g.S
    found = work("conv2d", [x, w, b], [y], geometry=g)
    assert found == (products, products, x.nbytes + w.nbytes + b.nbytes + y.nbytes)
    dx, dw, db = arrays(x.shape, w.shape, b.shape)
    add = np.ones_like(x)
    for part, read, made, flops in (
        ("input", [y, w], dx, products),
        ("input", [y, w, add], dx, products),
        ("weight", [y, x], dw, products),
        ("bias", [y], db, pixels * g.K),
    ):
        found = work("conv2d_backward", read, [made], part, geometry=g)
        assert found == (flops, flops, sum(array.nbytes for array in [*read, made])), part


def test_a_transposed_convolution_and_its_gradients():
    g = geometry(CONV)
    x, w, b, y = arrays(g.y_shape, g.w_shape, (g.C,), g.x_shape)
    products = 2 * x.size * g.C * g.R * g.S
    found = work("conv_transpose2d", [x, w, b], [y], geometry=g)
    assert found == (products, products, x.nbytes + w.nbytes + b.nbytes + y.nbytes)
    for part, read, made, flops in (
        ("input", [y, w], x.copy(), products),
        ("weight", [y, x], w.copy(), products),
        ("bias", [y], b.copy(), y.size),
    ):
        found = work("conv_transpose2d_backward", read, [made], part, geometry=g)
        assert found == (flops, flops, sum(array.nbytes for array in [*read, made])), part


def test_a_convolution_and_the_pooling_after_it():
    g = geometry(CONV)
    pool = Pool2dGeometry.make(g.y_shape, 2)
    x, w, b, y = arrays(g.x_shape, g.w_shape, (g.K,), pool.y_shape)
    index, given = y.astype(np.uint8), {"geometry": g, "pool_geometry": pool}
    products = 2 * g.N * g.P * g.Q * g.K * g.C * g.R * g.S
    found = work("conv2d_max_pool", [x, w, b], [y, index], **given)
    assert found == (products + 4 * y.size,) * 2 + (x.nbytes + w.nbytes + b.nbytes + y.nbytes + index.nbytes,)
    found = work("conv2d_max_pool_backward", [y, x, index], [w.copy()], "weight", **given)
    assert found.flops == products + y.size


def test_linear_and_elementwise_ops():
    x, w, y = arrays((7, 30), (4, 30), (7, 4))
    assert work("linear", [x, w], [y]) == (2 * 7 * 30 * 4,) * 2 + (4 * (210 + 120 + 28),)
    assert work("linear_backward", [y, x], [w.copy()], "weight") == (2 * 7 * 30 * 4,) * 2 + (4 * (28 + 210 + 120),)
    assert work("linear_backward", [y], [np.ones(4, np.float32)], "bias").flops == 28
    z, out = arrays((2, 3, 4, 5), (2, 3, 4, 5))
    assert work("relu", [z], [out, out]) == (120, 120, 960)
    assert work("sigmoid", [z], [out]).flops == 20 * 120 and work("sigmoid_backward", [z, out], [z]).flops == 3 * 120
    assert work("accumulate", [z, out], []).bytes == 960
    assert work("flatten", [z], [z.reshape(2, 60)]).bytes == 0, "a view moves nothing"
    g = Pool2dGeometry.make((2, 3, 4, 4), 2)
    x, y, index = np.ones(g.x_shape, np.float32), np.ones(g.y_shape, np.float32), np.zeros(g.y_shape, np.uint8)
    assert work("max_pool2d", [x], [y, index], geometry=g) == (96, 96, 384 + 96 + 24)


class Counted:
    """A number that counts the operations applied to it."""

    operations = 0

    def binary(self, other):
        Counted.operations += 1
        return Counted()

    __add__ = __sub__ = __mul__ = __rmul__ = binary


def multiply_add(a, b, c):
    Counted.operations += 2
    return Counted()


def transform_input(d):
    f = multiply_add
    even_a, odd_a, even_b, odd_b = f(2, d[2], d[4]), f(2, d[1], d[3]), f(2, d[2], d[4]), f(2, d[1], d[3])
    ends = f(2, d[0], f(2, d[2], d[4])), f(2, d[1], f(2, d[3], d[5]))
    return [*ends, *(f(2, odd_a, even_a) for _ in range(2)), *(f(2, odd_b, even_b) for _ in range(2))]


def transform_output4(m):
    f = multiply_add
    sum_a, less_a, sum_b, less_b = m[1] + m[2], m[1] - m[2], m[3] + m[4], m[3] - m[4]
    return [m[0] + sum_a + sum_b, f(2, less_a, 2 * less_b), f(2, sum_a, 2 * sum_b), f(2, less_a, f(2, less_b, m[5]))]


def transform_output3(m):
    f = multiply_add
    sum_a, sum_b = m[1] + m[2], m[3] + m[4]
    return [m[0] + sum_a + sum_b, f(2, m[1] - m[2], 2 * (m[3] - m[4])), f(2, sum_a, f(2, sum_b, m[5]))]


def transform_filter(g):
    f = multiply_add
    odd_a, odd_b = (g[1], g[1]) if len(g) == 3 else (f(2, g[3], g[1]), f(2, g[3], g[1]))
    even_a, even_b = f(2, g[2], g[0]), f(2, g[2], g[0])
    return [2 * g[0], *(2 * f(2, odd, even) for odd, even in ((odd_a, even_a),) * 2 + ((odd_b, even_b),) * 2), g[-1]]


def operations_of(transform, size):
    """Of a transform in two dimensions: rows first, then columns."""
    Counted.operations = 0
    rows = [transform([Counted() for _ in range(size)]) for _ in range(size)]
    for column in zip(*rows, strict=True):
        transform(list(column))
    return Counted.operations


@pytest.mark.parametrize("part", ["", "input", "weight"])
def test_winograd(part):
    """Transforms written out here with counting numbers; products are 36 per tile and pair of channels."""
    g = geometry(cases.Conv(3, 20, 9, 13, 17, 3, 3, 1, 1))
    tiles, (C, K) = 3 * 3 * 4, (17, 20) if part == "input" else (20, 17)
    inputs = tiles * C * operations_of(transform_input, 6)
    if part == "weight":
        others = tiles * K * operations_of(transform_filter, 4) + C * K * operations_of(transform_output3, 6)
    else:
        others = tiles * K * operations_of(transform_output4, 6) + C * K * operations_of(transform_filter, 3)
    assert winograd_flops(g, part) == 2 * 36 * tiles * C * K + inputs + others
    assert winograd_flops(g, part) < 2 * g.macs


def test_the_form_that_ran_is_counted():
    g = geometry(cases.Conv(2, 32, 8, 8, 32, 3, 3, 1, 1))
    x, w, y = arrays(g.x_shape, g.w_shape, g.y_shape)
    found = work_of(REGISTRY["conv2d"], "conv2d", "", [x, w], [y], {"geometry": g}, forms=("winograd",))
    assert found.flops == 2 * g.macs and found.done == winograd_flops(g)


def test_taps_in_the_padding_are_not_executed_by_forms_that_skip_them():
    g = geometry(cases.Conv(1, 20, 2, 2, 30, 3, 3, 1, 1))
    x, w, y = arrays(g.x_shape, g.w_shape, g.y_shape)
    for part, forms, pairs in (("", ("small",), 16), ("", ("gemm",), 36), ("", ("gemm", "small"), 36)):
        found = work_of(REGISTRY["conv2d"], "conv2d", part, [x, w], [y], {"geometry": g}, forms)
        assert (found.flops, found.done) == (2 * 36 * 600, 2 * pairs * 600)


@needs_kernels
def test_before_max_pooling_products_are_those_of_the_maxima():
    from isas import kernels

    from fastnet.backends import _native

    g = geometry(cases.Conv(2, 6, 14, 14, 16, 5, 5))
    pool = Pool2dGeometry.make(g.y_shape, 2)
    x, w, dy = arrays(g.x_shape, g.w_shape, pool.y_shape)
    with kernels(algorithm="auto") as ops:
        _, saved = ops.conv2d_max_pool(x, w, None, g, pool)
        _native.conv_forms()
        for part, needs in (("input", (True, False, False)), ("weight", (False, True, False))):
            result = ops.conv2d_max_pool_backward(dy, saved, needs)
            forms = _native.conv_forms()
            assert forms == ["patches"]
            op, given = REGISTRY["conv2d_max_pool"], {"geometry": g, "pool_geometry": pool}
            made = arrays_in(result)
            found = work_of(op, "conv2d_max_pool_backward", part, [dy, w], made, given, forms)
            compared = 2 * 16 * 5 * 5
            assert (found.flops - compared, found.done - compared) == (2 * g.macs, 2 * g.macs / 4)


@needs_kernels
@pytest.mark.parametrize(
    "case, algorithm, form",
    [
        (cases.Conv(2, 16, 8, 8, 16, 3, 3, 1, 1), "winograd", "winograd"),
        (cases.Conv(2, 16, 8, 8, 16, 3, 3, 1, 1), "direct", "gemm"),
        (cases.Conv(2, 8, 8, 8, 8, 3, 3, 1, 1, 1, 8), "winograd", "depthwise"),
        (cases.Conv(2, 20, 2, 2, 20, 3, 3, 1, 1), "auto", "small"),
    ],
)
def test_kernels_say_which_form_ran(case, algorithm, form):
    from isas import kernels

    from fastnet.backends import _native

    g = geometry(case)
    x, w = arrays(g.x_shape, g.w_shape)
    with kernels(algorithm=algorithm) as ops:
        _native.conv_forms()
        y, saved = ops.conv2d(x, w, None, g)
        assert _native.conv_forms() == [form] and _native.conv_forms() == []
        for i in range(2):
            ops.conv2d_backward(y, saved, tuple(j == i for j in range(3)))
            assert _native.conv_forms() == [form]
