"""The parts of the experiments on training."""

from __future__ import annotations

import json
import math

import pytest

from fastnet.cli import main
from fastnet.lectures import learning_rates


def test_a_run_that_ends_early_has_no_finite_loss_after_its_end():
    assert learning_rates.means([4.0, 2.0, 1.0], 2, 2) == [3.0, 1.0]
    assert learning_rates.means([4.0, 2.0, math.inf], 2, 4) == [3.0, math.inf, math.inf, math.inf]


def test_the_first_try_of_the_random_search_is_measured(tmp_path):
    for name in ("matplotlib", "sklearn"):
        pytest.importorskip(name)
    assert main(["lecture", "random-search-vs-slope", "--out", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "random-search-vs-slope" / "results.json").read_text())
    name, _, _, accuracy = results["tables"][0]["rows"][0]
    assert name == "random search, first try" and 0 <= accuracy <= 1
