"""search: what is tried, how it is judged, stopped, kept, resumed and refused."""

from __future__ import annotations

import importlib
import json
import warnings

import numpy as np
import pytest

import fastnet as fn
from fastnet.search import choice, integer, load, log_uniform, search, uniform

SPACE = {"lr": log_uniform(1e-4, 1e0), "units": integer(1, 64, log=True), "kind": choice("a", "b")}
METHODS = ["random", "grid", "tpe"]


def build(part, lr, **others):
    model = fn.Sequential(fn.Flatten(), fn.Linear(2))
    return fn.Solver(model, part, optimizer=fn.optim.SGD(lr), batch_size=20, epochs=2)


def hill(lr, **others):
    """A result without training: best at lr = 0.01."""
    return -((np.log10(lr) + 2) ** 2)


def settings(results):
    return [(run.stage, run.number, run.setting) for run in results.runs]


# ---------------------------------------------------------------- what is tried


@pytest.mark.parametrize("method", METHODS)
def test_a_seed_tries_the_same_settings_and_another_tries_others(method):
    first, again = (search(hill, SPACE, trials=8, fine=8, method=method, seed=3, verbose=False) for _ in range(2))
    assert settings(first) == settings(again) and len(first.runs) == 16
    assert len({(run.stage, *run.setting.values()) for run in first.runs}) == 16
    other = search(hill, SPACE, trials=8, fine=8, method=method, seed=4, verbose=False)
    assert (settings(first) == settings(other)) == (method == "grid")


def test_values_have_the_types_of_their_ranges():
    for run in search(hill, SPACE, trials=6, verbose=False).runs:
        assert type(run.setting["lr"]) is float and 1e-4 <= run.setting["lr"] <= 1
        assert type(run.setting["units"]) is int and 1 <= run.setting["units"] <= 64
        assert run.setting["kind"] in ("a", "b")


def test_a_grid_tries_all_combinations():
    results = search(hill, {"lr": log_uniform(1e-4, 1e0), "kind": choice("a", "b")}, trials=11, method="grid")
    assert len({tuple(run.setting.values()) for run in results.runs}) == 10
    assert results.best.setting["lr"] == pytest.approx(1e-2)


def test_tpe_looks_where_results_were_good():
    """The median distance to the best rate, of the last 15 of 25 trials, against random draws."""

    def distance(method):
        runs = search(hill, SPACE, trials=25, method=method, verbose=False).runs[10:]
        return np.median([abs(np.log10(run.setting["lr"]) + 2) for run in runs])

    assert distance("tpe") < distance("random") / 2


def test_the_fine_stage_lies_around_the_best_of_the_coarse_one(capsys):
    results = search(hill, {"lr": log_uniform(1e-6, 1e2)}, trials=20, fine=10)
    coarse, fine = results.spaces["coarse"]["lr"], results.spaces["fine"]["lr"]
    best = [run.setting["lr"] for run in results.ranked("coarse")[:4]]
    assert fine == coarse.narrowed(best) and fine.high / fine.low < 1e4 < coarse.high / coarse.low
    assert all(fine.low <= run.setting["lr"] <= fine.high for run in results.runs if run.stage == "fine")
    places = {
        stage: np.log(run.setting["lr"] / space["lr"].low) / np.log(space["lr"].high / space["lr"].low)
        for stage, space in results.spaces.items()
        for run in results.runs
        if run.stage == stage and run.number == 1
    }
    assert abs(places["coarse"] - places["fine"]) > 0.01  # the stages draw different numbers
    out = capsys.readouterr().out
    assert f"fine: 10 trials (random) of lr: {fine}" in out


def test_what_is_minimized_and_maximized():
    def parabola(x):
        return (x - 0.5) ** 2

    low = search(parabola, {"x": uniform(0, 1)}, trials=9, method="grid", monitor="loss", verbose=False)
    assert low.best.setting == {"x": 0.5} and not low.maximize
    high = search(parabola, {"x": uniform(0, 1)}, trials=9, method="grid", monitor="loss", mode="max", verbose=False)
    assert high.best.setting["x"] in (0, 1)


# ---------------------------------------------------------------- training


def test_it_trains_solvers_and_judges_their_last_epoch(data):
    results = search(build, {"lr": log_uniform(1e-4, 1e0)}, data=data, trials=4, verbose=False)
    for run in results.runs:
        (history,) = run.histories
        assert run.state == "finished" and run.value == history.history["val_accuracy"][-1] and len(history) == 2
    assert results.best.value > 0.8


def test_the_epochs_of_both_stages(data):
    space = {"lr": log_uniform(1e-2, 1e0)}
    results = search(build, space, data=data, trials=2, fine=2, epochs=(1, 3), verbose=False)
    assert [len(run.histories[0]) for run in results.runs] == [1, 1, 3, 3]


def test_the_function_never_sees_the_test_part(data):
    def look(part, lr):
        assert len(part.y_test) == 0 and len(part.y_val) == 12 and len(part.y_train) == 108
        return build(part, lr)

    assert search(look, {"lr": log_uniform(1e-2, 1e0)}, data=data, trials=1, verbose=False).best


def test_folds_give_mean_and_spread(data, capsys):
    seen = []

    def look(part, lr):
        seen.append((len(part.y_train), len(part.y_val), part.X_val.sum()))
        return build(part, lr)

    results = search(look, {"lr": log_uniform(1e-3, 1e0)}, data=(data.X_train, data.y_train), folds=4, trials=2)
    assert len(seen) == 8 and {sizes[:2] for sizes in seen} == {(90, 30)}
    assert sum(total for *_, total in seen[:4]) == pytest.approx(data.X_train.sum(), rel=1e-4)  # each image once
    for run in results.runs:
        values = [history.history["val_accuracy"][-1] for history in run.histories]
        assert run.folds == tuple(values) and run.value == pytest.approx(np.mean(values))
        assert run.spread == pytest.approx(np.std(values, ddof=1))
    assert f"val_acc: {results.best.value:.6f} +- {results.best.spread:.6f}, lr:" in capsys.readouterr().out


def test_a_run_whose_loss_explodes_is_stopped_at_once(data):
    results = search(build, {"lr": choice(0.1, 1e6)}, data=data, trials=2, method="grid", verbose=False)
    good, bad = results.runs
    assert good.state == "finished" and bad.state == "pruned" and bad.value is None
    assert "above 3 x the first" in bad.reason
    losses = bad.histories[0].losses
    assert len(losses) == 10 and np.mean(losses) > 3 * losses[0]


def test_a_spike_stops_no_run(data):
    """Nine of ten losses may be as high as they like, if the mean is not."""

    def spiking(part, lr):
        solver, calls = build(part, lr), []

        def loss(scores, y):
            calls.append(len(scores))
            value, gradient = fn.losses.softmax_cross_entropy(scores, y)
            return (lr if len(calls) == 5 else 1.0), gradient

        solver.loss = loss
        return solver

    space = {"lr": choice(20.0, 22.0)}  # mean of ten: 2.9 and 3.1
    results = search(spiking, space, data=data, trials=2, method="grid", verbose=False)
    assert [run.state for run in results.runs] == ["finished", "pruned"]


def test_a_loss_that_is_nan_prunes(data):
    def poisoned(part, lr):
        solver = build(part, lr)
        if lr > 1:
            solver.loss = lambda scores, y: (float("nan"), np.zeros_like(scores))
        return solver

    results = search(poisoned, {"lr": choice(0.1, 2.0)}, data=data, trials=2, method="grid", stop_above=None)
    assert [run.state for run in results.runs] == ["finished", "pruned"] and "nan" in results.runs[1].reason


def test_stop_above_can_be_turned_off(data):
    space = {"lr": choice(0.1, 3e2)}
    results = search(build, space, data=data, trials=2, method="grid", stop_above=None, verbose=False)
    assert [run.state for run in results.runs] == ["finished", "finished"]
    losses = results.runs[1].histories[0].losses
    assert np.mean(losses[:10]) > 3 * losses[0]


def test_the_median_rule_stops_the_worse_runs(data):
    space = {"lr": choice(0.5, 0.4, 0.3, 0.2, 0.1, 1e-7)}
    for median, state in ((False, "finished"), (True, "pruned")):
        results = search(build, space, data=data, trials=6, method="grid", median=median, verbose=False)
        assert results.runs[-1].state == state
    assert len(results.runs[-1].histories[0]) == 1 and "worse than half" in results.runs[-1].reason


# ---------------------------------------------------------------- errors of the user's function


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


# ---------------------------------------------------------------- what is said


def test_the_line_of_the_lectures(capsys):
    """CS231n 2017, lecture 7: ``val_acc: 0.412000, lr: 1.405206e-04, reg: 4.793564e-01, (1 / 100)``."""
    search(lambda lr, reg: 0.412, {"lr": choice(1.405206e-4), "reg": choice(4.793564e-1)}, trials=1, method="grid")
    assert "val_acc: 0.412000, lr: 1.405206e-04, reg: 4.793564e-01, (1 / 1)\n" in capsys.readouterr().out


def test_the_best_value_on_a_border_is_said(capsys):
    search(lambda lr: lr, {"lr": log_uniform(1e-4, 1e-2)}, trials=5, method="grid")
    out = capsys.readouterr().out
    assert "the best lr, 0.01, lies on the upper border of its coarse range, 0.0001 to 0.01, log-uniform" in out
    assert "better values may lie above; search 0.001 to 0.1" in out
    search(lambda lr: -lr, {"lr": log_uniform(1e-4, 1e-2)}, trials=5, method="grid")
    assert "lies on the lower border" in capsys.readouterr().out
    results = search(hill, {"lr": log_uniform(1e-4, 1e0)}, trials=5, method="grid")
    assert results.advice() == [] and "border" not in capsys.readouterr().out


def test_silent_without_verbose(capsys):
    search(hill, {"lr": log_uniform(1e-4, 1e0)}, trials=2, fine=2, verbose=False)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


# ---------------------------------------------------------------- folders


def test_a_finished_search_runs_nothing_again(tmp_path):
    options = {"trials": 3, "fine": 2, "folder": tmp_path, "verbose": False}
    first = search(hill, SPACE, **options)

    def never(**setting):
        raise AssertionError("called")

    assert settings(search(never, SPACE, **options)) == settings(first)
    loaded = load(tmp_path)
    assert settings(loaded) == settings(first) and loaded.spaces == first.spaces and loaded.best == first.best


def test_curves_are_kept(tmp_path, data):
    options = {"data": data, "trials": 2, "folder": tmp_path, "verbose": False}
    first = search(build, {"lr": log_uniform(1e-3, 1e0)}, **options)
    again = load(tmp_path)
    for run, other in zip(first.runs, again.runs, strict=True):
        assert run.histories[0].to_dict() == other.histories[0].to_dict()


def test_more_trials_extend_a_search(tmp_path):
    calls = []

    def count(**setting):
        calls.append(setting)
        return hill(**setting)

    for trials in (3, 5):
        results = search(count, SPACE, trials=trials, folder=tmp_path, verbose=False)
    assert len(calls) == len(results.runs) == 5
    fresh = search(hill, SPACE, trials=5, verbose=False)
    assert [run.setting for run in fresh.runs] == calls


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"method": "tpe"}, 'method is "random" there and "tpe" here'),
        ({"trials": 2}, "trials is 3 there and 2 here"),
        ({"info": {"model": "b"}}, 'info, model is null there and "b" here'),
        ({"stop_above": None}, "stop_above is 3.0 there and null here"),
    ],
)
def test_a_folder_with_another_search_is_refused(change, message, tmp_path):
    options = {"trials": 3, "folder": tmp_path, "verbose": False}
    search(hill, {"lr": log_uniform(1e-4, 1)}, **options)
    with pytest.raises(ValueError, match=f"holds another search: {message}; give another folder"):
        search(hill, {"lr": log_uniform(1e-4, 1)}, **{**options, **change})


def test_other_data_are_another_search(tmp_path, data):
    options = {"trials": 1, "folder": tmp_path, "verbose": False}
    search(build, {"lr": log_uniform(1e-4, 1)}, data=(data.X_train, data.y_train), **options)
    with pytest.raises(ValueError, match="holds another search: data, checksum is"):
        search(build, {"lr": log_uniform(1e-4, 1)}, data=(data.X_train, data.y_train[::-1]), **options)


def test_a_folder_without_a_search(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no search"):
        load(tmp_path)


# ---------------------------------------------------------------- arguments


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
