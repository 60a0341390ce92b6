"""Layers of one's own, what a run records, and tracing."""

import numpy as np
import pytest
from layer_nets import images, net

from fastnet.backends import current, use_backend
from fastnet.layers import (
    Dropout,
    Layer,
    Linear,
    Sequential,
    trace,
)


def test_trace_names_layer_and_phase():
    model = net(dropout=0)
    model.build((3, 6, 6))
    seen = []
    with trace(lambda name, phase, array: seen.append((name, phase, array.shape))):
        y, backward = model.forward(images(), training=True)
        backward(np.ones_like(y), input_gradient=False)
    forward = [name for name, phase, _ in seen if phase == "forward"]
    assert forward == ["0", "1", "2", "3.body.0", "3.body.1", "3", "4", "5", "6", "7"]
    assert ("7.weight", "backward", (5, 36)) in seen and ("7", "backward", (3, 36)) in seen
    assert seen[-2][:2] == ("0.weight", "backward") and seen[-1] == ("0.bias", "backward", (4,))
    seen.clear()
    y, backward = model.forward(images(), training=True)
    backward(np.ones_like(y))
    assert seen == []


def test_trace_finds_the_first_nan_and_passes_errors_on():
    model = net(dropout=0)
    model.build((3, 6, 6))
    model["3"]["body"][0].weight.value[0, 0, 0, 0] = np.nan

    def check(name, phase, array):
        if np.isnan(array).any():
            raise FloatingPointError(f"{phase} of {name}")

    with pytest.raises(FloatingPointError, match="forward of 3.body.0"), trace(check):
        model(images())
    with pytest.raises(FloatingPointError, match="forward of 3.body.0"), trace(check):
        model.forward(images(), training=True)
    assert np.isnan(model(images())).any()


def test_a_layer_of_ones_own():
    class Scale(Layer):
        """y = weight * x, one weight in all."""

        def setup(self, shape, rng, dtype):
            self.parameter("weight", (1,), "ones", rng, dtype)
            return shape

        def run(self, x, training, ops):
            def backward(dy, input_gradient=True):
                self.weight.accumulate((dy * x).sum(keepdims=True).reshape(1))
                return dy * self.weight.value if input_gradient else None

            return x * self.weight.value, backward

    model = Sequential(Linear(3), Scale())
    y, backward = model.forward(images(2, (4,)))
    assert backward(np.ones_like(y)).shape == (2, 4)
    np.testing.assert_allclose(model["1"].weight.grad, [y.sum()], rtol=1e-5)
    with pytest.raises(NotImplementedError, match="Layer defines neither call.* nor run"):
        Layer().forward(images())


def test_an_op_without_a_gradient_serves_for_inference_only():
    class Twice(Layer):
        def call(self, x, training, ops):
            return ops.matmul(x, x, transpose_a=True)

    x = np.eye(3, dtype=np.float32)
    layer = Twice()
    np.testing.assert_array_equal(layer(x), x)
    with pytest.raises(TypeError, match="matmul has no gradient: a layer that calls it can infer"):
        layer.forward(x)


def test_assigning_the_same_value_records_nothing_again():
    class Counting(Layer):
        calls = 0

        def call(self, x, training, ops):
            type(self).calls += 1
            return ops.relu(x)

    layer, x = Counting(), images()
    layer(x)
    once = Counting.calls
    layer.traced = layer.traced
    shared = Dropout(0.5)
    shared.p = shared.p
    layer(x)
    assert Counting.calls == once + 1  # the new Dropout is a change, its p is none
    layer(x)
    assert Counting.calls == once + 1


def test_ops_come_from_the_current_backend():
    model, x = net(), images()
    here = model(x)
    with use_backend("reference"):
        assert current().name == "reference"
        np.testing.assert_allclose(model(x), here, rtol=1e-4, atol=1e-5)
