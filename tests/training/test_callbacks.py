"""Callbacks: early stopping, snapshots, when they are called."""

import numpy as np
import pytest
from small_runs import linear, problem, quiet

from fastnet.training import BestSnapshot, Callback, EarlyStopping


class Script(Callback):
    """Puts its own numbers into the record, and remembers the parameters."""

    def __init__(self, values, name="val_loss"):
        self.values, self.name, self.states = values, name, []

    def on_epoch_end(self, solver, record):
        record[self.name] = self.values[record["epoch"] - 1]
        self.states.append(solver.model.state_dict())


@pytest.mark.parametrize(
    "options, values, epochs, best",
    [
        ({}, [3, 2, 1, 0.5], 4, 4),
        ({}, [3, 2, 2.5, 1], 3, 2),
        ({"patience": 1}, [3, 2, 2.5, 1], 3, 2),
        ({"patience": 2}, [3, 2, 2.5, 2.4, 1], 4, 2),
        ({"patience": 2}, [3, 2, 2.5, 1, 4], 5, 4),
        ({"patience": 1, "min_delta": 0.5}, [3, 2, 1.8, 1], 3, 2),
        ({"patience": 1}, [3, float("nan"), 1], 2, 1),
        ({"patience": 1, "monitor": "val_accuracy"}, [0.1, 0.3, 0.2, 0.9], 3, 2),
        ({"patience": 1, "mode": "max"}, [1, 2, 1.5, 9], 3, 2),
    ],
)
def test_early_stopping(options, values, epochs, best):
    script, stopping = Script(values, options.get("monitor", "val_loss")), EarlyStopping(**options)
    solver = quiet(linear(), problem(), problem(), epochs=len(values), callbacks=[script], early_stopping=stopping)
    assert len(solver.train()) == epochs
    assert stopping.best_epoch == best
    for name, value in solver.model.state_dict().items():
        np.testing.assert_array_equal(value, script.states[best - 1][name])


def test_early_stopping_may_leave_the_last_parameters():
    script = Script([1, 2])
    solver = quiet(linear(), problem(), problem(), callbacks=[script, EarlyStopping(restore_best=False)])
    solver.train()
    for name, value in solver.model.state_dict().items():
        np.testing.assert_array_equal(value, script.states[1][name])


def test_best_snapshot_does_not_stop():
    script, best = Script([2, 1, 3, 4]), BestSnapshot()
    solver = quiet(linear(), problem(), problem(), epochs=4, callbacks=[script, best])
    assert len(solver.train()) == 4 and best.best_epoch == 2
    np.testing.assert_array_equal(solver.model.state_dict()["1.weight"], script.states[1]["1.weight"])


def test_callbacks_are_called():
    calls = []

    class Log(Callback):
        def on_train_begin(self, solver):
            calls.append("begin")

        def on_iteration_end(self, solver):
            calls.append(solver.iteration)

        def on_epoch_end(self, solver, record):
            calls.append(record["epoch"])
            if record["epoch"] == 2:
                solver.stop("enough")

        def on_train_end(self, solver):
            calls.append("end")

    quiet(linear(), problem(32), epochs=5, callbacks=[Log()]).train()
    assert calls == ["begin", 1, 2, 1, 3, 4, 2, "end"]


def test_callback_errors():
    with pytest.raises(ValueError, match="needs validation data"):
        quiet(linear(), problem(), early_stopping=2).train()
    with pytest.raises(ValueError, match="monitor must be one of.*'speed'"):
        quiet(linear(), problem(), early_stopping=EarlyStopping("speed")).train()
    for options in ({"patience": -1}, {"mode": "best"}, {"min_delta": -1}):
        with pytest.raises(ValueError, match=next(iter(options))):
            EarlyStopping(**options)
