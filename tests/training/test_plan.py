"""TrainingPlan: recorded steps have the bits of steps that run op by op, and notice every change."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest

import fastnet as fn
from fastnet import backends, losses
from fastnet.layers import trace
from fastnet.optim import SGD, Adagrad, Adam, AdamW, RMSprop
from fastnet.training import TrainingPlan

needs_kernels = pytest.mark.skipif(backends.NativeOps is None, reason="the extension was not built")


def batch(shape, n, seed=0, classes=10):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, *shape), dtype=np.float32), rng.integers(0, classes, n)


def by_hand(model, x, labels, loss=losses.softmax_cross_entropy):
    """What a plan does, op by op."""
    scores, backward = model.forward(x, training=True)
    value, dscores = loss(scores, labels)
    backward(dscores, input_gradient=False)
    return value, scores


def state(model):
    return [array.copy() for array in model.state_dict().values()]


def gradients(model):
    return [None if p.grad is None else p.grad.copy() for p in model.parameters()]


def zero(model):
    for parameter in model.parameters():
        parameter.zero_grad()


def same(one, other):
    return len(one) == len(other) and all(
        (a is None and b is None) or (a is not None and b is not None and np.array_equal(a, b))
        for a, b in zip(one, other, strict=True)
    )


NETWORKS = {
    "lenet5": ((1, 28, 28), fn.models.lenet5),
    "resnet20": ((3, 32, 32), fn.models.resnet20),
    "googlenet": ((3, 64, 64), fn.models.googlenet),
    "squeezenet": ((3, 64, 64), lambda: fn.models.create("squeezenet1_1", 10)),
    "every size": (
        (3, 12, 12),
        lambda: fn.Sequential(
            *(fn.Conv2d(8, 3, padding=1, padding_mode="reflect"), fn.ReLU6(), fn.AdaptiveAvgPool2d(5), fn.Hardswish()),
            *(fn.Upsample(scale_factor=2, mode="bilinear"), fn.ConvTranspose2d(8, 2, stride=2), fn.PixelShuffle(2)),
            *(fn.AdaptiveMaxPool2d((14, 9)), fn.ConvTranspose2d(8, 2, output_padding=2, dilation=3), fn.MaxPool2d(4)),
            *(fn.Flatten(), fn.Linear(24), fn.Unflatten(1, (2, 3, 4)), fn.ZeroPad2d(1), fn.AdaptiveMaxPool2d(2)),
            *(fn.Flatten(), fn.Linear(10), fn.LogSoftmax(1)),
        ),
    ),
    "activations": (
        (3, 8, 8),
        lambda: fn.Sequential(
            *(fn.Conv2d(8, 3, padding=1), fn.GELU(), fn.Conv2d(8, 3), fn.PReLU(), fn.Conv2d(8, 1), fn.PReLU(8)),
            *(fn.BatchNorm2d(), fn.SiLU(), fn.Conv2d(8, 3), fn.BatchNorm2d(), fn.SELU(), fn.Maxout(), fn.PReLU()),
            *(fn.Flatten(), fn.Linear(24), fn.GELU("tanh"), fn.Maxout(3), fn.Linear(10), fn.ELU()),
        ),
    ),
    "signals": (
        (3, 30),
        lambda: fn.Sequential(
            *(fn.Conv1d(8, 3, padding=1), fn.BatchNorm1d(), fn.ReLU(), fn.MaxPool1d(2), fn.Conv1d(6, 3), fn.Tanh()),
            *(fn.Conv1d(6, 3, padding=1, padding_mode="circular"), fn.MaxPool1d(2, 1, dilation=2)),
            *(fn.ConvTranspose1d(8, 2, stride=2), fn.Dropout(0.2)),
            *(fn.AvgPool1d(2), fn.Flatten(), fn.Linear(10)),
        ),
    ),
    "norms of images": (
        (3, 8, 8),
        lambda: fn.Sequential(
            *(fn.Conv2d(6, 3, padding=1), fn.GroupNorm(3), fn.ReLU(), fn.Conv2d(6, 3), fn.LayerNorm(), fn.ReLU()),
            *(fn.LocalResponseNorm(5), fn.InstanceNorm2d(affine=True, track_running_stats=True), fn.LayerNorm(6)),
            *(fn.MaxPool2d(2), fn.Flatten(), fn.LayerNorm(), fn.Linear(10)),
        ),
    ),
    "dropout": (
        (3, 8, 8),
        lambda: fn.Sequential(
            fn.Conv2d(6, 3, padding=1), fn.BatchNorm2d(), fn.GELU(), fn.Dropout(0.4), fn.AvgPool2d(2), fn.Flatten(),
            fn.Linear(20), fn.Tanh(), fn.Dropout(0.2), fn.Linear(10),
        ),
    ),
    "noise": (
        (3, 12, 12),
        lambda: fn.Sequential(
            *(fn.DropConnect(fn.Conv2d(8, 3, padding=1), 0.3), fn.BatchNorm2d(), fn.ReLU(), fn.Dropout2d(0.2)),
            *(fn.FractionalMaxPool2d(output_ratio=0.7), fn.DropConnect(fn.Conv2d(8, 3, groups=2)), fn.MaxPool2d(2)),
            *(fn.Residual([fn.Conv2d(8, 3, padding=1), fn.BatchNorm2d(), fn.StochasticDepth(0.5)]), fn.ReLU()),
            *(fn.FractionalMaxPool2d(2, 2, random=True), fn.Residual([fn.Tanh(), fn.StochasticDepth(0.4, "batch")])),
            *(fn.Flatten(), fn.DropConnect(fn.Linear(16)), fn.Dropout(0.3, inverted=False), fn.Linear(10)),
        ),
    ),
}  # fmt: skip


@needs_kernels
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_bits_of_steps_that_run_op_by_op(name, count, threads):
    threads(count)
    shape, make = NETWORKS[name]
    planned, plain = make(), make()
    planned.build(shape, seed=1)
    plain.build(shape, seed=1)
    plan, one, other = TrainingPlan(planned), SGD(0.01, momentum=0.9), SGD(0.01, momentum=0.9)
    for step in range(4):
        x, labels = batch(shape, 3 if step == 2 else 4, step)
        zero(planned)
        zero(plain)
        loss, scores = plan(x, labels)
        expected_loss, expected_scores = by_hand(plain, x, labels)
        assert plan.reason == ""
        assert loss == expected_loss and np.array_equal(scores, expected_scores)
        assert same(gradients(planned), gradients(plain))
        one.step(planned.parameters())
        other.step(plain.parameters(), 1.0)
        assert same(state(planned), state(plain)), step


@needs_kernels
@pytest.mark.parametrize("optimizer", [SGD, Adagrad, RMSprop, Adam, AdamW])
def test_float64_svm_and_every_optimiser(optimizer):
    models = []
    for use_plan in (False, True):
        model = fn.Sequential(fn.Conv2d(4, 3), fn.ReLU(), fn.MaxPool2d(2), fn.Flatten(), fn.Linear(10))
        model.build((2, 9, 9), seed=2, dtype="float64")
        plan, update = TrainingPlan(model, "svm"), optimizer(0.01, weight_decay=0.1)
        for step in range(4):
            x, labels = batch((2, 9, 9), 5, step)
            zero(model)
            if use_plan:
                plan(x.astype(np.float64), labels)
            else:
                by_hand(model, x.astype(np.float64), labels, losses.svm)
            update.step(model.parameters())
        models.append(model)
    assert same(*map(state, models))


def small():
    model = fn.Sequential(fn.Conv2d(4, 3), fn.BatchNorm2d(), fn.ReLU(), fn.Dropout(0.3), fn.Flatten(), fn.Linear(10))
    model.build((2, 6, 6), seed=3)
    return model


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


def linear(features=6):
    model = fn.Sequential(fn.Linear(features), fn.Tanh(), fn.Linear(features))
    model.build((features,), seed=0)
    return model


def compare(planned, plain, plan, x, labels, loss=losses.softmax_cross_entropy):
    """A step of a plan, and the same by hand."""
    zero(planned)
    zero(plain)
    value, scores = plan(x, labels)
    expected, expected_scores = by_hand(plain, x, labels, loss)
    assert value == expected and np.array_equal(scores, expected_scores)
    assert same(gradients(planned), gradients(plain)) and same(state(planned), state(plain))


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


@needs_kernels
def test_several_threads_at_once():
    models = [small() for _ in range(3)]
    expected, found = [None] * 3, [None] * 3
    x, labels = batch((2, 6, 6), 4)

    def train(n, use_plan, results):
        model = small()
        plan, optimizer = TrainingPlan(model), SGD(0.1)
        for step in range(30):
            zero(model)
            if use_plan:
                plan(x + n + step, labels)
            else:
                by_hand(model, x + n + step, labels)
            optimizer.step(model.parameters())
        results[n] = state(model)

    for n in range(len(models)):
        train(n, False, expected)
    workers = [threading.Thread(target=train, args=(n, True, found)) for n in range(len(models))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(same(one, other) for one, other in zip(expected, found, strict=True))


@needs_kernels
def test_a_step_needs_no_more_memory_than_op_by_op():
    from fastnet.backends import _native

    shape, peaks = (3, 32, 32), []
    x, labels = batch(shape, 16)
    for use_plan in (False, True):
        model = fn.models.resnet20()
        model.build(shape, seed=0)
        plan = TrainingPlan(model)
        for step in range(3):
            zero(model)
            before = _native.memory_stats()["live"]
            if step == 2:
                _native.reset_peak()
            plan(x, labels) if use_plan else by_hand(model, x, labels)
        peaks.append(_native.memory_stats()["peak"] - before)
    assert peaks[1] <= 1.01 * peaks[0]


@needs_kernels
def test_solver_trains_with_recorded_steps():
    x, labels = batch((2, 6, 6), 20)
    solver = fn.Solver(small(), (x, labels), epochs=2, batch_size=8, verbose=False, optimizer=SGD(0.1))
    solver.train()
    assert solver._step.plan.reason == ""
    assert len(solver._step.plan._recorded) == 2, "one for each batch size"
