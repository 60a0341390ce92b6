"""Ranges and choices: grids, borders, narrower ranges, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastnet.search import choice, integer, log_uniform, uniform
from fastnet.search.space import as_dicts, check, grid, of_dict


def test_a_grid_has_equal_distances_and_both_ends():
    assert log_uniform(1e-4, 1e-1).grid(4) == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1], rel=1e-12)
    assert uniform(0, 1).grid(3) == [0, 0.5, 1]
    assert integer(1, 100, log=True).grid(3) == [1, 10, 100]
    assert integer(1, 3).grid(9) == [1, 2, 3]
    assert log_uniform(1e-4, 1e-1).grid(4)[0] == 1e-4 and log_uniform(1e-4, 1e-1).grid(4)[-1] == 1e-1


def test_a_grid_has_as_many_points_as_the_trials_allow():
    space = {"lr": log_uniform(1e-4, 1e-1), "decay": log_uniform(1e-5, 1), "optimizer": choice("sgd", "adam")}
    settings = grid(space, 20)
    assert len(settings) == 18 and len({tuple(setting.values()) for setting in settings}) == 18
    assert settings[0] == {"lr": 1e-4, "decay": 1e-5, "optimizer": "sgd"}
    with pytest.raises(ValueError, match=r"needs at least 8 trials .* got trials=7; method='random' takes any number"):
        grid(space, 7)


@pytest.mark.parametrize(
    ("dimension", "value", "side"),
    [
        (log_uniform(1e-4, 1e-1), 1e-4, "lower"),
        (log_uniform(1e-4, 1e-1), 10 ** (-4 + 0.14), "lower"),
        (log_uniform(1e-4, 1e-1), 10 ** (-4 + 0.16), ""),
        (log_uniform(1e-4, 1e-1), 10 ** (-1 - 0.16), ""),
        (log_uniform(1e-4, 1e-1), 10 ** (-1 - 0.14), "upper"),
        (uniform(0, 1), 0.96, "upper"),
        (uniform(0, 1), 0.5, ""),
        (integer(1, 8), 8, "upper"),
        (choice(1e-4, 0, 1e-5), 0, ""),  # nothing is below 0
        (choice(1e-4, 0, 1e-5), 1e-4, "upper"),
        (choice(1e-1, 1e-2, 1e-3), 1e-3, "lower"),
        (choice("sgd", "adam"), "sgd", ""),
        (choice(1, 2, None), 2, ""),
    ],
)
def test_borders(dimension, value, side):
    assert dimension.border(value) == side


def test_a_finer_range_encloses_the_best_with_a_tenth_on_both_sides():
    narrow = log_uniform(1e-6, 1e4).narrowed([1e-2, 1e0, 1e-1])
    assert (narrow.low, narrow.high) == pytest.approx((1e-3, 1e1), rel=1e-9) and narrow.log
    assert log_uniform(1e-3, 1e0).narrowed([1e-3, 9e-1]) == log_uniform(1e-3, 1e0)  # never wider
    narrow = integer(1, 101).narrowed([50, 55])
    assert (narrow.low, narrow.high, narrow.whole) == (40, 65, True)
    assert choice("a", "b", "c").narrowed(["c", "a", "a"]) == choice("a", "c")


def test_the_lectures_coarse_table_narrows_to_its_fine_ranges():
    """CS231n 2017, lecture 7: lr 1e-6 to 1e-3 and reg 1e-5 to 1e5, then lr 1e-4 to 1e-3 and reg 1e-4 to 1."""
    lr = log_uniform(1e-6, 1e-3).narrowed([4.296863e-04, 1.750259e-04, 1.405206e-04])
    reg = log_uniform(1e-5, 1e5).narrowed([6.642555e-01, 2.110807e-04, 4.793564e-01])
    assert abs(math.log10(lr.low) + 4) < 0.2 and abs(math.log10(lr.high) + 3) < 0.1
    assert abs(math.log10(reg.low) + 4) < 0.7 and abs(math.log10(reg.high)) < 0.9


def test_the_range_to_search_next_has_the_best_in_its_middle():
    around = log_uniform(1e-4, 1e-2).around(1e-2)
    assert (around.low, around.high) == pytest.approx((1e-3, 1e-1))
    assert integer(1, 8).around(8).low >= 1


def test_a_space_survives_json():
    space = {"lr": log_uniform(1e-4, 1e-1), "units": integer(8, 64, log=True), "kind": choice("a", None, True, 1.5)}
    assert {name: of_dict(entry) for name, entry in as_dicts(space).items()} == space


def test_log_uniform_draws_are_uniform_in_the_logarithm():
    """Optuna's draws of the distribution, against the uniform one: Kolmogorov-Smirnov, 200 draws, 1 %."""
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    distribution = {"lr": log_uniform(1e-6, 1e-2).distribution()}
    draws = np.sort([math.log10(study.ask(distribution).params["lr"]) for _ in range(200)])
    gap = np.abs((draws + 6) / 4 - (np.arange(200) + 0.5) / 200).max()
    assert gap < 1.63 / math.sqrt(200)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: log_uniform(0, 1), ValueError, "low must be > 0, since 0 has no logarithm"),
        (lambda: log_uniform(1e-1, 1e-5), ValueError, "log_uniform: low must be below high, got 0.1 and 1e-05"),
        (lambda: uniform(1, 1), ValueError, "uniform: low must be below high"),
        (lambda: uniform("a", 1), TypeError, "uniform: low must be a finite number, got 'a'"),
        (lambda: uniform(0, float("nan")), ValueError, "uniform: high must be a finite number"),
        (lambda: integer(1.5, 3), TypeError, "integer: low must be an integer"),
        (lambda: integer(0, 3, log=True), ValueError, "with log=True low must be >= 1"),
        (lambda: integer(1, 3, log=1), TypeError, "integer: log must be True or False"),
        (lambda: choice(), ValueError, "choice: expected different"),
        (lambda: choice(1, 1), ValueError, "choice: expected different"),
        (lambda: choice([1, 2], [3]), ValueError, "choice: expected different"),
        (lambda: choice(float("nan")), ValueError, "choice: expected different"),
        (lambda: check([("lr", 1)]), TypeError, "space must be a dict"),
        (lambda: check({"lr": 0.1}), TypeError, r"space\['lr'\] must be log_uniform"),
        (lambda: check({}), ValueError, "the space is empty"),
    ],
)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
