"""Schedules in a run: refused before it where they cannot be followed, and resumed with the same bits."""

import numpy as np
import pytest

import fastnet as fn
from fastnet.optim import (
    SGD,
    ConstantLR,
    CosineDecay,
    CosineRestarts,
    LinearRamp,
    OneCycle,
    ReduceOnPlateau,
    SequentialSchedule,
    StepDecay,
)
from fastnet.training import CheckpointError


def problem(N=64, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((N, 2, 4, 4)).astype(np.float32), rng.integers(0, 3, N)


def solver(schedule, folder=None, epochs=8, validation=True, **options):
    model = fn.Sequential(fn.Conv2d(4, 3), fn.ReLU(), fn.Flatten(), fn.Linear(3))
    options = {"batch_size": 16, "verbose": False, "optimizer": SGD(0.1, 0.9), "checkpoint": folder, **options}
    held = problem(32, 1) if validation else None
    return fn.Solver(model, problem(), held, schedule=schedule, epochs=epochs, **options)


MAKE = {
    "plateau": lambda: ReduceOnPlateau(factor=0.5, patience=0, cooldown=1),
    "warm plateau": lambda: SequentialSchedule([LinearRamp(0.1, 1), ReduceOnPlateau(patience=0)], [2]),
    "product": lambda: CosineDecay() * ReduceOnPlateau("val_accuracy", patience=0),
    "restarts": lambda: CosineRestarts(1, 2, minimum=0.01),
    "sequence": lambda: SequentialSchedule([LinearRamp(0.1, 1), StepDecay(1)], [3]),
}


@pytest.mark.parametrize("stop_at", [3, 4])
@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_a_resumed_run_has_the_same_bits(tmp_path, make, stop_at):
    whole = solver(make())
    whole.train()
    one = solver(make(), tmp_path)
    run_epoch, done = one._run_epoch, []

    def until():
        run_epoch()
        done.append(1)
        if len(done) == stop_at:
            one.stop("here")

    one._run_epoch = until
    one.train()
    two = solver(make(), tmp_path)
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
    solver(CosineDecay(20, hold=True)).train()
    solver(SequentialSchedule([OneCycle(), ConstantLR(0.1)], [20], per="iteration")).train()


def test_a_plateau_needs_what_it_monitors():
    with pytest.raises(ValueError, match="monitor='val_loss' needs validation data"):
        solver(ReduceOnPlateau(), validation=False).train()
    with pytest.raises(ValueError, match="monitor='f1' is not among the epoch's results"):
        solver(ReduceOnPlateau("f1")).train()


def test_resuming_without_the_plateau_is_refused(tmp_path):
    solver(ReduceOnPlateau(), tmp_path, epochs=2).train()
    with pytest.raises(CheckpointError, match="Following"):
        solver(ConstantLR(), tmp_path, epochs=3).train(resume="auto")
