"""TrainingPlan and arrays that are shared, read-only, kept by the caller, or labels of any kind."""

from __future__ import annotations

import numpy as np
import pytest
from isas import needs_kernels
from plan_steps import batch, compare, gradients, linear, same, small, zero

import fastnet as fn
from fastnet import losses
from fastnet.training import TrainingPlan


@needs_kernels
@pytest.mark.parametrize("shape", [(6,), (3, 8, 8)], ids=str)
def test_targets_may_be_x_itself(shape):
    """An autoencoder's; and in the next step they may be another array."""
    models = [fn.Sequential(fn.Conv2d(3, 3, padding=1)) if len(shape) == 3 else linear() for _ in range(2)]
    for model in models:
        model.build(shape, seed=0)
    plan, x, other = TrainingPlan(models[0], "mse"), batch(shape, 4)[0], batch(shape, 4, 1)[0]
    for given, targets in ((x, x), (x, other), (other, x), (x[::-1], x)):
        compare(*models, plan, given, targets, losses.mse)
        assert plan.reason == ""


@needs_kernels
@pytest.mark.parametrize("tied", [lambda value: value, lambda value: value.reshape(-1)[::1].reshape(6, 6)])
def test_parameters_that_share_memory(tied):
    """They run op by op, since they may be separated later."""
    models, (x, labels) = (linear(), linear()), batch((6,), 4, classes=6)
    plan = TrainingPlan(models[0])
    for step in range(4):
        for model in models:
            value = model[0].weight.value
            model[2].weight.value = tied(value) if step < 2 else value * 2
        compare(*models, plan, x, labels)


@needs_kernels
def test_a_layer_that_is_used_twice():
    def shared():
        linear, dropout = fn.Linear(10), fn.Dropout(0.3, seed=3)
        model = fn.Sequential(linear, dropout, linear, dropout)
        model.build((10,), seed=0)
        return model

    models, (x, labels) = (shared(), shared()), batch((10,), 4)
    plan = TrainingPlan(models[0])
    for step in range(3):
        compare(*models, plan, x + step, labels)
        assert plan.reason == ""


class Own(fn.Model):
    """A parameter that is an activation: its gradients are channels-last, and it has two."""

    def setup(self, shape, rng, dtype):
        self.parameter("weight", (4, *shape), "normal", rng, dtype)
        return shape

    def call(self, x, training, ops):
        return ops.add(ops.tanh(self.weight), ops.add(x, ops.tanh(ops.relu(self.weight))))


@needs_kernels
@pytest.mark.parametrize("shape", [(6,), (3, 5), (3, 5, 4)], ids=str)
def test_a_parameter_with_two_gradients_in_any_order(shape):
    models = [Own(), Own()]
    for model in models:
        model.build(shape, seed=0)
    plan = TrainingPlan(models[0], "mse")
    for step in range(3):
        compare(*models, plan, batch(shape, 4, step)[0], batch(shape, 4, step + 9)[0], losses.mse)
        assert plan.reason == ""


@needs_kernels
def test_read_only_statistics_are_never_written():
    model, (x, labels) = small(), batch((2, 6, 6), 4)
    plan = TrainingPlan(model)
    plan(x, labels)
    model[1].running_mean.value.flags.writeable = False
    kept = model[1].running_mean.value.copy()
    zero(model)
    with pytest.raises(ValueError, match="read-only"):
        plan(x, labels)
    assert np.array_equal(model[1].running_mean.value, kept)


@needs_kernels
def test_results_belong_to_the_caller():
    model, (x, labels) = small(), batch((2, 6, 6), 4)
    plan = TrainingPlan(model)
    held = []
    for step in range(4):
        zero(model)
        _, scores = plan(x + step, labels)
        held += [(array, array.copy()) for array in (scores, *(p.grad for p in model.parameters()))]
    assert all(np.array_equal(array, copy) for array, copy in held)


@needs_kernels
def test_gradients_accumulate():
    model, (x, labels) = small(), batch((2, 6, 6), 4)
    model[3].p = 0.0
    plan = TrainingPlan(model)
    plan(x, labels)
    once = gradients(model)
    plan(x, labels)
    assert plan.reason == "there are gradients to add to"
    assert same(gradients(model), [2 * g for g in once])


@pytest.mark.parametrize(
    "labels, error",
    [
        (np.array([0, 1, 10, 2]), ValueError),
        (np.array([0, 1, -1, 2]), ValueError),
        (np.array([0, 1, 2]), ValueError),
        (np.array([0.0, 1.0, 2.0, 3.0]), TypeError),
    ],
)
def test_bad_labels_are_refused_in_every_call(labels, error):
    model, (x, good) = small(), batch((2, 6, 6), 4)
    plan = TrainingPlan(model)
    for given in (labels, good, labels):
        zero(model)
        if given is good:
            plan(x, good)
        else:
            with pytest.raises(error, match="labels"):
                plan(x, given)
    with pytest.raises(ValueError, match="x"):
        plan(x[:, :1], good)


@pytest.mark.parametrize("convert", [list, lambda y: y.astype(np.uint8), lambda y: np.repeat(y, 2)[::2]])
def test_labels_of_any_kind(convert):
    model, (x, labels) = small(), batch((2, 6, 6), 4)
    model[3].p = 0.0
    plan = TrainingPlan(model)
    found = []
    for given in (labels, labels, convert(labels), convert(labels)):
        zero(model)
        found.append(plan(x, given)[0])
    assert len(set(found)) == 1
