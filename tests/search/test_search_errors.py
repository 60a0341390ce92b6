"""Searches: failed trials, and arguments that are refused."""

from __future__ import annotations

import importlib
import json
import warnings

import pytest
from search_runs import build, hill

import fastnet as fn
from fastnet.search import choice, log_uniform, search, uniform


def test_a_failed_trial_is_named_with_its_error_and_the_others_go_on(capsys):
    def fragile(lr):
        if lr == 2.0:
            raise ZeroDivisionError("two")
        return lr

    with pytest.warns(UserWarning, match=r"1 of 3 failed, the first \(lr: 2.0+e\+00\): ZeroDivisionError: two"):
        results = search(fragile, {"lr": choice(1.0, 2.0, 3.0)}, trials=3, method="grid")
    assert [run.state for run in results.runs] == ["finished", "failed", "finished"]
    assert "failed: ZeroDivisionError: two, lr: 2.000000e+00, (2 / 3)" in capsys.readouterr().out


def test_if_all_fail_it_is_an_error_with_the_cause():
    def broken(lr):
        raise ZeroDivisionError("always")

    with pytest.raises(RuntimeError, match="no trial has finished: 3 of 3 failed.*ZeroDivisionError: always") as error:
        search(broken, {"lr": uniform(0, 1)}, trials=3, fine=3, verbose=False)
    assert isinstance(error.value.__cause__, ZeroDivisionError)


def test_failed_trials_are_run_again_by_the_next_call_and_their_traceback_is_kept(tmp_path):
    calls = []

    def fragile(lr):
        calls.append(lr)
        if broken and lr == 2.0:
            raise ZeroDivisionError("two")
        return lr

    broken, options = True, {"trials": 3, "method": "grid", "folder": tmp_path, "verbose": False}
    with pytest.warns(UserWarning, match="1 of 3 failed"):
        search(fragile, {"lr": choice(1.0, 2.0, 3.0)}, **options)
    assert "fragile" in json.loads((tmp_path / "runs" / "coarse-0002.json").read_text())["traceback"]
    broken = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = search(fragile, {"lr": choice(1.0, 2.0, 3.0)}, **options)
    assert calls == [1.0, 2.0, 3.0, 2.0] and [run.value for run in results.runs] == [1.0, 2.0, 3.0]


def test_a_model_that_is_not_new_is_an_error(data):
    model = fn.Sequential(fn.Flatten(), fn.Linear(2))

    def same(part, lr):
        return fn.Solver(model, part, optimizer=fn.optim.SGD(lr), epochs=1)

    with pytest.warns(UserWarning, match="1 of 2 failed.*must build a new model for each call"):
        search(same, {"lr": uniform(0.1, 1)}, data=data, trials=2, verbose=False)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda lr: "high", "must return a Solver or a number, got str"),
        (lambda lr: True, "must return a Solver or a number, got bool"),
        (lambda lr: float("nan"), "the result is nan"),
    ],
)
def test_what_the_function_returns(function, message):
    with pytest.raises(RuntimeError, match=message):
        search(function, {"lr": uniform(0, 1)}, trials=1, verbose=False)


def test_a_column_that_is_not_there_is_named(data):
    with pytest.raises(RuntimeError, match="monitor must be one of accuracy, epoch, .* got 'val_f1'"):
        search(build, {"lr": uniform(0.1, 1)}, data=data, trials=1, monitor="val_f1", verbose=False)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"function": 3}, TypeError, "expected a function"),
        ({"function": fn.Solver}, TypeError, "expected a function"),
        ({"space": {"lr": 0.1}}, TypeError, "must be log_uniform"),
        ({"trials": 0}, ValueError, "trials must be an integer between 1"),
        ({"fine": -1}, ValueError, "fine must be an integer between 0"),
        ({"method": "bayes"}, ValueError, "method must be one of random, grid, tpe, got 'bayes'"),
        ({"mode": "up"}, ValueError, "mode must be"),
        ({"monitor": 3}, TypeError, "monitor must be a column"),
        ({"stop_above": 1}, ValueError, "stop_above must be above 1"),
        ({"median": 1}, TypeError, "median must be True or False"),
        ({"epochs": 0}, ValueError, "epochs must be an integer between 1"),
        ({"epochs": (1, 2, 3)}, ValueError, "epochs must be a number, or those of the two stages"),
        ({"folds": 5}, ValueError, "folds needs data="),
        ({"data": 5}, TypeError, "data must be a Dataset or"),
        ({"verbose": "no"}, TypeError, "verbose must be True or False"),
        ({"method": "grid", "trials": 1}, ValueError, "a grid over lr needs at least 2 trials"),
    ],
)
def test_what_is_refused(change, error, message):
    with pytest.raises(error, match=message):
        search(**{"function": hill, "space": {"lr": log_uniform(1e-4, 1)}, **change})


def test_folds_that_cannot_be(data):
    space = {"lr": log_uniform(1e-4, 1)}
    with pytest.raises(ValueError, match=r"folds=121 is more than there are samples \(120\)"):
        search(build, space, data=data, folds=121)
    with pytest.raises(ValueError, match="validation images of its own"):
        search(build, space, data=data.split(0.1), folds=5)


def test_without_optuna_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(importlib.import_module("sys").modules, "optuna", None)
    with pytest.raises(ImportError, match=r"pip install \"fastnet-cnn\[search\]\""):
        search(hill, {"lr": log_uniform(1e-4, 1)})
