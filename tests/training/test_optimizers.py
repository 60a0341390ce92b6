"""Solver and its optimiser: by name, clipping, momentum from the schedule, points ahead, groups, resuming."""

import numpy as np
import pytest

import fastnet as fn
from fastnet.training import Callback, Solver


def problem():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 64)
    return (rng.standard_normal((64, 2, 4, 4)) + y[:, None, None, None]).astype(np.float32), y


def net():
    return fn.Sequential(fn.Conv2d(4, 3, padding=1), fn.ReLU(), fn.Flatten(), fn.Linear(3))


class Stop(Callback):
    def __init__(self, at=1):
        self.at = at

    def on_epoch_end(self, solver, record):
        if record["epoch"] == self.at:
            solver.stop("enough")


def test_an_optimizer_by_name():
    assert repr(Solver(net(), problem(), optimizer="nadam").optimizer) == repr(fn.optim.NAdam())


def weights_after(**options):
    model = net()
    Solver(model, problem(), epochs=2, batch_size=16, verbose=False, **options).train()
    return np.concatenate([p.value.ravel() for p in model.parameters()])


def test_gradients_are_clipped_with_their_penalty():
    class Watch(fn.optim.SGD):
        norms = []

        def step(self, parameters, scale=1.0, momentum=None):
            total = sum((p.grad.astype(np.float64) ** 2).sum() for p in parameters)
            self.norms.append(total**0.5)
            self.largest = max(np.abs(p.grad).max() for p in parameters)
            super().step(parameters, scale, momentum)

    weights_after(optimizer=(watch := Watch(0.1)), clip_norm=0.25, regularizer=fn.regularizers.L2(0.5))
    np.testing.assert_allclose(watch.norms, 0.25, rtol=1e-4)
    weights_after(optimizer=(watch := Watch(0.1)), clip_value=1e-3)
    assert watch.largest == np.float32(1e-3)


def test_nesterov_s_two_forms_train_alike():
    """After a step, the rearranged form's parameters are the point ahead."""
    model = net()
    optimizer = fn.optim.SGD(0.05, 0.9, ahead=True)
    Solver(model, problem(), epochs=2, batch_size=16, verbose=False, optimizer=optimizer).train()
    with optimizer.lookahead(model.parameters()):
        there = np.concatenate([p.value.ravel() for p in model.parameters()])
    rearranged = weights_after(optimizer=fn.optim.SGD(0.05, 0.9, nesterov=True))
    np.testing.assert_allclose(there, rearranged, rtol=0, atol=1e-4)
    assert abs(there - weights_after(optimizer=fn.optim.SGD(0.05, 0.9))).max() > 1e-3


def test_a_schedule_may_set_the_momentum():
    schedule = fn.optim.WithMomentum(fn.optim.ConstantLR(), lambda *position: 0.5)
    annealed = weights_after(optimizer=fn.optim.SGD(0.05), schedule=schedule)
    np.testing.assert_array_equal(annealed, weights_after(optimizer=fn.optim.SGD(0.05, 0.5)))


def test_groups_train_and_resume(tmp_path):
    def make(epochs, folder):
        groups = [{"params": "*.bias", "lr": 0.0}, {"params": "0.weight", "momentum": 0.5}]
        return Solver(
            net(),
            problem(),
            epochs=epochs,
            batch_size=16,
            verbose=False,
            optimizer=fn.optim.NAdam(0.01, groups=[groups[0]]) if folder else fn.optim.SGD(0.05, 0.9, groups=groups),
            checkpoint=folder,
        )

    solver = make(1, None)
    before = [p.value.copy() for p in solver.model.parameters()]
    solver.train()
    for p, start in zip(solver.model.parameters(), before, strict=True):
        assert (p.value == start).all() == p.name.endswith("bias")
    whole, first = make(2, tmp_path / "whole"), make(2, tmp_path / "parts")
    whole.train()
    first.callbacks.append(Stop())
    first.train()
    second = make(2, tmp_path / "parts")
    second.callbacks.append(Stop(at=9))
    assert len(second.train(resume="auto")) == 2
    for p, q in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        np.testing.assert_array_equal(p.value, q.value)


def test_a_group_that_fits_no_parameter_is_an_error_before_training():
    groups = [{"params": "fc.*", "lr": 0.1}]
    with pytest.raises(ValueError, match=r"groups\[0\]: no parameter matches 'fc\.\*'"):
        Solver(net(), problem(), optimizer=fn.optim.SGD(0.1, groups=groups))
