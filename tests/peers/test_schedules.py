"""PyTorch's learning-rate schedulers, where both have one: rates and momenta over 60 steps, to 1e-12."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from fastnet import optim

torch = pytest.importorskip("torch")
scheduler = torch.optim.lr_scheduler
pytestmark = pytest.mark.peers

N, ITERATION = 60, {"per": "iteration"}


def case(name, mine, theirs):
    return pytest.param(mine, theirs, id=name)


CASES = [
    case("StepLR", optim.StepDecay(7, 0.3, **ITERATION), lambda o: scheduler.StepLR(o, 7, 0.3)),
    case("MultiStepLR", optim.StepDecay((5, 20), 0.3, **ITERATION), lambda o: scheduler.MultiStepLR(o, [5, 20], 0.3)),
    case(
        "ExponentialLR",
        optim.ExponentialDecay(-math.log(0.97), **ITERATION),
        lambda o: scheduler.ExponentialLR(o, 0.97),
    ),
    case("LinearLR", optim.LinearDecay(40, 0.1, hold=True), lambda o: scheduler.LinearLR(o, 1.0, 0.1, 40)),
    case(
        "PolynomialLR",
        optim.PolynomialDecay(40, power=2.5, hold=True),
        lambda o: scheduler.PolynomialLR(o, 40, 2.5),
    ),
    case("CosineAnnealingLR", optim.CosineDecay(60, 0.1), lambda o: scheduler.CosineAnnealingLR(o, 60, 0.1)),
    case(
        "LambdaLR",
        optim.FunctionSchedule(lambda i, *_: 0.9 ** (i // 7)),
        lambda o: scheduler.LambdaLR(o, lambda i: 0.9 ** (i // 7)),
    ),
    case(
        "LinearLR-warm-up",
        optim.LinearWarmup(8, start=0.2, **ITERATION),
        lambda o: scheduler.LinearLR(o, 0.2, 1.0, 8),
    ),
    case(
        "ConstantLR",
        optim.ConstantWarmup(8, factor=0.2, **ITERATION),
        lambda o: scheduler.ConstantLR(o, 0.2, 8),
    ),
    case(
        "SequentialLR",
        optim.SequentialSchedule(
            [optim.LinearWarmup(8, start=0.2, **ITERATION), optim.CosineDecay()], [8], **ITERATION
        ),
        lambda o: scheduler.SequentialLR(
            o, [scheduler.LinearLR(o, 0.2, 1.0, 8), scheduler.CosineAnnealingLR(o, 52)], [8]
        ),
    ),
    case(
        "ChainedScheduler",
        optim.ConstantWarmup(8, factor=0.2, **ITERATION) * optim.StepDecay(7, 0.3, **ITERATION),
        lambda o: scheduler.ChainedScheduler([scheduler.ConstantLR(o, 0.2, 8), scheduler.StepLR(o, 7, 0.3)]),
    ),
    *(
        case(
            f"CosineAnnealingWarmRestarts-{T_0}-{T_mult}",
            optim.CosineRestarts(T_0, T_mult, 0.1, **ITERATION),
            lambda o, T_0=T_0, T_mult=T_mult: scheduler.CosineAnnealingWarmRestarts(o, T_0, T_mult, 0.1),
        )
        for T_0, T_mult in ((7, 1), (4, 2), (2, 3))
    ),
    *(
        case(
            f"CyclicLR-{mode}-{down}",
            optim.CyclicRate(5, down, mode, 0.98, minimum=0.2, momentum=(0.8, 0.9)),
            lambda o, mode=mode, down=down: scheduler.CyclicLR(
                o, 0.2, 1.0, 5, down, mode, 0.98, base_momentum=0.8, max_momentum=0.9
            ),
        )
        for mode in ("triangular", "triangular2", "exp_range")
        for down in (None, 9)
    ),
    *(
        case(
            f"OneCycleLR-{anneal}-{three}",
            optim.OneCycle(60, 0.3, anneal, 10, 100, three, (0.8, 0.95)),
            lambda o, anneal=anneal, three=three: scheduler.OneCycleLR(
                o, 1.0, 60, None, None, 0.3, anneal, True, 0.8, 0.95, 10, 100, three
            ),
        )
        for anneal in ("cos", "linear")
        for three in (False, True)
    ),
]


@pytest.mark.parametrize("mine, theirs", CASES)
@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")
def test_rates_and_momenta(mine, theirs):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    schedule, rates, momenta = theirs(optimizer), [], []
    for _ in range(N):
        rates.append(optimizer.param_groups[0]["lr"])
        momenta.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            schedule.step()
    np.testing.assert_allclose(mine.values(N), rates, rtol=0, atol=1e-12)
    if mine.momentum_at(0, N) is not None:
        np.testing.assert_allclose([mine.momentum_at(i, N) for i in range(N)], momenta, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize("cooldown", [0, 3])
def test_plateau(mode, threshold_mode, cooldown):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = scheduler.ReduceLROnPlateau(optimizer, mode, 0.5, 2, 0.01, threshold_mode, cooldown, 0.01, eps=0)
    mine = optim.ReduceOnPlateau("value", 0.5, 2, 0.01, threshold_mode, cooldown, 0.01, mode)
    values = 6 + 0.1 * np.random.default_rng(0).normal(size=200).cumsum()
    assert (values > 0).all()
    for value in values:
        theirs.step(float(value))
        mine.observe({"value": value})
        assert mine(0, 1, 1) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
    assert mine(0, 1, 1) < 1
