"""Stochastic depth: branches that are dropped in training, and networks of them."""

from __future__ import annotations

import numpy as np
import pytest
from layer_nets import ones, trained

import fastnet as fn
from fastnet.graph import branches


@pytest.mark.parametrize("inverted, kept", [(True, 2.0), (False, 1.0)])
@pytest.mark.parametrize("mode", ["row", "batch"])
def test_stochastic_depth(mode, inverted, kept):
    """torchvision's definition: noise of shape (N, 1, 1, 1) or (1, 1, 1, 1), divided by the survival rate."""
    layer, x = fn.StochasticDepth(0.5, mode, seed=4, inverted=inverted), ones(40, 3, 2, 2)
    seen = set()
    for _ in range(20):
        y = trained(layer, x).reshape(40, -1)
        assert (y == y[:, :1]).all() and (mode == "row" or (y == y[0, 0]).all())
        seen |= set(np.unique(y))
    assert seen == {0.0, kept}
    np.testing.assert_array_equal(layer(x), 1.0 if inverted else 0.5)


def test_stochastic_depth_skips_the_branch():
    conv = fn.Conv2d(3, 3, padding=1)
    model = fn.Sequential(fn.Residual([conv, fn.StochasticDepth(0.5, "batch", seed=0)]))
    model.build((3, 5, 5))
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 5)).astype(np.float32)
    outputs = [trained(model, x) for _ in range(12)]
    whole = x + 2 * conv(x)
    skipped = [np.array_equal(y, x) for y in outputs]
    assert 0 < sum(skipped) < 12
    for y, skip in zip(outputs, skipped, strict=True):
        if not skip:
            np.testing.assert_allclose(y, whole, atol=1e-5)
    np.testing.assert_allclose(model(x), x + conv(x), atol=1e-5)


def deep(norm=None):
    """Two residual blocks, one inside the other, with stochastic depth of the batch, and dropout in a branch."""
    more = [norm()] if norm else []
    inner = fn.Residual([fn.Conv2d(4, 3, padding=1), *more, fn.StochasticDepth(0.5, "batch")])
    outer = [fn.Conv2d(4, 3, padding=1), fn.Dropout(0.2), fn.ReLU(), inner, *more, fn.Conv2d(4, 1)]
    model = fn.Sequential(
        *(fn.Conv2d(4, 3, padding=1), fn.Residual([*outer, fn.StochasticDepth(0.5, "batch")]), fn.ReLU()),
        fn.Residual([fn.Conv2d(4, 3, padding=1), fn.StochasticDepth(0.4, "batch")], [fn.Conv2d(4, 1)]),
        *(fn.Flatten(), fn.Linear(3)),
    )
    model.build((3, 6, 6), seed=3)
    return model


def steps_of(model, count=16):
    """y, dx, all gradients and the state after each of several passes."""
    rng, seen = np.random.default_rng(0), []
    for _ in range(count):
        model.zero_grad()
        y, backward = model.forward(rng.standard_normal((4, 3, 6, 6)).astype(np.float32), training=True)
        dx = backward(rng.standard_normal(y.shape).astype(np.float32))
        seen.append([y, dx, *(p.grad for p in model.parameters(requires_grad=True)), *model.state_dict().values()])
    return seen


@pytest.mark.parametrize("norm", [None, fn.BatchNorm2d, lambda: fn.GroupNorm(2)], ids=["no norm", "batch", "group"])
@pytest.mark.parametrize("backend", fn.backends.available_backends())
def test_skipped_branches_change_nothing(norm, backend, monkeypatch):
    """The same values, gradients, running statistics and random numbers as if every branch were computed."""
    with fn.backends.use_backend(backend):
        computed = steps_of(deep(norm))
        monkeypatch.setattr(branches, "_CALL", 0)
        model = deep(norm)
        skipped = steps_of(model)
        assert len(model.program(np.zeros((4, 3, 6, 6), np.float32), training=True)[1].branches) == 3
    for one, other in zip(computed, skipped, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_dropped_branches_are_not_computed(monkeypatch):
    """Nothing of NaN weights is seen in the passes that drop the branch."""
    monkeypatch.setattr(branches, "_CALL", 0)
    conv = fn.Conv2d(3, 3, padding=1)
    model = fn.Sequential(fn.Residual([conv, fn.StochasticDepth(0.5, "batch", seed=0)]))
    model.build((3, 5, 5))
    conv.weight.value[:] = np.nan
    dropped = 0
    for _ in range(12):
        model.zero_grad()
        y, backward = model.forward(ones(2, 3, 5, 5), training=True)
        dx = backward(y)
        if not np.isnan(y).any():
            dropped += 1
            assert (dx == 1).all() and not conv.weight.grad.any() and not conv.bias.grad.any()
    assert 0 < dropped < 12


def test_small_branches_are_recorded_rather_than_skipped():
    model, large = deep(), fn.Sequential(fn.Residual([fn.Linear(1500), fn.StochasticDepth(0.5, "batch")]))
    large.build((1500,))
    assert not model.program(ones(4, 3, 6, 6), training=True)[1].branches
    plan = fn.TrainingPlan(large)
    plan(ones(8, 1500), np.zeros(8, np.int64))
    assert "stochastic depth" in plan.reason


def test_the_linear_rule():
    """Block l survives with 1 - l/L (1 - p_L): the paper's figure has p_0 = 1 before the first block and p_L = 0.5."""
    rates = fn.models.drop_rates(54, 0.5)
    assert [1 - rate for rate in rates] == pytest.approx([1 - number / 54 * 0.5 for number in range(1, 55)])
    assert rates[-1] == 0.5


@pytest.mark.parametrize(
    "make, blocks",
    [(fn.models.resnet20, 9), (fn.models.resnet56, 27), (fn.models.resnet18, 8), (fn.models.resnet50, 16)],
)
def test_resnets_with_stochastic_depth(make, blocks):
    plain, model = (make(10, (3, 32, 32), stochastic_depth=rate) for rate in (0.0, 0.5))
    layers = [layer for layer in model.leaves() if isinstance(layer, fn.StochasticDepth)]
    assert [layer.p for layer in layers] == fn.models.drop_rates(blocks, 0.5)
    assert all(layer.mode == "batch" for layer in layers)
    assert not any(isinstance(layer, fn.StochasticDepth) for layer in plain.leaves())
    assert plain.state_dict().keys() == model.state_dict().keys()
    x = np.random.default_rng(0).standard_normal((2, 3, 32, 32)).astype(np.float32)
    model.load_state_dict(plain.state_dict())
    np.testing.assert_array_equal(model(x), plain(x))
