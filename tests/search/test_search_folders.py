"""Searches in folders: finished, extended, and others'."""

from __future__ import annotations

import pytest
from search_runs import SPACE, build, hill, settings

from fastnet.search import load, log_uniform, search


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
