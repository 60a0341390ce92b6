"""Trajectories of 100 steps against PyTorch's in float64, to 1e-6 of their length: optimisers, groups, clipping.

Gradients are those of each side's own parameters, so that a difference feeds back.
"""

from __future__ import annotations

import cases
import numpy as np
import pytest

import fastnet as fn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers

o, t = fn.optim, torch.optim
OPTIMIZERS = {  # ours; PyTorch's
    "sgd": (lambda: o.SGD(0.1), lambda p: t.SGD(p, 0.1)),
    "sgd decay": (lambda: o.SGD(0.1, weight_decay=0.2), lambda p: t.SGD(p, 0.1, weight_decay=0.2)),
    "momentum": (
        lambda: o.SGD(0.1, momentum=0.9, weight_decay=0.1),
        lambda p: t.SGD(p, 0.1, momentum=0.9, weight_decay=0.1),
    ),
    "nesterov": (
        lambda: o.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
        lambda p: t.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    ),
    "velocity of steps": (
        lambda: o.SGD(0.1, momentum=0.9, velocity="steps"),
        lambda p: t.SGD(p, 0.1, momentum=0.9),
    ),
    "velocity of steps, nesterov": (
        lambda: o.SGD(0.1, momentum=0.9, nesterov=True, velocity="steps"),
        lambda p: t.SGD(p, 0.1, momentum=0.9, nesterov=True),
    ),
    "running mean": (  # PyTorch's first velocity is g, not (1 - b) g: here all steps are the same with lr / (1 - b)
        lambda: o.SGD(1.0, momentum=0.9, dampening=0.9),
        lambda p: t.SGD(p, 0.1, momentum=0.9),
    ),
    "adagrad": (
        lambda: o.Adagrad(0.1, eps=1e-6, weight_decay=0.1),
        lambda p: t.Adagrad(p, 0.1, eps=1e-6, weight_decay=0.1),
    ),
    "adagrad, positions": (
        lambda: o.Adagrad(0.1, 0.2, 0.1, 0.3, 1e-6),
        lambda p: t.Adagrad(p, 0.1, 0.2, 0.1, 0.3, 1e-6),
    ),
    "adadelta": (lambda: o.Adadelta(), lambda p: t.Adadelta(p)),
    "adadelta, positions": (lambda: o.Adadelta(2.0, 0.8, 1e-3, 0.1), lambda p: t.Adadelta(p, 2.0, 0.8, 1e-3, 0.1)),
    "rmsprop": (
        lambda: o.RMSprop(0.1, alpha=0.9, eps=1e-6, weight_decay=0.1),
        lambda p: t.RMSprop(p, 0.1, alpha=0.9, eps=1e-6, weight_decay=0.1),
    ),
    "rmsprop momentum": (lambda: o.RMSprop(0.01, momentum=0.9), lambda p: t.RMSprop(p, 0.01, momentum=0.9)),
    "rmsprop centered": (lambda: o.RMSprop(0.01, centered=True), lambda p: t.RMSprop(p, 0.01, centered=True)),
    "rmsprop, positions": (
        lambda: o.RMSprop(0.01, 0.9, 1e-6, 0.1, 0.5, True),
        lambda p: t.RMSprop(p, 0.01, 0.9, 1e-6, 0.1, 0.5, True),
    ),
    "adam": (lambda: o.Adam(0.1), lambda p: t.Adam(p, 0.1)),
    "adam decay": (
        lambda: o.Adam(0.1, (0.8, 0.99), 1e-6, weight_decay=0.1),
        lambda p: t.Adam(p, 0.1, (0.8, 0.99), 1e-6, weight_decay=0.1),
    ),
    "amsgrad": (lambda: o.Adam(0.1, (0.5, 0.6), amsgrad=True), lambda p: t.Adam(p, 0.1, (0.5, 0.6), amsgrad=True)),
    "adamw": (lambda: o.AdamW(0.1, weight_decay=0.2), lambda p: t.AdamW(p, 0.1, weight_decay=0.2)),
    "adamw amsgrad": (
        lambda: o.AdamW(0.1, (0.5, 0.6), amsgrad=True),
        lambda p: t.AdamW(p, 0.1, (0.5, 0.6), amsgrad=True),
    ),
    "nadam": (lambda: o.NAdam(0.1, weight_decay=0.1), lambda p: t.NAdam(p, 0.1, weight_decay=0.1)),
    "nadam, positions": (
        lambda: o.NAdam(0.1, (0.8, 0.99), 1e-6, 0.1, 0.02, True),
        lambda p: t.NAdam(p, 0.1, (0.8, 0.99), 1e-6, 0.1, 0.02, True),
    ),
}
SHAPES = {"conv.weight": (4, 3, 3, 3), "conv.bias": (17,), "fc.weight": (5, 6)}
STEPS = 100


@pytest.fixture(autouse=True, params=fn.available_backends())
def backend(request):
    with fn.use_backend(request.param):
        yield request.param


def starts():
    return {name: cases.normal(shape, np.float64, i) for i, (name, shape) in enumerate(SHAPES.items())}


def slope(name, w, size=1.0):
    """The gradient of sum(log(cosh(A w - b))), which has a minimum and steep and flat directions."""
    A = cases.normal((8, w.size), np.float64, 7) * np.logspace(-1, 0.5, w.size) / np.sqrt(w.size)
    b = cases.normal((8,), np.float64, len(name))
    return size * (A.T @ np.tanh(A @ w.ravel() - b)).reshape(w.shape)


def compare(ours, theirs, size=1.0, before=lambda mine, its: None, after=lambda step: ({}, None)):
    """Run both; `before` clips, `after(step)` gives the arguments of our next step and what sets PyTorch's up."""
    mine = [fn.Parameter(value.copy(), name) for name, value in starts().items()]
    its = {name: torch.from_numpy(value.copy()).requires_grad_() for name, value in starts().items()}
    optimizer, peer = ours(mine), theirs(its)
    for step in range(STEPS):
        arguments, prepare = after(step)
        if prepare:
            prepare(peer)
        for p in mine:
            p.zero_grad()
            p.accumulate(slope(p.name, p.value, size))
            its[p.name].grad = torch.from_numpy(slope(p.name, its[p.name].detach().numpy(), size))
        before(mine, list(its.values()))
        optimizer.step(mine, **arguments)
        peer.step()
        for p in mine:
            moved = np.abs(p.value - starts()[p.name]).max()
            np.testing.assert_allclose(p.value, its[p.name].detach().numpy(), rtol=1e-6, atol=1e-6 * moved)
    return mine, optimizer


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_trajectories(name):
    ours, theirs = OPTIMIZERS[name]
    mine, _ = compare(lambda mine: ours(), lambda its: theirs(its.values()))
    assert all(np.abs(p.value - starts()[p.name]).max() > 1e-3 for p in mine)


def test_groups_and_a_schedule():
    def theirs(its):
        groups = [
            {"params": [its["conv.bias"]], "lr": 0.02, "momentum": 0.5, "weight_decay": 0.3},
            {"params": [its["fc.weight"]], "nesterov": True},
            {"params": [its["conv.weight"]]},
        ]
        return t.SGD(groups, 0.1, momentum=0.9)

    def ours(mine):
        bias = {"params": "*.bias", "lr": 0.02, "momentum": 0.5, "weight_decay": 0.3}
        return o.SGD(0.1, momentum=0.9, groups=[bias, {"params": [mine[2]], "nesterov": True}])

    def after(step):
        def prepare(peer):
            for group in peer.param_groups:
                group["lr"] = group.setdefault("base", group["lr"]) * 0.97**step

        return {"scale": 0.97**step}, prepare

    compare(ours, theirs, after=after)


def test_groups_of_adam_with_betas_of_their_own():
    def theirs(its):
        return t.AdamW([{"params": [its["fc.weight"]], "betas": (0.5, 0.9)}, {"params": [its["conv.weight"]]}], 0.1)

    def ours(mine):
        mine[1].requires_grad = False
        return o.AdamW(0.1, groups=[{"params": "fc.*", "betas": (0.5, 0.9)}])

    def before(mine, its):
        its[1].grad = None

    mine, _ = compare(ours, theirs, before=before)
    np.testing.assert_array_equal(mine[1].value, starts()["conv.bias"])


@pytest.mark.parametrize("kind, name", [(o.SGD, "momentum"), (o.Adam, "betas"), (o.RMSprop, "momentum")])
def test_annealed_momentum(kind, name):
    """As PyTorch's OneCycleLR does: the entry of its param_groups is set before each step."""

    def after(step):
        momentum = 0.5 + 0.49 * step / STEPS

        def prepare(peer):
            peer.param_groups[0][name] = momentum if name == "momentum" else (momentum, 0.999)

        return {"momentum": momentum}, prepare

    first = {"momentum": 0.5} if name == "momentum" else {}
    theirs = getattr(t, kind.__name__)
    compare(lambda mine: kind(0.01, **first), lambda its: theirs(its.values(), 0.01, **first), after=after)


@pytest.mark.parametrize("name", ["momentum", "adam"])
@pytest.mark.parametrize("size", [1e-3, 1.0, 10.0])  # below, near and above the limit
def test_clipping_by_norm(name, size):
    ours, theirs = OPTIMIZERS[name]

    def before(mine, its):
        got = o.clip_grad_norm(mine, 2.0)
        expected = torch.nn.utils.clip_grad_norm_(its, 2.0)
        np.testing.assert_allclose(got, expected.item(), rtol=1e-6, atol=1e-6)

    compare(lambda mine: ours(), lambda its: theirs(its.values()), size, before)


@pytest.mark.parametrize("name", ["momentum", "adam"])
def test_clipping_by_value(name):
    ours, theirs = OPTIMIZERS[name]

    def before(mine, its):
        o.clip_grad_value(mine, 0.1)
        torch.nn.utils.clip_grad_value_(its, 0.1)

    compare(lambda mine: ours(), lambda its: theirs(its.values()), 1.0, before)
