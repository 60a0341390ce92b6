"""Ops on arrays of random sizes: right, the same bits however they run, and no access outside their arrays.

``FASTNET_EXAMPLES=5000 pytest tests/backends/test_properties.py`` tries 5000 random cases of each property instead of a
few fixed ones.
"""

from __future__ import annotations

import itertools
import math

import cases
import numpy as np
import pytest
from guarded import guarded
from hypothesis import given
from hypothesis import strategies as st
from isas import kernels
from proof import check, placed
from randomized import examples

import fastnet as fn
from fastnet import backends
from fastnet.geometry import Conv2dGeometry, Pool2dGeometry

if backends.NativeOps is None:
    pytest.skip(f"the extension was not built: {backends.why_not_native}", allow_module_level=True)

dtypes = st.sampled_from([np.float32, np.float64])
layouts = st.sampled_from(["channels-last", "c-order"])
channels = st.one_of(st.integers(1, 9), st.integers(10, 70))
sizes = st.integers(1, 14)
RELU = ("relu", {})


def zip_names(names, arrays):
    return dict(zip(names, arrays, strict=True))


@st.composite
def convolutions(draw):
    groups = draw(st.sampled_from([1, 1, 1, 2, 3, "depthwise"]))
    C, K = draw(channels), draw(channels)
    if groups == "depthwise":
        C = K = groups = draw(st.integers(1, 40))
    else:
        C, K = groups * C, groups * K
    R, S = draw(st.one_of(st.just((3, 3)), st.tuples(st.integers(1, 5), st.integers(1, 5))))
    stride = draw(st.one_of(st.just(1), st.tuples(st.integers(1, 3), st.integers(1, 3))))
    padding = draw(st.one_of(st.integers(0, 2), st.tuples(*[st.integers(0, 3)] * 4)))
    dilation = draw(st.sampled_from([1, 1, (1, 2), (2, 1)]))
    four = padding if isinstance(padding, tuple) else (padding,) * 4
    spans = [(taps - 1) * step + 1 for taps, step in zip((R, S), np.broadcast_to(dilation, 2), strict=True)]
    H = draw(st.integers(max(1, spans[0] - four[0] - four[1]), 14))
    W = draw(st.integers(max(1, spans[1] - four[2] - four[3]), 14))
    return Conv2dGeometry.make(
        (draw(st.integers(1, 5)), C, H, W), (K, C // groups, R, S), stride, padding, dilation, groups
    )


@examples(80)
@given(convolutions(), dtypes, layouts, st.sampled_from(["auto", "direct", "winograd"]), st.booleans())
def test_convolution(g, dtype, layout, algorithm, bias):
    def compute(ops, x, w, dy, b=None):
        y, saved = ops.conv2d(x, w, b, g)
        dx, dw, db = ops.conv2d_backward(dy, saved, (True, True, True))
        return {"y": y, "dx": dx, "dw": dw, "db": db}

    arrays = [cases.normal(shape, dtype, i) for i, shape in enumerate((g.x_shape, g.w_shape, g.y_shape, (g.K,)))]
    check(compute, arrays if bias else arrays[:3], layout, algorithm)


@examples(40)
@given(convolutions(), dtypes, layouts, st.sampled_from(["auto", "direct", "winograd"]))
def test_what_is_fused_with_a_convolution(g, dtype, layout, algorithm):
    """On integers, and a bias with halves, so that no sum is near 0."""

    def compute(ops, x, w, b, dy, dx, scale, y):
        found = {}
        for activation in (None, RELU, ("leaky_relu", {"negative_slope": 0.25})):
            found[f"y {activation}"], saved = ops.conv2d(x, w, b, g, activation)
            names = (f"{name} {activation}" for name in ("dx", "dw", "db"))
            found |= zip_names(names, ops.conv2d_backward(dy, saved, add=dx))
            found[f"scaled {activation}"] = ops.conv2d_scaled(x, w, scale, b, None, None, g, activation)
            found[f"scaled and added {activation}"] = ops.conv2d_scaled(x, w, scale, b, None, y, g, activation)
        return found

    shapes = g.x_shape, g.w_shape, (g.K,), g.y_shape, g.x_shape, (g.K,), g.y_shape
    arrays = [cases.integers(shape, dtype, i, -2, 2) for i, shape in enumerate(shapes)]
    arrays[2] += dtype(0.5)
    check(compute, arrays, layout, algorithm)


@examples(40)
@given(convolutions(), dtypes, st.sampled_from(["auto", "direct", "winograd"]), st.data())
def test_forward_and_input_gradient_for_any_split_of_the_batch(g, dtype, algorithm, data):
    x, w, dy = (cases.normal(shape, dtype, i) for i, shape in enumerate((g.x_shape, g.w_shape, g.y_shape)))
    cuts = sorted(data.draw(st.sets(st.integers(1, g.N - 1)) if g.N > 1 else st.just(set()), label="cuts"))
    with kernels(algorithm=algorithm) as ops:

        def run(first, last):
            part = Conv2dGeometry.make(
                (last - first, *g.x_shape[1:]), g.w_shape, g.stride, g.padding, g.dilation, g.groups
            )
            y, saved = ops.conv2d(guarded(x[first:last], True), w, None, part)
            return y, ops.conv2d_backward(guarded(dy[first:last], False), saved, (True, False, False))[0]

        whole = run(0, g.N)
        parts = [run(first, last) for first, last in zip([0, *cuts], [*cuts, g.N], strict=True)]
    for i in range(2):
        np.testing.assert_array_equal(np.concatenate([part[i] for part in parts]), whole[i])


@examples(40)
@given(convolutions(), dtypes, layouts)
def test_im2col(g, dtype, layout):
    g = Conv2dGeometry.make(g.x_shape, (1, g.C, g.R, g.S), g.stride, g.padding, g.dilation)

    def compute(ops, x, columns):
        return {"columns": ops.im2col(x, g), "image": ops.col2im(columns, g)}

    columns = (g.N, g.C * g.R * g.S, g.P * g.Q)
    check(compute, [cases.normal(g.x_shape, dtype), cases.normal(columns, dtype, 1)], layout)


@examples(40)
@given(st.integers(1, 70), st.integers(1, 130), st.integers(1, 130), dtypes)
def test_linear_and_matrix_product(M, K, N, dtype):
    def compute(ops, x, w, b, dy):
        y, saved = ops.linear(x, w, b)
        dx, dw, db = ops.linear_backward(dy, saved)
        both = ops.matmul(x, dy, transpose_a=True), ops.matmul(w, dy, transpose_a=True, transpose_b=True)
        rectified, saved = ops.linear(x, w, b, RELU)
        found = {"y": y, "dx": dx, "dw": dw, "db": db, "x'dy": both[0], "w'dy'": both[1], "rectified": rectified}
        return found | zip_names(("~rectified dx", "~rectified dw", "~rectified db"), ops.linear_backward(dy, saved))

    check(compute, [cases.normal(shape, dtype, i) for i, shape in enumerate(((M, K), (N, K), (N,), (M, N)))])


@st.composite
def poolings(draw):
    R, S = draw(st.one_of(st.just((2, 2)), st.tuples(st.integers(1, 5), st.integers(1, 5)), st.just((17, 16))))
    stride = draw(st.one_of(st.none(), st.tuples(st.integers(1, 4), st.integers(1, 4))))
    padding = draw(st.tuples(*[st.integers(0, R // 2)] * 2, *[st.integers(0, S // 2)] * 2))
    H = draw(st.integers(max(1, R - padding[0] - padding[1]), R + 12))
    W = draw(st.integers(max(1, S - padding[2] - padding[3]), S + 12))
    ceil_mode = draw(st.booleans())
    if ceil_mode and stride is None:  # windows may be larger than the input
        H, W = draw(st.integers(1, H)), draw(st.integers(1, W))
    return (draw(st.integers(1, 4)), draw(channels), H, W), ((R, S), stride, padding, ceil_mode)


@examples(40)
@given(poolings(), dtypes, layouts)
def test_pooling(case, dtype, layout):
    x_shape, arguments = case
    g = Pool2dGeometry.make(x_shape, *arguments)

    def compute(ops, x, dy):
        top, saved = ops.max_pool2d(x, g)
        mean, other = ops.avg_pool2d(x, g)
        whole, all_pixels = ops.global_avg_pool2d(x)
        rectified, positive = ops.max_pool2d(x, g, RELU)
        found = {"rectified": rectified, "rectified dx": ops.max_pool2d_backward(dy, positive)}
        for ties, values in itertools.product(("split", "first", "all"), (x, np.round(x))):
            y, kept = ops.max_pool2d_planes(values, g, ties)
            name = f"planes {ties} {values is x}"
            found |= {name: y, f"{name} dx": ops.max_pool2d_planes_backward(dy, kept)}
        return found | {
            "max": top,
            "max dx": ops.max_pool2d_backward(dy, saved),
            "average": mean,
            "average dx": ops.avg_pool2d_backward(dy, other),
            "global": whole,
            "global dx": ops.global_avg_pool2d_backward(whole, all_pixels),
        }

    distinct = (np.random.default_rng(0).permutation(math.prod(x_shape)).reshape(x_shape).astype(dtype) - 200.5) / 64
    check(compute, [distinct, cases.normal(g.y_shape, dtype, 1)], layout)


@examples(20)
@given(poolings(), st.tuples(st.integers(1, 3), st.integers(1, 3)), dtypes, layouts)
def test_dilated_max_pooling(case, dilation, dtype, layout):
    (N, C, H, W), ((R, S), *arguments) = case
    x_shape = N, C, H + (dilation[0] - 1) * R, W + (dilation[1] - 1) * S
    g = Pool2dGeometry.make(x_shape, (R, S), *arguments, dilation=dilation)

    def compute(ops, x, dy):
        found = {}
        for name, (y, saved) in {"max": ops.max_pool2d(x, g), "rectified": ops.max_pool2d(x, g, RELU)}.items():
            found |= {name: y, f"{name} dx": ops.max_pool2d_backward(dy, saved)}
        for ties, values in itertools.product(("split", "first", "all"), (x, np.round(x))):
            y, kept = ops.max_pool2d_planes(values, g, ties)
            name = f"planes {ties} {values is x}"
            found |= {name: y, f"{name} dx": ops.max_pool2d_planes_backward(dy, kept)}
        return found

    distinct = (np.random.default_rng(0).permutation(math.prod(x_shape)).reshape(x_shape).astype(dtype) - 200.5) / 64
    check(compute, [distinct, cases.normal(g.y_shape, dtype, 1)], layout)


@examples(60)
@given(
    st.one_of(st.tuples(st.integers(2, 90), channels), st.tuples(st.integers(2, 6), channels, sizes, sizes)),
    dtypes,
    layouts,
    st.booleans(),
    st.booleans(),
)
def test_batch_norm(shape, dtype, layout, training, affine):
    def compute(ops, x, dy, gamma, beta, mean, var):
        y, saved = ops.batch_norm(x, *((gamma, beta) if affine else (None, None)), mean, var, training)
        gradients = ops.batch_norm_backward(dy, saved, (True, True, True))
        found = {"y": y, **zip_names(("dx", "dgamma", "dbeta"), gradients)}
        for add in (None, dy):
            statistics = mean.copy(), var.copy()
            y, saved = ops.batch_norm_activation(
                x, *((gamma, beta) if affine else (None, None)), *statistics, add, training, activation=RELU
            )
            *gradients, dadd = ops.batch_norm_activation_backward(dy, saved, (True, True, True, add is not None))
            names = (f"~rectified {name} {add is None}" for name in ("dx", "dgamma", "dbeta"))
            found |= {f"rectified {add is None}": y, **zip_names(names, gradients)}
            found |= {"~dadd": dadd} if dadd is not None else {}
        return found | {"mean": mean, "var": var}

    # no two images alike, so that no channel's variance is near 0
    ramp = np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    x = (cases.normal(shape, dtype) + 8 * ramp / shape[0]).astype(dtype)
    per_channel = [cases.normal((shape[1],), dtype, i) for i in (2, 3, 4, 5)]
    check(compute, [x, cases.normal(shape, dtype, 1), *per_channel[:3], abs(per_channel[3]) + 1], layout)


@examples(40)
@given(st.integers(1, 4), st.lists(channels, min_size=1, max_size=3), sizes, sizes, dtypes, layouts)
def test_joining_and_flattening(N, widths, H, W, dtype, layout):
    def compute(ops, *pieces):
        joined = ops.concat(pieces)
        flat = ops.flatten(joined)
        found = {"joined": joined, "flat": flat, "back": ops.unflatten(flat, joined.shape[1:])}
        fewer, saved = ops.subsample(joined, 2, joined.shape[1] + 3)
        found |= {"fewer": fewer, "fewer dx": ops.subsample_backward(fewer, saved)}
        return found | {f"piece {i}": piece for i, piece in enumerate(ops.split(joined, widths))}

    check(compute, [cases.normal((N, width, H, W), dtype, i) for i, width in enumerate(widths)], layout)


@examples(40)
@given(st.integers(1, 300), st.integers(1, 200), dtypes)
def test_losses(N, C, dtype):
    def compute(ops, scores, labels):
        found = {}
        for op in ("softmax_cross_entropy", "svm_loss"):
            loss, gradient = getattr(ops, op)(scores, labels)
            found |= {op: np.array(loss), f"{op} gradient": N * gradient}
        return found

    check(compute, [4 * cases.normal((N, C), dtype), np.random.default_rng(0).integers(0, C, N)])


@examples(20)
@given(st.integers(1, 9), st.integers(1, 5), st.sampled_from([1, 2, 4, 64]), st.integers(8, 13), dtypes, layouts)
def test_plans(filters, N, batch_size, size, dtype, layout):
    """A network in one call: a network's inference, the same bits in all variants and for any split of the batch."""
    model = fn.Sequential(
        fn.Conv2d(filters, 3, stride=2, padding=1),
        fn.BatchNorm2d(),
        fn.ReLU(),
        fn.Residual([fn.Conv2d(4 * filters, 3, padding=1), fn.BatchNorm2d()], [fn.Conv2d(4 * filters, 1)]),
        fn.Concat([fn.MaxPool2d(2), fn.AvgPool2d(2)]),
        fn.Conv2d(8 * filters, 3, padding="same", groups="depthwise"),
        fn.Tanh(),
        fn.Flatten(),
        fn.Linear(5),
    )
    model.build((3, size, size + 1), seed=N, dtype=dtype)

    def compute(ops, x):
        if ops.name == "reference":
            with backends.use_backend("reference"):
                return {"y": model(x.astype(dtype))}
        plan = model.compile(batch_size)
        pieces = [plan(placed(x[i : i + 1], layout, i % 2 == 0)) for i in range(N)]
        y = plan(x)
        np.testing.assert_array_equal(np.concatenate(pieces), y)
        return {"y": y}

    check(compute, [cases.normal((N, 3, size, size + 1), dtype)], layout)
