"""Networks whose arrays come in other memory orders than their ops read: the same results on every backend."""

from __future__ import annotations

import numpy as np
import pytest

import fastnet as fn
from fastnet.geometry import Conv2dGeometry, Pool2dGeometry
from fastnet.training import TrainingPlan

SHAPES = [(7,), (3, 5), (3, 4, 6)]
ORDERS = {
    "C": lambda x: x.copy(),
    "Fortran": np.asfortranarray,
    "channels-last": lambda x: np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1),
    "reversed": lambda x: x[::-1],
    "strided": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
}


class Plus(fn.Model):
    """A constant and a parameter as activations."""

    def __init__(self, constant):
        self.constant = constant

    def setup(self, shape, rng, dtype):
        self.parameter("weight", (2, *shape), "normal", rng, dtype)
        return shape

    def call(self, x, training, ops):
        return ops.add(ops.tanh(ops.add(ops.relu(x), self.constant)), ops.tanh(self.weight))


class Planes(fn.Model):
    """An op on arrays in C order between ops on channels-last ones."""

    def __init__(self, last):
        self.last = last

    def setup(self, shape, rng, dtype):
        return shape[0], shape[1] // 2, shape[2] // 2

    def call(self, x, training, ops):
        h = ops.tanh(x)
        y = ops.max_pool2d_planes(h, Pool2dGeometry.make(x.shape, 2), "split")
        return y if self.last else ops.add(ops.tanh(y), ops.avg_pool2d(h, Pool2dGeometry.make(x.shape, 2)))


class Columns(fn.Model):
    """Only for inference."""

    def call(self, x, training, ops):
        geometry = Conv2dGeometry.make(x.shape, (1, x.shape[1], 3, 3), 1, 1)
        return ops.col2im(ops.tanh(ops.im2col(ops.relu(x), geometry)), geometry)


def normal(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def results(backend, model, shape):
    """Outputs and gradients of a model in training and inference, by the reference and by a backend."""
    with fn.use_backend(backend):
        model.build(shape, seed=1)
        model.zero_grad()
        x = normal((2, *shape))
        y, backward = model.forward(x, training=True)
        dx = backward(normal(y.shape, 1))
        return [y, dx, model(x), *(p.grad for p in model.parameters())]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_constants_and_parameters_as_activations(ops, shape, order):
    constant = ORDERS[order](normal((2, *shape), 2))
    found, expected = (results(backend, Plus(constant), shape) for backend in (ops.name, "reference"))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("last", [False, True])
def test_ops_in_c_order_inside_a_network(ops, last):
    found, expected = (results(backend, Planes(last), (3, 4, 6)) for backend in (ops.name, "reference"))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_columns_inside_a_network(ops):
    x, found = normal((2, 3, 4, 6)), []
    for backend in (ops.name, "reference"):
        with fn.use_backend(backend):
            model = Columns()
            model.build(x.shape[1:])
            found.append(model(x))
    np.testing.assert_allclose(*found, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_steps_with_constants_are_recorded_or_refused(native, shape, order):
    constant = ORDERS[order](normal((2, *shape), 2))
    with fn.use_backend(native.name):
        planned, plain = Plus(constant), Plus(constant)
        planned.build(shape, seed=1)
        plain.build(shape, seed=1)
        plan = TrainingPlan(planned, "mse")
        for step in range(3):
            planned.zero_grad()
            plain.zero_grad()
            x, targets = normal((2, *shape), step), normal((2, *shape), step + 9)
            loss, scores = plan(x, targets)
            expected, backward = plain.forward(x, training=True)
            value, dscores = fn.losses.mse(expected, targets)
            backward(dscores, input_gradient=False)
            assert loss == value and np.array_equal(scores, expected)
            assert np.array_equal(planned.weight.grad, plain.weight.grad)
            assert bool(plan.reason) == (order in ("Fortran", "reversed", "strided"))
