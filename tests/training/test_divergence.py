"""A run that diverges ends with FloatingPointError, in whatever iteration, and leaves no checkpoint of what is left."""

import signal

import numpy as np
import pytest

import fastnet as fn
from fastnet.optim import SGD
from fastnet.training import Callback, load_checkpoint

HUGE = SGD(1e38)


def problem(N):
    rng = np.random.default_rng(0)
    return rng.standard_normal((N, 2, 4, 4)).astype(np.float32), rng.integers(0, 3, N)


def linear():
    return fn.Sequential(fn.Flatten(), fn.Linear(3))


def quiet(model, *data, **options):
    return fn.Solver(model, *data, batch_size=16, verbose=False, **options)


class Poison(fn.Layer):
    """The identity, whose gradient is NaN in one iteration."""

    def __init__(self, when):
        self.left = when

    def run(self, x, training, ops):
        self.left -= training
        return x, lambda dy, input_gradient=True: dy if self.left else dy * np.nan


def huge_at(iteration):
    """A schedule whose rate is far too large in one iteration, counted from 1."""
    return lambda i, total, per_epoch: 1e38 if i == iteration - 1 else 0.0


@pytest.mark.parametrize("iteration, epochs_left", [(1, 0), (3, 0), (4, 0), (5, 1), (7, 1), (8, 1)])
def test_in_any_iteration(tmp_path, iteration, epochs_left):
    """Iterations 4 and 8 are the last of an epoch, 8 the last of all: no loss is computed after it."""
    X, y = problem(64)
    options = {"epochs": 2, "optimizer": SGD(1.0), "schedule": huge_at(iteration), "checkpoint": tmp_path}
    solver = quiet(linear(), (X * np.float32(1e3), y), **options)
    with pytest.raises(FloatingPointError, match=r"lower the learning rate \((1e\+38|0)\)"):
        solver.train()
    assert len(solver.history) == epochs_left == len(list(tmp_path.glob("checkpoint-*")))
    if epochs_left:
        state = load_checkpoint(tmp_path).model_state()
        assert all(np.isfinite(value).all() for value in state.values())


def test_the_last_update_names_the_parameter():
    X, y = problem(16)
    with pytest.raises(
        FloatingPointError, match=r"after the update, 1.weight has 0 NaN and \d+ infinite .* epoch 1, batch 1 \(iter"
    ):
        quiet(linear(), (X * np.float32(1e6), y), epochs=1, optimizer=HUGE).train()


def test_running_statistics_count():
    X, y = problem(16)
    model = fn.Sequential(fn.BatchNorm2d(), fn.Flatten(), fn.Linear(3))
    model.build(X.shape[1:])
    model.freeze("0")
    model[0].running_var.value[:] = np.inf
    with pytest.raises(FloatingPointError, match="0.running_var has 0 NaN and 2 infinite of 2 values"):
        quiet(model, (X, y), epochs=1, optimizer=SGD(1e-3)).train()


def test_validation():
    X, y = problem(32)
    bad = X.copy()
    bad[3, 1, 2, 2] = np.nan
    with pytest.raises(FloatingPointError, match="the validation data: has 1 NaN and 0 infinite .* epoch 1, batch 2"):
        quiet(linear(), (X, y), (bad, y), epochs=3).train()
    with pytest.raises(FloatingPointError, match=r"validation loss is (inf|nan) at epoch 1, batch 2 \(iteration 2\)"):
        quiet(linear(), (X, y), (np.sign(X) * np.float32(3e38), y), epochs=3).train()
    history = quiet(linear(), (X, y), (X * np.float32(1e30), y), epochs=1).train()
    assert np.isfinite(history.history["val_loss"]).all()  # large is not infinite


def test_ctrl_c_does_not_keep_a_diverged_model(tmp_path):
    class Press(Callback):
        def on_iteration_end(self, solver):
            signal.raise_signal(signal.SIGINT)

    X, y = problem(64)
    solver = quiet(linear(), (X * np.float32(1e6), y), optimizer=HUGE, callbacks=[Press()], checkpoint=tmp_path)
    with pytest.raises(FloatingPointError, match="after the update, 1.weight"):
        solver.train()
    assert solver.iteration == 1 and list(tmp_path.iterdir()) == []


def test_gradients_that_are_nan_once():
    model = fn.Sequential(fn.Flatten(), fn.Linear(5), Poison(8), fn.Linear(3))
    with pytest.raises(FloatingPointError, match="after the update, 1.weight has 160 NaN"):
        quiet(model, problem(64), epochs=2).train()  # in the last iteration
