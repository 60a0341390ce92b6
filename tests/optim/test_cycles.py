"""Cyclic schedules, warm-ups, compositions, plateaus and pictures, against formulas."""

import math

import numpy as np
import pytest

from fastnet.optim import (
    ConstantLR,
    ConstantWarmup,
    CosineDecay,
    CosineRestarts,
    CyclicRate,
    FunctionSchedule,
    LinearRamp,
    LinearWarmup,
    OneCycle,
    ProductSchedule,
    ReduceOnPlateau,
    SequentialSchedule,
    StepDecay,
    WithMomentum,
)


def test_restarts_by_the_papers_formula():
    """T_0 = 1, T_mult = 2 restarts after epochs 1, 3, 7; each cycle starts at half the peak of the last."""
    schedule, per_epoch = CosineRestarts(1, 2, minimum=0.01, decay=0.5), 8
    for start, length, peak in ((0, 1, 1.0), (1, 2, 0.5), (3, 4, 0.25), (7, 8, 0.125)):
        for i in range(length * per_epoch):
            expected = 0.01 + (peak - 0.01) * (1 + math.cos(math.pi * i / (length * per_epoch))) / 2
            assert schedule(start * per_epoch + i, None, per_epoch) == pytest.approx(expected, abs=1e-12)
    assert CosineRestarts(1, 2, smooth=False)(7, None, 8) == 1


def test_ends_of_cycles():
    def ends(schedule, *position):
        return [i for i in range(60) if schedule.ends_cycle(i, *position)]

    assert ends(CosineRestarts(1, 2), None, 8) == [7, 23, 55]
    assert ends(CosineRestarts(20, per="iteration"), 60) == [19, 39, 59]
    assert ends(CyclicRate(4, 8)) == [11, 23, 35, 47, 59]
    assert ends(CosineDecay(), 60) == ends(StepDecay(2), 60, 5) == []
    warm = SequentialSchedule([LinearRamp(0.1, 1), CosineRestarts(20, per="iteration")], [5], per="iteration")
    assert ends(warm, 60) == [24, 44]
    assert ends(LinearWarmup(1, ConstantLR() * CosineRestarts(3)), 60, 10) == [29, 59]


def test_triangles():
    """Smith's code: cycle = floor(1 + i/(2*step)); x = |i/step - 2*cycle + 1|; low + (high - low)*max(0, 1 - x)."""
    for mode in ("triangular", "triangular2", "exp_range"):
        schedule = CyclicRate(7, mode=mode, gamma=0.98, minimum=0.2, momentum=(0.8, 0.9))
        for i in range(60):
            cycle = math.floor(1 + i / 14)
            height = max(0, 1 - abs(i / 7 - 2 * cycle + 1))
            height *= {"triangular": 1, "triangular2": 1 / 2 ** (cycle - 1), "exp_range": 0.98**i}[mode]
            assert schedule(i) == pytest.approx(0.2 + 0.8 * height, abs=1e-12)
            assert schedule.momentum_at(i) == pytest.approx(0.9 - 0.1 * height, abs=1e-12)


def test_one_cycle_rises_and_falls_with_the_momentum_against_it():
    schedule = OneCycle(pct_start=0.25, momentum=(0.85, 0.95))
    rates = schedule.values(100)
    momenta = np.array([schedule.momentum_at(i, 100) for i in range(100)])
    top = int(rates.argmax())
    assert top == 24 and rates[0] == pytest.approx(0.04) and rates[-1] == pytest.approx(4e-6)
    assert (np.diff(rates[: top + 1]) > 0).all() and (np.diff(rates[top:]) < 0).all()
    assert momenta.argmin() == top and momenta[[0, -1]] == pytest.approx([0.95, 0.95]) and momenta.min() >= 0.85
    in_epochs = OneCycle(pct_start=0.25, per="epoch", smooth=True)
    assert [in_epochs(i, 100, 10) for i in range(100)] == pytest.approx(
        [OneCycle(pct_start=0.25)(i, 100) for i in range(100)]
    )


def test_warm_ups():
    step = StepDecay(20, per="iteration")
    held = ConstantWarmup(5, step, factor=0.2, per="iteration")
    ramp = LinearWarmup(5, step, start=0.2, per="iteration")
    for i in range(40):
        assert held(i) == pytest.approx((0.2 if i < 5 else 1) * step(i))
        assert ramp(i) == pytest.approx((0.2 + 0.8 * min(i / 5, 1)) * step(i))


def test_a_sequence_gives_each_part_its_own_time_and_length():
    schedule = SequentialSchedule([LinearRamp(0.1, 1), CosineDecay(), lambda i, total, epoch: i + total], [2, 5])
    values = [schedule(i, 32, 4) for i in range(32)]
    assert values[:8] == pytest.approx([0.1 + 0.9 * i / 8 for i in range(8)])
    assert values[8:20] == pytest.approx([(1 + math.cos(math.pi * i / 12)) / 2 for i in range(12)])
    assert values[20:] == [i + 12 for i in range(12)]


def test_products():
    product = CosineDecay() * StepDecay(10, per="iteration") * (lambda i, total, epoch: 2.0)
    for i in range(30):
        assert product(i, 30) == pytest.approx(2 * CosineDecay()(i, 30) * StepDecay(10, per="iteration")(i))
    assert ProductSchedule([ConstantLR(0.5)], warmup=2)(0, 10, 4) == pytest.approx(0.5 / 8)


def test_momentum_of_compositions():
    ramp = WithMomentum(StepDecay(3), LinearRamp(0.5, 0.99))
    assert ramp(17, 20, 4) == StepDecay(3)(17, 20, 4) and ramp.momentum_at(10, 20, 4) == pytest.approx(0.745)
    assert CosineDecay().momentum_at(3, 20, 4) is None
    cycle = OneCycle(20, momentum=(0.8, 0.9))
    assert LinearWarmup(2, cycle, per="iteration").momentum_at(7) == cycle.momentum_at(7)
    assert (cycle * ConstantLR()).momentum_at(7) == cycle.momentum_at(7)
    assert SequentialSchedule([ConstantLR(), cycle], [4], per="iteration").momentum_at(9) == cycle.momentum_at(5)
    for twice in (cycle * ramp, WithMomentum(cycle, ramp)):
        with pytest.raises(ValueError, match="momentum"):
            twice.momentum_at(1, 20, 4)


def test_plateau():
    schedule = ReduceOnPlateau("val_accuracy", factor=0.5, patience=1, threshold=0.01, cooldown=2, minimum=0.2)
    factors = []
    #           best  bad  better  bad  bad: 0.5, then two epochs are let pass
    for value in (0.5, 0.502, 0.51, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4):
        schedule.observe({"val_accuracy": value})
        factors.append(schedule(0, 1, 1))
    assert factors == [1] * 4 + [0.5] * 4 + [0.25] * 4 + [0.2] * 3


def test_plateaus_with_nan_and_without_the_column():
    schedule = ReduceOnPlateau(patience=0, factor=0.5)
    schedule.observe({"val_loss": float("nan")})
    assert schedule(0, 1, 1) == 0.5 and schedule.state_dict()["best"] is None
    with pytest.raises(ValueError, match=r"monitor='val_loss' is not among the epoch's results, \['loss'\]"):
        schedule.observe({"loss": 1.0})


def test_state_of_a_plateau_inside_others_goes_on():
    def make():
        part = SequentialSchedule([ConstantLR(), ReduceOnPlateau(patience=1)], [2])
        return LinearWarmup(1, ConstantLR() * part)

    losses, first = [3, 2, 2, 2, 2, 1, 1, 1, 1, 1], make()
    assert first.monitors == {"val_loss"}

    def run(schedule, epochs):
        found = []
        for epoch in epochs:
            found.append(schedule(4 * epoch + 3, 40, 4))
            schedule.observe({"val_loss": losses[epoch]})
        return found

    whole, second = run(make(), range(10)), make()
    head = run(first, range(5))
    second.load_state_dict(first.state_dict())
    assert head + run(second, range(5, 10)) == whole
    assert whole == pytest.approx([1] * 5 + [0.1] * 3 + [0.01] * 2)  # it counts from epoch 3, when it begins
    assert first == make() and repr(first) == repr(make())


def test_a_function_is_a_schedule():
    def halves(i, total, per_epoch):
        return 0.5**i

    schedule = FunctionSchedule(halves)
    assert schedule(3) == 0.125 and repr(schedule) == "halves" and schedule.monitors == set()
    assert schedule.values(3).tolist() == [1, 0.5, 0.25]


@pytest.mark.parametrize("wrong", [float("nan"), -1.0, "a", None])
def test_what_is_no_factor_is_not_a_value(wrong):
    def schedule(i, total, per_epoch):
        return wrong

    with pytest.raises((ValueError, TypeError), match="schedule: a factor must be"):
        FunctionSchedule(schedule).values(3)


def test_repr_is_a_call_without_defaults():
    assert repr(CosineRestarts(5, minimum=0.1)) == "CosineRestarts(T_0=5, minimum=0.1)"
    assert repr(LinearWarmup(5, StepDecay(3), per="iteration")) == (
        "LinearWarmup(length=5, schedule=StepDecay(every=3), per='iteration')"
    )
    assert repr(CyclicRate(5) * ConstantLR()) == "ProductSchedule(schedules=(CyclicRate(up=5), ConstantLR()))"


def test_values_and_picture(tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    schedule = OneCycle(momentum=(0.85, 0.95))
    figure = schedule.plot(40, 8, lr=0.3, path=tmp_path / "one.png")
    rate, momentum = figure.axes
    assert rate.lines[0].get_ydata() == pytest.approx(0.3 * schedule.values(40))
    assert rate.lines[0].get_xdata()[8] == 1 and rate.get_xlabel() == "epoch"
    assert momentum.lines[0].get_ydata() == pytest.approx([schedule.momentum_at(i, 40) for i in range(40)])
    assert (tmp_path / "one.png").stat().st_size > 5000
    axes = Figure().subplots()
    for other in (CosineDecay(), ConstantLR(0.5, per="iteration")):
        assert other.plot(40, axes=axes) is axes.figure
    assert [line.get_label() for line in axes.lines] == ["CosineDecay()", "ConstantLR(factor=0.5, per='iteration')"]
    assert axes.get_xlabel() == "iteration"


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: CosineRestarts(0), ValueError, "T_0 must be > 0, got 0"),
        (lambda: CosineRestarts(3, 0.5), ValueError, "T_mult must be >= 1, got 0.5"),
        (lambda: CyclicRate(3, mode="saw"), ValueError, "triangular, triangular2 or exp_range, got 'saw'"),
        (lambda: CyclicRate(3, momentum=0.9), TypeError, "momentum must be a pair"),
        (lambda: CyclicRate(3, momentum=(0.9, 0.8)), ValueError, "low <= high < 1"),
        (lambda: OneCycle(pct_start=1.5), ValueError, "pct_start must be <= 1"),
        (lambda: OneCycle(pct_start=0.7, three_phase=True), ValueError, "pct_start"),
        (lambda: OneCycle(anneal="square"), ValueError, "anneal must be 'cos' or 'linear', got 'square'"),
        (lambda: OneCycle(momentum=(0.9, 1)), ValueError, "low <= high < 1"),
        (lambda: ReduceOnPlateau(factor=1), ValueError, "factor must be between 0 and 1, got 1"),
        (lambda: ReduceOnPlateau(patience=-1), ValueError, "patience"),
        (lambda: ReduceOnPlateau(mode="up"), ValueError, "mode must be one of min, max, auto, got 'up'"),
        (lambda: ReduceOnPlateau(3), TypeError, "monitor must be a column"),
        (lambda: ReduceOnPlateau().values(5, 1), ValueError, "depend on val_loss, so they are known only after"),
        (lambda: SequentialSchedule([], []), TypeError, "at least one schedule"),
        (lambda: SequentialSchedule([ConstantLR()], [1]), ValueError, "1 schedules need 0 milestones"),
        (lambda: SequentialSchedule([ConstantLR()] * 3, [4, 4]), ValueError, "each later than the last"),
        (lambda: SequentialSchedule([ConstantLR()] * 2, 4), TypeError, "milestones must be a sequence"),
        (lambda: SequentialSchedule([ConstantLR(), 3], [4]), TypeError, "each of schedules must be a Schedule"),
        (lambda: ProductSchedule(ConstantLR()), TypeError, "schedules must be a list"),
        (lambda: ConstantLR() * 3, TypeError, "unsupported operand"),
        (lambda: WithMomentum(ConstantLR(), 0.9), TypeError, "momentum must be a Schedule"),
        (lambda: FunctionSchedule(CosineDecay), TypeError, "function must be callable"),
        (lambda: ConstantWarmup(3, CosineDecay), TypeError, "must be a Schedule, or a function like one"),
        (lambda: CosineDecay().values(0), ValueError, "total must be an integer"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()
