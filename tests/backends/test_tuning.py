"""csrc/tuning.h: no bit depends on the SPEED values; the ORDER constants have a version."""

import hashlib
import random
import re
from pathlib import Path

import numpy as np
import pytest
from plan_nets import everything

import fastnet as fn
from fastnet import models
from fastnet.diagnose.fingerprint import kernels_as
from fastnet.geometry import Conv2dGeometry, Pool2dGeometry

_native = pytest.importorskip("fastnet.backends._native")
RELU = ("relu", {})
TUNING = Path(__file__).parents[2] / "csrc" / "tuning.h"

# x, weight, stride, padding, dilation, groups: each algorithm, forward and backward, at sizes that make several tasks
CASES = {
    "gemm": ((9, 20, 14, 13), (37, 20, 3, 3), 1, 1, 2, 1),
    "gemm 1x1": ((9, 33, 9, 9), (40, 33, 1, 1), 1, 0, 1, 1),
    "gemm 1x1, whole lines": ((9, 48, 9, 9), (80, 48, 1, 1), 1, 0, 1, 1),
    "part of a panel": ((9, 3, 14, 12), (11, 3, 5, 5), 1, 2, 1, 1),
    "narrow": ((9, 9, 14, 13), (4, 9, 5, 5), 1, 2, 1, 1),
    "narrow, one channel": ((9, 1, 14, 13), (6, 1, 5, 5), 1, 2, 1, 1),
    "small": ((40, 12, 2, 2), (20, 12, 3, 3), 1, 1, 1, 1),
    "phases": ((18, 40, 15, 14), (16, 40, 3, 3), 2, 1, 1, 1),
    "scatter": ((18, 3, 27, 26), (12, 3, 5, 5), 2, 2, 1, 1),
    "depthwise": ((9, 40, 15, 14), (40, 1, 3, 3), 1, 1, 1, 40),
    "depthwise, whole lines": ((9, 48, 15, 14), (48, 1, 3, 3), 1, 1, 1, 48),
    "depthwise, strided": ((9, 40, 15, 14), (40, 1, 5, 5), 2, 2, 1, 40),
    "groups of 4": ((9, 16, 15, 14), (16, 4, 3, 3), 1, 1, 1, 4),
    "groups": ((9, 12, 11, 12), (18, 4, 3, 3), 2, 1, 1, 3),
    "winograd": ((20, 16, 14, 13), (33, 16, 3, 3), 1, 1, 1, 1),
    "winograd, many channels": ((9, 48, 9, 10), (70, 48, 3, 3), 1, 1, 1, 1),
    "winograd, 5x5": ((20, 12, 12, 12), (20, 12, 5, 5), 1, 2, 1, 1),
}


@pytest.fixture(autouse=True)
def restored():
    yield
    _native.reset_speed()


def numbers(seed, shape, dtype):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def randomised(seed):
    """The default values times a factor from 1/100 to 10, at least 1."""
    rng = random.Random(seed)
    _native.reset_speed()
    return {name: max(1, int(value * 10 ** rng.uniform(-2, 1))) for name, value in _native.speed().items()}


def convolution(ops, dtype, geometry):
    x, w, b = (numbers(i, shape, dtype) for i, shape in enumerate((geometry.x_shape, geometry.w_shape, (geometry.K,))))
    y, saved = ops.conv2d(x, w, b, geometry)
    dy = numbers(3, y.shape, dtype)
    yield from (y, *ops.conv2d_backward(dy, saved, add=numbers(4, x.shape, dtype)))
    yield ops.conv2d_scaled(x, w, b, b, None, dy, geometry, RELU)

    mean, var, dgamma, dbeta = (np.empty(geometry.K) for _ in range(4))
    x, w, dy, y = ops.contiguous(x), np.ascontiguousarray(w), ops.contiguous(dy), ops.empty(y.shape, dtype)
    _native.conv_norm_forward(geometry.packed, x, w, b, y, mean, var)
    yield from (y, mean, var)
    norm = (geometry.N, geometry.P * geometry.Q, geometry.K, mean, 1 / np.sqrt(var + 1), b, b, True)
    _native.norm_sums(norm, dy, y, None, None, dgamma, dbeta)
    dx, dw = ops.empty(x.shape, dtype), np.empty(w.shape, dtype)
    _native.conv_norm_backward(geometry.packed, norm, x, w, dy, y, dgamma, dbeta, None, dx, dw)
    yield from (dgamma, dbeta, dx, dw)

    if min(geometry.P, geometry.Q) >= 2:
        y, saved = ops.conv2d_max_pool(x, w, b, geometry, Pool2dGeometry.make(dy.shape, 2), RELU)
        yield from (y, *ops.conv2d_max_pool_backward(numbers(5, y.shape, dtype), saved))


def others(ops, dtype):
    x, dy = numbers(0, (20, 33, 17, 16), dtype), numbers(1, (20, 33, 17, 16), dtype)
    gamma, mean = numbers(2, 33, dtype), numbers(3, 33, dtype)
    for training in (True, False):
        y, saved = ops.batch_norm_activation(x, gamma, gamma, mean, abs(mean), dy, training, activation=RELU)
        yield from (y, *ops.batch_norm_activation_backward(dy, saved))
    for op, affine, more in (
        ("group_norm", (33,), (11,)),
        ("layer_norm", (33, 17, 16), ((33, 17, 16),)),
        ("layer_norm", (16,), ((16,),)),
    ):
        gamma, beta = numbers(5, affine, dtype), numbers(6, affine, dtype)
        y, saved = getattr(ops, op)(x, gamma, beta, *more, activation=RELU)
        yield from (y, *getattr(ops, f"{op}_backward")(dy, saved))
    y, saved = ops.local_response_norm(x, 5, 1.0)
    yield from (y, ops.local_response_norm_backward(dy, saved))
    for op in ("max_pool2d", "avg_pool2d"):
        for window in ((2,), (3, 2, 1)):
            y, saved = getattr(ops, op)(x, Pool2dGeometry.make(x.shape, *window))
            yield from (y, getattr(ops, f"{op}_backward")(numbers(4, y.shape, dtype), saved))
    lines = numbers(9, (20, 32, 17, 16), dtype)  # channels fill whole vectors, and windows leave a row over
    y, saved = ops.max_pool2d(lines, Pool2dGeometry.make(lines.shape, 2))
    yield from (y, ops.max_pool2d_backward(numbers(4, y.shape, dtype), saved))
    y, saved = ops.max_pool2d_planes(x, Pool2dGeometry.make(x.shape, 2), "split")
    yield from (y, ops.max_pool2d_planes_backward(y, saved))
    for M, K, N in ((127, 600, 65), (1, 1300, 40)):
        y, saved = ops.linear(numbers(5, (M, K), dtype), numbers(6, (N, K), dtype), numbers(7, N, dtype))
        yield from (y, *ops.linear_backward(numbers(8, y.shape, dtype), saved))


def bits(arrays):
    return [array.tobytes() for array in map(np.ascontiguousarray, arrays)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_no_bit_of_a_convolution_depends_on_speed(case, dtype):
    geometry = Conv2dGeometry.make(*CASES[case])
    with kernels_as(threads=3) as ops:
        usual = bits(convolution(ops, dtype, geometry))
        for values in (*map(randomised, range(4)), {**randomised(4), "stream_bytes": 1}):
            _native.set_speed(**values)
            assert bits(convolution(ops, dtype, geometry)) == usual, values


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_bit_of_norm_pooling_and_products_depends_on_speed(dtype):
    with kernels_as(threads=3) as ops:
        usual = bits(others(ops, dtype))
        for values in (*map(randomised, range(4)), {**randomised(4), "stream_bytes": 1}):
            _native.set_speed(**values)
            assert bits(others(ops, dtype)) == usual, values


def concat():
    """Channels that fill cache lines, in pixels that do not."""
    depthwise = fn.Conv2d(64, 3, padding=1, groups="depthwise")
    model = fn.Sequential(fn.Conv2d(64, 1), fn.Concat([fn.Conv2d(64, 1), depthwise, fn.Conv2d(17, 1)]), fn.ReLU())
    model.build((4, 16, 16), 0)
    return model


@pytest.mark.parametrize("net", ["lenet5", "mobilenet_v2", "everything", "concat"])
def test_no_bit_of_a_plan_depends_on_speed(net):
    """In parts of any size, each on a thread of its own or one after the other on all; one plan serves all values."""
    model = everything("float32") if net == "everything" else concat() if net == "concat" else models.create(net, 10)
    with kernels_as(threads=1):
        plan, x = model.compile(9), numbers(0, (13, *model.input_shape), np.float32)
        usual = plan(x).tobytes()
    parts = [{"plan_least": 1, "plan_bytes": 1}, {"plan_least": 1}, {"plan_least": 1 << 40}, {"stream_bytes": 1}]
    with kernels_as(threads=3):
        for values in (*parts, *map(randomised, range(3))):
            _native.set_speed(**values)
            for N in (13, 9, 2, 1):
                assert plan(x[:N]).tobytes() == usual[: len(usual) // 13 * N], (values, N)


def test_values_follow_the_caches():
    defaults = {}
    for first, second in ((0, 0), (32 << 10, 1 << 20), (48 << 10, 2 << 20)):
        _native.reset_speed(first, second)
        defaults[first] = _native.speed()
    assert defaults[0] == defaults[32 << 10] == defaults[48 << 10]
    _native.reset_speed(64 << 10, 512 << 10)
    values = _native.speed()
    assert values["affine_block"] == defaults[0]["affine_block"] * 4 // 3
    assert values["slab_bytes"] == defaults[0]["slab_bytes"] // 2
    assert values["pool_elements"] == defaults[0]["pool_elements"]


def test_unknown_names_and_values_below_1_are_refused():
    for values in ({"nothing": 3}, {"slab_bytes": 0}):
        with pytest.raises(ValueError, match=next(iter(values))):
            _native.set_speed(**values)


@pytest.mark.skipif(not TUNING.exists(), reason="needs csrc/")
def test_a_change_of_the_order_changes_its_version():
    section = re.search(r"/\* ---- ORDER ---- \*/(.*?)/\* ---- SPEED", TUNING.read_text(), re.DOTALL)[1]
    code = " ".join(re.sub(r"/\*.*?\*/", "", section, flags=re.DOTALL).split())
    digests = {  # of the section's code; a new version gets a new line
        1: "d9be891c42de3081",
        2: "eddd3d209c1263ee",
        3: "d54dff8352d7761f",
    }
    assert digests[_native.order_version()] == hashlib.sha256(code.encode()).hexdigest()[:16]
