"""Convolutions by cuDNN, on a stand-in for it: what is asked of it, and when our own kernels run."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from cuda.devices import ON_GPU

import fastnet as fn
from fastnet.backends import Ops
from fastnet.geometry import Conv2dGeometry

SHAPES = {
    "plain": ((2, 4, 6, 5), (6, 4, 3, 3), {"padding": 1}),
    "strided": ((3, 3, 9, 8), (5, 3, 3, 2), {"stride": (2, 3), "padding": (1, 0, 2, 1)}),
    "grouped": ((2, 6, 5, 5), (4, 3, 3, 3), {"groups": 2, "dilation": 2, "padding": 2}),
    "depthwise": ((2, 4, 5, 4), (4, 1, 3, 3), {"groups": 4}),
    "pointwise": ((2, 5, 3, 3), (7, 5, 1, 1), {}),
}
pytestmark = pytest.mark.skipif(ON_GPU, reason="of the stand-in")


@pytest.fixture
def cudnn(device, monkeypatch):
    """The stand-in for cuDNN, which is always faster."""
    monkeypatch.setenv("FASTNET_GPU_CUDNN", "1")
    module = importlib.import_module("fastnet.backends.device.cudnn")
    module._chosen.clear()
    found = importlib.import_module("cudnn")
    times = iter(range(1000))
    monkeypatch.setattr(module, "milliseconds", lambda run: (run(), next(times))[1])
    yield found
    module._chosen.clear()
    found.unsupported.clear()


def chosen():
    return importlib.import_module("fastnet.backends.device.cudnn")._chosen


def numbers(shape, seed=0):
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)


@pytest.mark.parametrize("name", SHAPES)
def test_convolutions_and_their_gradients(device, cudnn, name):
    x_shape, w_shape, more = SHAPES[name]
    g = Conv2dGeometry.make(x_shape, w_shape, **more)
    x, w, b, dy = numbers(x_shape), numbers(w_shape, 1), numbers(w_shape[:1], 2), numbers(g.y_shape, 3)
    add, found = numbers(x_shape, 4), []
    for ops, put in ((Ops(), np.asarray), (device, device.xp.asarray)):
        y, saved = ops.conv2d(put(x), put(w), put(b), g, ("relu", {}))
        bare, _ = ops.conv2d(put(x), put(w), None, g)
        found.append([y, bare, *ops.conv2d_backward(put(dy), saved, add=put(add))])
    for expected, got in zip(*found, strict=True):
        np.testing.assert_array_equal(got.get(), expected)
    assert len(chosen()) == 3 and all(chosen().values())


def test_what_runs_on_our_kernels(device, cudnn, monkeypatch):
    x, w = device.xp.asarray(numbers((2, 4, 6, 5))), device.xp.asarray(numbers((6, 4, 3, 3)))
    g = Conv2dGeometry.make(x.shape, w.shape)
    module = importlib.import_module("fastnet.backends.device.cudnn")
    device.conv2d(x.astype(np.float64), w.astype(np.float64), None, g)
    device.conv2d(x[:0], w, None, g.of_batch(0))
    assert not chosen()
    for error in (cudnn.cudnnGraphNotSupportedError, RuntimeError):
        cudnn.unsupported[2, 4, 6, 5] = error
        device.conv2d(x, w, None, g)
        assert list(chosen().values()) == [None]
        chosen().clear()
    cudnn.unsupported.clear()
    times = iter([2.0, 1.0])
    monkeypatch.setattr(module, "milliseconds", lambda run: next(times))
    y, _ = device.conv2d(x, w, None, g)
    assert list(chosen().values()) == [None], "ours takes less time"
    np.testing.assert_array_equal(y.get(), Ops().conv2d(x.get(), w.get(), None, g)[0])
    monkeypatch.setenv("FASTNET_GPU_CUDNN", "0")
    chosen().clear()
    device.conv2d(x, w, None, g)
    assert not chosen()


def test_what_plans_must_not_do(device, cudnn):
    x, w = device.xp.asarray(numbers((2, 4, 6, 5))), device.xp.asarray(numbers((6, 4, 3, 3)))
    g, always = Conv2dGeometry.make(x.shape, w.shape), ["NONDETERMINISTIC", "DOWN_CONVERT_INPUTS"]
    before = fn.get_conv_algorithm()
    try:
        for name, conv, more in (
            ("highest", "auto", ["TENSOR_CORE"]),
            ("tf32", "auto", []),
            ("tf32", "direct", ["FFT"]),
        ):
            fn.set_float32_precision(name)
            fn.set_conv_algorithm(conv)
            device.conv2d(x, w, None, g)
            assert cudnn.refused[:4] == [*always, "REDUCED_PRECISION_REDUCTION", *more][:4]
    finally:
        fn.set_float32_precision("highest")
        fn.set_conv_algorithm(before)
    assert len(chosen()) == 3


def test_steps_are_captured(device, cudnn):
    model = fn.Sequential(fn.Conv2d(4, 3, padding=1), fn.ReLU(), fn.Conv2d(3, 3), fn.Flatten(), fn.Linear(10))
    model.build((2, 5, 5), seed=0)
    plan, losses = fn.TrainingPlan(model), []
    for _ in range(3):
        model.zero_grad()
        losses.append(plan(numbers((3, 2, 5, 5)), [1, 2, 3])[0])
    assert plan.reason == "" and len(set(losses)) == 1 and len(chosen()) == 5


def test_a_missing_package_is_named(device, cudnn, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    x, w = device.xp.asarray(numbers((1, 1, 3, 3))), device.xp.asarray(numbers((1, 1, 3, 3)))
    with pytest.raises(RuntimeError, match=r"FASTNET_GPU_CUDNN=1, .*: pip install \"nvidia-cudnn-frontend"):
        device.conv2d(x, w, None, Conv2dGeometry.make(x.shape, w.shape))
