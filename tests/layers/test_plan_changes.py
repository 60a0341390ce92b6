"""Plans that a model keeps: every change of the model is noticed."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from plan_nets import fresh, images, small, trained

import fastnet as fn
from fastnet import backends
from fastnet.training import TrainingPlan


class Own(fn.Model):
    """A network of one's own, with a list of layers and a constant."""

    sharpness = 7.0  # of a network that has none of its own

    def __init__(self):
        self.layers = [fn.Conv2d(4, 3, padding=1), fn.ReLU()]
        self.slopes = np.full(2, 0.5, np.float32)
        self.factors, self.sharpness = {"slope": 0.1}, 2.0

    def children(self):
        return {str(n): layer for n, layer in enumerate(self.layers)}

    def setup(self, shape, rng, dtype):
        for layer in self.layers:
            shape = layer.place(shape, rng, dtype)
        return shape

    def call(self, x, training, ops):
        x = ops.leaky_relu(ops.prelu(x, self.slopes), self.factors["slope"] * self.sharpness)
        for layer in self.layers:
            x = ops.layer(layer, x, training)
        return x


class Scaled(fn.Layer):
    """A layer that defines ``run``, of ops alone, so that plans can have it; its attributes change unnoticed."""

    factor = 2.0

    def run(self, x, training, ops):
        return ops.leaky_relu(x, self.factor)[0], None


def own():
    model = Own()
    model.build((2, 6, 6), seed=0)
    return trained(model)


def step(model, optimizer):
    x = images(model, 4)
    model.zero_grad()
    y, backward = model.forward(x, training=True)
    backward(fn.losses.softmax_cross_entropy(y, np.arange(4))[1])
    optimizer.step(model.parameters())


def planned_steps(model):
    """Steps of which the last repeat recorded calls; nothing trains but the running statistics."""
    plan, x = TrainingPlan(model), images(model, 4)
    model.freeze("*.weight")
    model.freeze("*.bias")
    for _ in range(3):
        model.predict(x)
        plan(x, np.arange(4))


def through_a_thread(model):
    thread = threading.Thread(target=lambda: model[0].weight.value.fill(0.3))
    thread.start()
    thread.join()


CHANGES = {
    "in place": lambda model: model[0].weight.value.__setitem__(0, 3),
    "one element": lambda model: model[8].bias.value.__setitem__(4, 3),
    "running statistics": lambda model: model[1].running_var.value.__imul__(2),
    "set": lambda model: model[3].bias.set(np.arange(8)),
    "another array": lambda model: setattr(model[0].weight, "value", model[0].weight.value * 2),
    "another order": lambda model: setattr(model[8].weight, "value", np.asfortranarray(model[8].weight.value * 2)),
    "load_state_dict": lambda model: model.load_state_dict({k: v * 3 for k, v in model.state_dict().items()}),
    "sgd": lambda model: step(model, fn.optim.SGD(0.1, momentum=0.9)),
    "lookahead": lambda model: step(model, fn.optim.SGD(0.1, momentum=0.9, nesterov=True)),
    "adam": lambda model: step(model, fn.optim.Adam(0.1)),
    "a pass in training": lambda model: model.forward(images(model, 4), training=True),
    "recorded steps": planned_steps,
    "fit": lambda model: model.fit(images(model, 8), np.arange(8) % 5, epochs=1, verbose=False),
    "attribute": lambda model: setattr(model[2], "negative_slope", 0.7),
    "eps": lambda model: setattr(model[1], "eps", 1.0),
    "children of a container": lambda model: model.children().update({"2": model[4], "4": model[2]}),
    "another head": lambda model: fn.transfer.replace_head(model, 5, seed=1),
    "another parameter": lambda model: setattr(
        model[8], "bias", fn.layers.Parameter(np.arange(5, dtype=np.float32), "8.bias")
    ),
    "initialize": lambda model: fn.initializers.initialize(model, "orthogonal"),
    "thread": through_a_thread,
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_are_noticed(change):
    model = small()
    x = images(model, 3)
    for _ in range(2):  # the second time with plans that were kept
        before = model.predict(x)
    CHANGES[change](model)
    after = model.predict(x)
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_array_equal(after, fresh(model, x))
    np.testing.assert_array_equal(model.predict(x), after)


TRAINING = {
    "running statistics": lambda whole, x, plan: whole.forward(x, training=True),
    "recorded running statistics": lambda whole, x, plan: plan(x, np.arange(4)),
    "parameters": lambda whole, x, plan: (whole.unfreeze(), step(whole, fn.optim.SGD(0.1))),
}


@pytest.mark.parametrize("kind", TRAINING)
def test_training_a_network_that_contains_the_model_is_noticed(kind):
    """Only the plans of the network that is trained are dropped before they are out of date."""
    model = small()
    whole = fn.Sequential(model, fn.Linear(5))
    whole.build((2, 6, 6))
    whole.freeze("*.weight")
    whole.freeze("*.bias")
    x, plan = images(model, 4), TrainingPlan(whole)
    for _ in range(4):
        before = model.predict(x)
        TRAINING[kind](whole, x, plan)
        assert "_plans" in vars(model)
        after = model.predict(x)
        assert np.abs(after - before).max() > 1e-4
        np.testing.assert_array_equal(after, fresh(model, x))
    assert kind != "recorded running statistics" or plan.reason == "" or backends.current().name != "native"


OWN_CHANGES = {
    "layer replaced": lambda model: (model.layers.__setitem__(1, fn.Tanh()), model.build((2, 6, 6))),
    "layer added": lambda model: (model.layers.append(fn.Sigmoid()), model.build((2, 6, 6))),
    "layer repeated": lambda model: model.layers.insert(0, model.layers[1]),
    "layer removed": lambda model: model.layers.pop(),
    "another list": lambda model: setattr(model, "layers", model.layers[:1]),
    "constant": lambda model: model.slopes.__setitem__(1, 5),
    "dict": lambda model: model.factors.update(slope=0.8),
    "attribute deleted": lambda model: delattr(model, "sharpness"),
}


@pytest.mark.parametrize("change", OWN_CHANGES)
def test_changes_of_a_network_of_one_s_own_are_noticed(change):
    model = own()
    x = images(model, 3)
    for _ in range(2):
        before = model.predict(x)
    OWN_CHANGES[change](model)
    after = model.predict(x)
    assert after.shape == before.shape and np.abs(after - before).max() > 1e-3
    np.testing.assert_array_equal(after, fresh(model, x))


def test_attributes_of_a_layer_that_computes_by_itself_are_noticed():
    model = fn.Sequential(fn.Conv2d(4, 3), Scaled())
    model.build((2, 6, 6))
    x = images(model, 2)
    before = model.predict(x)
    model[1].factor = 5.0
    assert np.abs(model.predict(x) - before).max() > 0.01
    np.testing.assert_array_equal(model.predict(x), fresh(model, x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_another_dtype(dtype):
    model = small()
    x = images(model, 2)
    model.predict(x)
    model.build((2, 6, 6), dtype=dtype)
    assert model.predict(x.astype(dtype)).dtype == dtype
    np.testing.assert_array_equal(model.predict(x.astype(dtype)), fresh(model, x))
