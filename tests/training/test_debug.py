"""Losses and arrays that are not finite: training stops, and debug says where they come from."""

import numpy as np
import pytest
from small_runs import convnet, linear, problem, quiet

import fastnet as fn


def test_loss_that_is_not_finite_stops():
    model = fn.Sequential(fn.Flatten(), fn.Linear(3), Poison("forward", 1))
    with pytest.raises(FloatingPointError, match=r"the loss is nan at epoch 1, batch 1 \(iteration 1\).*debug='nan'"):
        quiet(model, problem()).train()
    X, y = problem()
    X[0, 0, 0, 0] = np.nan  # in whichever batch it is, a lower learning rate would not help
    with pytest.raises(FloatingPointError, match=r"^the training data: has 1 NaN and 0 infinite .* epoch 1, batch \d"):
        quiet(linear(), (X, y)).train()


class Poison(fn.layers.Layer):
    """The identity until iteration `when`, then NaN in one pass."""

    def __init__(self, phase, when):
        self.phase, self.left = phase, when

    def run(self, x, training, ops):
        self.left -= 1
        bad = self.left == 0
        y = x * np.nan if bad and self.phase == "forward" else x
        return y, lambda dy, input_gradient=True: dy * np.nan if bad and self.phase == "backward" else dy


@pytest.mark.parametrize("phase", ["forward", "backward"])
def test_debug_names_layer_pass_and_batch(phase):
    model = fn.Sequential(fn.Flatten(), fn.Linear(5), Poison(phase, 6), fn.Linear(3))
    with pytest.raises(FloatingPointError, match=rf"layer 2, {phase} pass: has .*epoch 2, batch 2 \(iteration 6\)"):
        quiet(model, problem(), epochs=3, debug="nan").train()


def test_debug_names_the_data_and_an_overflow():
    X, y = problem()
    X[7, 1, 2, 3] = np.inf
    with pytest.raises(FloatingPointError, match="the data: has 0 NaN and 1 infinite of .* at epoch 1, batch"):
        quiet(linear(), (X, y), debug="nan").train()
    model = linear()
    model.build((2, 4, 4))
    model.parameters()[0].value[1, 3] = np.nan
    with pytest.raises(FloatingPointError, match="layer 1, forward pass"):
        quiet(model, problem(), debug="nan").train()


def test_debug_changes_nothing_but_rounding():
    """Layers run unfused, and biases before a pooling have another order of summation."""
    plain, debugged = (quiet(convnet(0.2), problem(), epochs=2, debug=debug) for debug in (None, "nan"))
    assert plain.train().losses == pytest.approx(debugged.train().losses, rel=1e-4)
