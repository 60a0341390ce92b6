"""Schedules against their formulas."""

import math

import numpy as np
import pytest

from fastnet.optim import (
    ConstantLR,
    CosineDecay,
    ExponentialDecay,
    InverseTimeDecay,
    LinearDecay,
    LinearRamp,
    LinearWarmup,
    OneCycle,
    PolynomialDecay,
    StepDecay,
)


def test_per_epoch_holds_the_rate_within_an_epoch():
    schedule = StepDecay(2, 0.5)
    factors = [schedule(i, 24, 4) for i in range(24)]
    assert factors == [1.0] * 8 + [0.5] * 8 + [0.25] * 8


def test_milestones():
    schedule = StepDecay([1, 3], 0.1, per="iteration")
    assert [schedule(i) for i in range(5)] == pytest.approx([1, 0.1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize("i", [0, 1, 17, 100])
def test_formulas_per_iteration(i):
    assert ConstantLR()(i, 100, 10) == 1
    assert ExponentialDecay(0.1, per="iteration")(i) == pytest.approx(math.exp(-0.1 * i), rel=1e-15)
    assert InverseTimeDecay(0.1, per="iteration")(i) == pytest.approx(1 / (1 + 0.1 * i), rel=1e-15)
    assert CosineDecay()(i, 100) == pytest.approx((1 + math.cos(math.pi * i / 100)) / 2, abs=1e-15)
    assert CosineDecay(200, minimum=0.1)(i) == pytest.approx(0.1 + 0.45 * (1 + math.cos(math.pi * i / 200)))
    assert LinearDecay()(i, 100) == pytest.approx(1 - i / 100)
    assert PolynomialDecay(power=3, minimum=0.1)(i, 100) == pytest.approx(0.1 + 0.9 * (1 - i / 100) ** 3)
    assert LinearRamp()(i, 100) == pytest.approx(0.5 + 0.49 * i / 100)


def test_per_epoch_formulas():
    assert ExponentialDecay(0.3)(25, None, 10) == pytest.approx(math.exp(-0.6))
    assert InverseTimeDecay(0.3)(29, None, 10) == pytest.approx(1 / 1.6)
    assert CosineDecay(per="epoch")(25, 100, 10) == pytest.approx((1 + math.cos(math.pi * 0.2)) / 2)
    assert CosineDecay(4, per="epoch")(25, 100, 10) == pytest.approx(0.5)


def test_smooth_time_runs_on_within_an_epoch():
    assert ExponentialDecay(0.3, smooth=True)(25, None, 10) == pytest.approx(math.exp(-0.3 * 2.5))
    assert [CosineDecay(4, per="epoch", smooth=True)(i, 40, 10) for i in range(40)] == pytest.approx(
        [CosineDecay(40)(i) for i in range(40)]
    )


@pytest.mark.parametrize("kind", [CosineDecay, LinearDecay, PolynomialDecay, LinearRamp, OneCycle])
def test_past_the_end_is_an_error_or_the_last_value(kind):
    schedule, held = kind(total=10), kind(total=10, hold=True)
    assert held(10) == schedule(10) == held(500)
    with pytest.raises(ValueError, match=f"{kind.__name__} ends after 10 iterations, and 11 are done; give a longer"):
        schedule(11)
    with pytest.raises(ValueError, match="ends after 10 epochs, and 11 are done"):
        kind(total=10, per="epoch")(44, 100, 4)
    assert kind(total=10, per="epoch")(43, 100, 4) == kind(total=10, per="epoch")(40, 100, 4)
    with pytest.raises(ValueError, match="ends after 30 iterations"):
        kind()(31, 30)  # a longer run than was said
    assert [kind()(i, 30) for i in range(30)] == [kind(total=30)(i) for i in range(30)]


def test_warmup_argument_and_wrapper_agree():
    argument = StepDecay((2, 3), warmup=1.5)
    wrapper = LinearWarmup(1.5, StepDecay((2, 3)))
    factors = [argument(i, 16, 4) for i in range(16)]
    assert factors == [wrapper(i, 16, 4) for i in range(16)]
    assert factors[:8] == pytest.approx([(i + 1) / 6 for i in range(6)] + [1, 1])
    assert factors[8:] == pytest.approx([0.1] * 4 + [0.01] * 4)


def test_wrapper_has_units_of_its_own():
    schedule = LinearWarmup(4, CosineDecay(), per="iteration")
    assert [schedule(i, 100, 10) for i in range(6)] == pytest.approx(
        [min(1, (i + 1) / 4) * (1 + math.cos(math.pi * i / 100)) / 2 for i in range(6)]
    )


def test_pure_and_comparable():
    assert StepDecay(3) == StepDecay(3) != StepDecay(4)
    assert CosineDecay()(7, 9) == CosineDecay()(7, 9)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: StepDecay(0), "every must be > 0, got 0"),
        (lambda: StepDecay((5, -1)), "every"),
        (lambda: StepDecay(1, factor=-1), "factor"),
        (lambda: ExponentialDecay(-1), "k must be >= 0"),
        (lambda: InverseTimeDecay(float("nan")), "k must be"),
        (lambda: CosineDecay(0), "total must be > 0"),
        (lambda: ConstantLR(per="step"), "'epoch' or 'iteration', got 'step'"),
        (lambda: ConstantLR(warmup=-2), "warmup"),
        (lambda: LinearWarmup(0), "length"),
        (lambda: LinearWarmup(3, warmup=3), "first argument"),
        (lambda: CosineDecay()(3), "give total"),
        (lambda: StepDecay(3)(3), "iterations_per_epoch"),
        (lambda: ConstantLR()(-1, 1, 1), "iteration must be >= 0"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("kind", [np.int8, np.int64, np.uint16, np.float32, np.float64, np.array])
def test_numpy_numbers_are_numbers(kind):
    """Also in repr, which checkpoints compare."""
    made = [
        lambda n: StepDecay(n(2), n(1)),
        lambda n: StepDecay([n(2), n(3)], per="iteration"),
        lambda n: StepDecay(np.array([2, 3])) if n is kind else StepDecay((2, 3)),
        lambda n: ExponentialDecay(n(1)),
        lambda n: InverseTimeDecay(n(2), warmup=n(3)),
        lambda n: LinearDecay(n(12), minimum=n(1)),
        lambda n: CosineDecay(total=n(12)),
        lambda n: LinearWarmup(n(3), StepDecay(n(2))),
    ]
    plain = float if kind in (np.float32, np.float64) else int
    for make in made:
        assert repr(make(kind)) == repr(make(plain))
        assert [make(kind)(np.int64(i), 12, np.int32(4)) for i in range(12)] == [
            make(plain)(i, 12, 4) for i in range(12)
        ]


@pytest.mark.parametrize("wrong", ["2", None, True, np.bool_(True), [[1]], 2j, np.array(["2"])])
def test_what_is_not_a_number_is_refused(wrong):
    for make in (StepDecay, ExponentialDecay, LinearWarmup, lambda w: CosineDecay(minimum=w)):
        with pytest.raises(TypeError, match="must be a finite number, got"):
            make(wrong)
