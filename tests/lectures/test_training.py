"""The parts of the experiments on training."""

from __future__ import annotations

import math

from fastnet.lectures import learning_rates


def test_a_run_that_ends_early_has_no_finite_loss_after_its_end():
    assert learning_rates.means([4.0, 2.0, 1.0], 2, 2) == [3.0, 1.0]
    assert learning_rates.means([4.0, 2.0, math.inf], 2, 4) == [3.0, math.inf, math.inf, math.inf]
