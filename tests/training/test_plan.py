"""TrainingPlan: recorded steps have the bits of steps that run op by op."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from isas import needs_kernels
from plan_steps import batch, by_hand, gradients, same, small, state, zero

import fastnet as fn
from fastnet import losses
from fastnet.optim import SGD, Adagrad, Adam, AdamW, RMSprop
from fastnet.training import TrainingPlan

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
