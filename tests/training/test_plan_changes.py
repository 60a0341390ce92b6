"""TrainingPlan notices every change between two steps."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from isas import needs_kernels
from plan_steps import batch, by_hand, compare, gradients, linear, same, small, state, zero

import fastnet as fn
from fastnet import backends, losses
from fastnet.layers import trace
from fastnet.training import TrainingPlan

CHANGES = {
    "freeze": lambda model: model[0].freeze(),
    "unfreeze": lambda model: (model[5].freeze(), model[5].unfreeze()),
    "frozen norm": lambda model: model[1].freeze(),
    "new array": lambda model: setattr(model[5].weight, "value", model[5].weight.value * 2),
    "array in another order": lambda model: setattr(
        model[0].weight, "value", np.asfortranarray(model[0].weight.value * 2)
    ),
    "strided statistics": lambda model: setattr(
        model[1].running_mean, "value", np.repeat(model[1].running_mean.value, 2)[::2]
    ),
    "load_state_dict": lambda model: model.load_state_dict({k: v * 3 for k, v in model.state_dict().items()}),
    "attribute": lambda model: setattr(model[3], "p", 0.6),
    "momentum": lambda model: setattr(model[1], "momentum", 0.5),
    "tied arrays": lambda model: setattr(model[1].running_mean, "value", model[1].running_var.value),
    "stream": lambda model: model[3].set_stream(7, 40),
    "float64": lambda model: model.build((2, 6, 6), dtype="float64"),
}


@needs_kernels
@pytest.mark.parametrize("change", CHANGES)
def test_changes_are_noticed(change):
    planned, plain = small(), small()
    plan, x, labels = TrainingPlan(planned), *batch((2, 6, 6), 4)
    for step in range(4):
        if step == 2:
            CHANGES[change](planned)
            CHANGES[change](plain)
        x = x.astype(planned.dtype)
        zero(planned)
        zero(plain)
        loss, scores = plan(x, labels)
        expected_loss, expected_scores = by_hand(plain, x, labels)
        assert loss == expected_loss and np.array_equal(scores, expected_scores)
        assert same(gradients(planned), gradients(plain)) and same(state(planned), state(plain)), step


@needs_kernels
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda plan: pickle.loads(pickle.dumps(plan))], ids=["deep", "pickle"]
)
def test_a_copy_trains_a_model_of_its_own(copied):
    x, labels = batch((2, 6, 6), 4)
    plan, plain = TrainingPlan(small()), small()
    compare(plan.model, plain, plan, x, labels)
    other = copied(plan)
    compare(plan.model, plain, plan, x, labels)
    after_one_step = small()
    by_hand(after_one_step, x, labels)
    for _ in range(2):
        compare(other.model, after_one_step, other, x, labels)


@needs_kernels
def test_another_loss_is_noticed():
    models, (x, labels) = (linear(), linear()), batch((6,), 4, classes=6)
    plan = TrainingPlan(models[0])
    for loss in (losses.softmax_cross_entropy, losses.svm, losses.softmax_cross_entropy):
        plan.loss = loss
        for _ in range(2):
            compare(*models, plan, x, labels, loss)


def test_what_cannot_be_recorded_runs_op_by_op():
    class Doubled(fn.Layer):
        def run(self, x, training, ops):
            return x * 2, lambda dy, input_gradient=True: dy * 2 if input_gradient else None

    class Spied(fn.Sequential):
        def forward(self, x, training=False):
            calls.append(training)
            return super().forward(x, training)

    calls = []
    x, labels = batch((5,), 4)
    kernels = backends.current().name == "native"
    cases = [
        (fn.Sequential(Doubled(), fn.Linear(10)), "softmax", "a layer or op does not run"),
        (Spied(fn.Linear(10)), "softmax", "the model has a forward of its own"),
        (fn.Sequential(fn.Linear(10)), lambda s, y: losses.svm(s, y, 2.0), "the loss is not an op"),
    ]
    for model, loss, reason in cases:
        model.build((5,), seed=0)
        plan, function = TrainingPlan(model, loss), losses.get(loss)
        for _ in range(2):
            zero(model)
            value, scores = plan(x, labels)
            assert reason in plan.reason or not kernels and plan.reason
            found = gradients(model)
            zero(model)
            expected, expected_scores = by_hand(model, x, labels, function)
            assert value == expected and np.array_equal(scores, expected_scores) and same(found, gradients(model))
    assert calls


@needs_kernels
def test_traced_steps_call_the_callback():
    model, (x, labels) = small(), batch((2, 6, 6), 4)
    plan, seen = TrainingPlan(model), []
    plan(x, labels)
    for _ in range(2):
        zero(model)
        with trace(lambda name, phase, array: seen.append((name, phase))):
            plan(x, labels)
        assert plan.reason
    assert {("5.weight", "backward"), ("0", "forward")} <= set(seen)
    zero(model)
    plan(x, labels)
    assert plan.reason == ""


def test_the_reference_backend_runs_op_by_op():
    with fn.use_backend("reference"):
        model, (x, labels) = small(), batch((2, 6, 6), 4)
        plan = TrainingPlan(model)
        for _ in range(2):
            zero(model)
            plan(x, labels)
            assert plan.reason == "the loss is not an op of the backend"
            assert all(p.grad is not None for p in model.parameters())
