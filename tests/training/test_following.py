"""Schedules in a run: refused before it where they cannot be followed, and resumed with the same bits."""

import signal

import numpy as np
import pytest

import fastnet as fn
from fastnet.optim import (
    SGD,
    Adagrad,
    Adam,
    ConstantLR,
    CosineDecay,
    CosineRestarts,
    LinearRamp,
    OneCycle,
    ReduceOnPlateau,
    SequentialSchedule,
    StepDecay,
    WithMomentum,
)
from fastnet.training import Callback, CheckpointError


def problem(N=64, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((N, 2, 4, 4)).astype(np.float32), rng.integers(0, 3, N)


def solver(schedule, folder=None, epochs=8, validation=True, **options):
    model = fn.Sequential(fn.Conv2d(4, 3), fn.ReLU(), fn.Flatten(), fn.Linear(3))
    options = {"batch_size": 16, "verbose": False, "optimizer": SGD(0.1, 0.9), "checkpoint": folder, **options}
    held = problem(32, 1) if validation else None
    return fn.Solver(model, problem(), held, schedule=schedule, epochs=epochs, **options)


class Interrupt(Callback):
    """Ctrl-C after an iteration."""

    def __init__(self, iteration=0):
        self.iteration = iteration

    def on_iteration_end(self, solver):
        if solver.iteration == self.iteration:
            signal.raise_signal(signal.SIGINT)


MAKE = {
    "plateau": lambda: ReduceOnPlateau(factor=0.5, patience=0, cooldown=1),
    "warm plateau": lambda: SequentialSchedule([LinearRamp(0.1, 1), ReduceOnPlateau(patience=0)], [2]),
    "product": lambda: CosineDecay() * ReduceOnPlateau("val_accuracy", patience=0),
    "restarts": lambda: CosineRestarts(1, 2, minimum=0.01),
    "sequence": lambda: SequentialSchedule([LinearRamp(0.1, 1), StepDecay(1)], [3]),
}


@pytest.mark.parametrize("stop_at", [12, 14, 16])
@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_a_resumed_run_has_the_same_bits(tmp_path, make, stop_at):
    whole = solver(make())
    whole.train()
    with pytest.raises(KeyboardInterrupt):
        solver(make(), tmp_path, callbacks=[Interrupt(stop_at)]).train()
    two = solver(make(), tmp_path, callbacks=[Interrupt()])
    two.train(resume="auto")
    assert len(two.history) == 8 and two.history.learning_rates == whole.history.learning_rates
    assert two.history.losses == whole.history.losses
    for name, value in whole.model.state_dict().items():
        assert np.array_equal(two.model.state_dict()[name], value)
    assert len(set(whole.history.learning_rates)) > 2


def test_a_plateau_lowers_the_rate_of_a_run_that_does_not_improve():
    run = solver(ReduceOnPlateau("val_loss", factor=0.5, patience=1), optimizer=SGD(0.0), epochs=6)
    run.optimizer.lr = 1e-30
    history = run.train()
    assert [rate / 1e-30 for rate in history.history["lr"]] == pytest.approx([1, 1, 1, 0.5, 0.5, 0.25])


def test_a_schedule_that_ends_before_the_run_is_refused_before_training():
    run = solver(CosineDecay(20))
    with pytest.raises(ValueError, match="in a run of 32 iterations: CosineDecay ends after 20 iterations, and 31 are"):
        run.train()
    assert run.iteration == 0
    parts = SequentialSchedule([OneCycle(10), ConstantLR(0.1)], [20], per="iteration")
    for schedule in (parts, ConstantLR() * parts, WithMomentum(ConstantLR(), LinearRamp(total=9))):
        with pytest.raises(ValueError, match="in a run of 32 iterations: .* ends after"):
            solver(schedule).train()
    cycle = OneCycle(momentum=(0.8, 0.9))
    with pytest.raises(ValueError, match="two of its schedules set the momentum"):
        solver(cycle * cycle).train()
    solver(CosineDecay(20, hold=True)).train()
    solver(SequentialSchedule([OneCycle(), ConstantLR(0.1)], [20], per="iteration")).train()


def test_a_plateau_needs_what_it_monitors():
    with pytest.raises(ValueError, match="monitor='val_loss' needs validation data"):
        solver(ReduceOnPlateau(), validation=False).train()
    with pytest.raises(ValueError, match="monitor='f1' is not among the epoch's results"):
        solver(ReduceOnPlateau("f1")).train()


def test_resuming_without_the_plateau_is_refused(tmp_path):
    solver(ReduceOnPlateau(), tmp_path, epochs=2).train()
    with pytest.raises(CheckpointError, match="give the same, with the schedule that depends on results"):
        solver(ConstantLR(), tmp_path, epochs=3).train(resume="auto")


def test_momentum_of_a_schedule_reaches_the_optimiser():
    """Against v = momentum*v + g; w -= rate*v by hand, with both changing at each step."""
    schedule = OneCycle(pct_start=0.4, div_factor=4, momentum=(0.5, 0.9))
    run = solver(schedule, epochs=3, optimizer=SGD(0.1, 0.3))
    other = solver(ConstantLR(), epochs=3)
    start = run.model.state_dict()
    run.train()
    other.model.load_state_dict(start)
    parameters, i = other.model.parameters(), 0
    weights = [parameter.value.astype(np.float64) for parameter in parameters]
    velocities = [np.zeros(parameter.shape) for parameter in parameters]
    for epoch in range(3):
        for x, y in other.loader.batches(epoch):
            for parameter, weight in zip(parameters, weights, strict=True):
                parameter.zero_grad()
                parameter.value[...] = weight
            scores, backward = other.model.forward(x, training=True)
            backward(fn.losses.softmax_cross_entropy(scores, y)[1])
            for k, parameter in enumerate(parameters):
                velocities[k] = schedule.momentum_at(i, 12, 4) * velocities[k] + parameter.grad
                weights[k] = weights[k] - 0.1 * schedule(i, 12, 4) * velocities[k]
            i += 1
    for parameter, weight in zip(run.model.parameters(), weights, strict=True):
        np.testing.assert_allclose(parameter.value, weight, rtol=0, atol=1e-5)
    assert run.optimizer.momentum == 0.3


@pytest.mark.parametrize(
    "make",
    [lambda: OneCycle(momentum=(0.8, 0.95)), lambda: WithMomentum(CosineDecay(), LinearRamp(0.5, 0.99))],
    ids=["one cycle", "ramp"],
)
@pytest.mark.parametrize("optimizer", [lambda: SGD(0.1, 0.9), lambda: Adam(1e-2)], ids=["sgd", "adam"])
def test_momentum_schedules_resume_with_the_same_bits(tmp_path, make, optimizer):
    whole = solver(make(), optimizer=optimizer())
    whole.train()
    with pytest.raises(KeyboardInterrupt):
        solver(make(), tmp_path, optimizer=optimizer(), callbacks=[Interrupt(13)]).train()
    two = solver(make(), tmp_path, optimizer=optimizer(), callbacks=[Interrupt()])
    two.train(resume="auto")
    assert two.history.losses == whole.history.losses


def test_an_optimiser_without_momentum_refuses_such_a_schedule():
    with pytest.raises(ValueError, match="Adagrad has no momentum"):
        solver(OneCycle(momentum=(0.8, 0.95)), optimizer=Adagrad(0.1)).train()
