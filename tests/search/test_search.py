"""Searches: what is tried, kept, stopped and said."""

from __future__ import annotations

import numpy as np
import pytest
from search_runs import METHODS, SPACE, build, hill, settings

import fastnet as fn
from fastnet.search import choice, log_uniform, search, uniform

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
