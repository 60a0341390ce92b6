"""Optimiser steps of every backend, dtype and instruction set: closed forms, sequences by hand, properties."""

from __future__ import annotations

import cases
import numpy as np
import oracle_optim
import pytest

# op and the oracle's function, number of state arrays, settings
STEPS = [
    ("sgd", 0, {"lr": 0.1}),
    ("sgd", 0, {"lr": 0.1, "weight_decay": 0.3}),
    ("sgd", 1, {"lr": 0.1, "momentum": 0.9}),
    ("sgd", 1, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("sgd", 1, {"lr": 0.1, "momentum": 0.8, "dampening": 0.5, "weight_decay": 0.2}),
    ("sgd", 1, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.2}),
    ("sgd", 1, {"lr": 0.1, "momentum": 0.0}),
    ("adagrad", 1, {"lr": 0.1}),
    ("adagrad", 1, {"lr": 0.1, "eps": 1e-3, "weight_decay": 0.2}),
    ("rmsprop", 1, {"lr": 0.1}),
    ("rmsprop", 1, {"lr": 0.1, "alpha": 0.9, "eps": 1e-3, "weight_decay": 0.2}),
    ("adam", 2, {"lr": 0.1}),
    ("adam", 2, {"lr": 0.1, "beta1": 0.8, "beta2": 0.99, "eps": 1e-3, "weight_decay": 0.2}),
    ("adam", 2, {"lr": 0.1, "weight_decay": 0.2, "decoupled": True}),
]
LENGTHS = {"sgd": 1, "adagrad": 1, "rmsprop": 3, "adam": 3}  # arrays of state, with those that may be None
SIZES = [(1,), (3,), (17,), (4, 5, 3, 3), (0,), (8193,)]


def label(step):
    return step[0] + "".join(f"-{name}{value}" for name, value in step[2].items())


def state_for(step, shape, dtype):
    """Non-negative state, as sums of squares are."""
    return [abs(cases.normal(shape, dtype, 10 + i)) for i in range(step[1])]


def call(ops, step, w, g, state, t):
    name, count, settings = step
    arguments = list(state) + [None] * (LENGTHS[name] - count)
    if name == "adam":
        arguments.append(t)
    result = getattr(ops, name + "_step")(w, g, *arguments, **settings)
    assert result is None


def expected_of(step, w, gradients, state, t=1):
    """The weight and the state after all of `gradients`, of which the first is that of step `t`."""
    name, count, settings = step
    given = None if count == 0 else state if name == "adam" else state[0]
    new, *states = getattr(oracle_optim, name)(w, gradients, given, **settings, **({"t": t} if name == "adam" else {}))
    return new, states[:count]


@pytest.mark.parametrize("shape", SIZES, ids=str)
@pytest.mark.parametrize("step", STEPS, ids=label)
def test_a_step(ops, dtype, step, shape):
    w, g, state = cases.normal(shape, dtype), cases.normal(shape, dtype, 1), state_for(step, shape, dtype)
    for t in (1, 2, 1000):
        kept = w.copy(), g.copy()
        expected, states = expected_of(step, w, [g], state, t)
        call(ops, step, w, g, state, t)
        np.testing.assert_array_equal(g, kept[1])
        moved = abs(expected - kept[0])
        # settings are rounded to the dtype once: a few units relative to the weight and to the step; Adam's
        # 1 - beta2^t, in float64 everywhere, has lost the digits that it loses
        u = np.finfo(dtype).eps / 2
        lost = 2.0**-53 / (1 - step[2].get("beta2", 0.999)) if step[0] == "adam" else 0
        assert (abs(w - expected) <= 4 * u * abs(kept[0]) + (16 * u + lost) * (moved + 0.3 * abs(kept[1]))).all()
        for array, wanted in zip(state, states, strict=True):
            assert (abs(array - wanted) <= 8 * u * (abs(wanted) + abs(kept[1]) + abs(kept[0]))).all()


@pytest.mark.parametrize("step", STEPS, ids=label)
def test_thirty_steps_from_zero_state(ops, dtype, step):
    w, gradients = cases.normal((20, 3), dtype), cases.normal((30, 20, 3), dtype, 1)
    state = [np.zeros_like(w) for _ in range(step[1])]
    expected, states = expected_of(step, w, list(gradients), [array.copy() for array in state])
    for t, g in enumerate(gradients, 1):
        call(ops, step, w, g, state, t)
    for got, wanted in zip((w, *state), (expected, *states), strict=True):
        np.testing.assert_allclose(got, wanted.astype(np.float64), rtol=0, atol=100 * np.finfo(dtype).eps)


# op, settings, the first weight, gradients, the weight after each: worked out by hand, from zero state
BY_HAND = [
    ("sgd", {"lr": 0.5}, 0, [2, -4, 1], [-1, 1, 0.5]),
    ("sgd", {"lr": 0.5, "weight_decay": 0.5}, 1, [0, 0, 1], [0.75, 0.5625, -0.078125]),
    ("sgd", {"lr": 1, "momentum": 0.5}, 0, [1, 1, 1], [-1, -2.5, -4.25]),  # velocities 1, 1.5, 1.75
    ("sgd", {"lr": 1, "momentum": 0.5, "dampening": 0.5}, 0, [4, 0, 8], [-2, -3, -7.5]),  # 2, 1, 4.5
    ("sgd", {"lr": 1, "momentum": 0.5, "nesterov": True}, 0, [1, 1, 1], [-1.5, -3.25, -5.125]),  # 1, 1.5, 1.75
    ("sgd", {"lr": 1, "momentum": 0.5, "weight_decay": 0.5}, 2, [1, 1], [0, -2]),  # 2, 1 + 1
    ("adagrad", {"lr": 1}, 0, [3, 4, -12], [-1, -1.8, -1.8 + 12 / 13]),  # lengths 3, 5, 13
    ("adagrad", {"lr": 1, "eps": 1}, 0, [3, 4], [-3 / 4, -3 / 4 - 4 / 6]),
    ("adagrad", {"lr": 1, "weight_decay": 0.5}, 8, [-1, 0.5], [7, 6.2]),  # 3, 4: lengths 3, 5
    ("rmsprop", {"lr": 1, "alpha": 0.75}, 0, [2, 1, -11], [-2, -3, -3 + 11 / 31**0.5]),  # mean squares 1, 1, 31
    ("rmsprop", {"lr": 1, "alpha": 0.75, "eps": 1}, 0, [2, 1], [-1, -1.5]),
    ("rmsprop", {"lr": 1, "alpha": 0.75, "weight_decay": 1}, 3, [-1, 0], [1, 0]),  # 2, 1
    ("adam", {"lr": 1, "beta1": 0.5, "beta2": 0.75}, 0, [7, 7, 7], [-1, -2, -3]),
    ("adam", {"lr": 1, "beta1": 0.5, "beta2": 0.5}, 0, [3, 0], [-1, -1 - 1 / 3**0.5]),  # means 3, 1; of squares 9, 3
    ("adam", {"lr": 1, "beta1": 0.5, "beta2": 0.75, "eps": 1}, 0, [3, 3], [-3 / 4, -3 / 2]),
    ("adam", {"lr": 0.1, "weight_decay": 0.5}, 1, [0, 0.05], [0.9, 0.8]),  # 0.5, 0.5
    ("adam", {"lr": 0.1, "weight_decay": 0.5, "decoupled": True}, 1, [3, 3], [0.85, 0.7075]),  # 0.95 w - 0.1
]


@pytest.mark.parametrize("name, settings, start, gradients, weights", BY_HAND)
def test_steps_worked_out_by_hand(ops, dtype, name, settings, start, gradients, weights):
    step = (name, {"adam": 2}.get(name, int(name != "sgd" or "momentum" in settings)), settings)
    w, state = np.full(3, start, dtype), [np.zeros(3, dtype) for _ in range(step[1])]
    wide = [np.full(3, g, np.longdouble) for g in gradients]
    close = {"rtol": 2e-7, "atol": 2e-7}  # the default eps is 1e-7 at most
    for t, expected in enumerate(weights, 1):
        call(ops, step, w, np.full(3, gradients[t - 1], dtype), state, t)
        np.testing.assert_allclose(w, expected, **close)
        by_oracle, _ = expected_of(step, np.full(3, start), wide[:t], [np.zeros(3)] * step[1])
        np.testing.assert_allclose(by_oracle.astype(float), expected, **close)


def test_the_first_step_of_adam_is_the_rate_whatever_the_gradient(ops, dtype):
    g = cases.normal((100,), dtype) * np.logspace(-3, 3, 100).astype(dtype)
    for settings in ({}, {"beta1": 0.5, "beta2": 0.3}, {"decoupled": True, "weight_decay": 0.9}):
        w, m, v = (np.zeros(100, dtype) for _ in range(3))
        ops.adam_step(w, g, m, v, None, 1, lr=0.25, eps=1e-30, **settings)
        np.testing.assert_allclose(w, -0.25 * np.sign(g), rtol=1e-5)


def test_steps_under_a_constant_gradient(ops, dtype):
    """Adagrad slows down like 1/sqrt(t), Adam keeps the rate, momentum reaches lr*g*(1 - dampening)/(1 - momentum)."""
    g = np.array([1e-2, 3.0, -40.0], dtype)
    sgd, adagrad, rmsprop, adam = (np.zeros(3, dtype) for _ in range(4))
    velocity, squares, mean_squares, m, v = (np.zeros(3, dtype) for _ in range(5))
    for t in range(1, 101):
        before = sgd.copy(), adagrad.copy(), rmsprop.copy(), adam.copy()
        ops.sgd_step(sgd, g, velocity, 1.0, momentum=0.75, dampening=0.5)
        ops.adagrad_step(adagrad, g, squares, 1.0, eps=1e-30)
        ops.rmsprop_step(rmsprop, g, mean_squares, None, None, 1.0, alpha=0.75, eps=1e-30)
        ops.adam_step(adam, g, m, v, None, t, 1.0, eps=1e-30)
        steps = [old - new for old, new in zip(before, (sgd, adagrad, rmsprop, adam), strict=True)]
        for got, size in zip(steps[1:], (t**-0.5, (1 - 0.75**t) ** -0.5, 1.0), strict=True):
            np.testing.assert_allclose(got, size * np.sign(g), rtol=2e-4)
    np.testing.assert_allclose(steps[0], g * 0.5 / 0.25, rtol=1e-3)


@pytest.mark.parametrize("step", STEPS, ids=label)
def test_each_element_is_on_its_own(native, dtype, step):
    """The same bits at any position: at a vector's start, in a tail, in another block."""
    w, g, state = cases.normal((9001,), dtype), cases.normal((9001,), dtype, 1), state_for(step, (9001,), dtype)
    whole, whole_state = w.copy(), [array.copy() for array in state]
    call(native, step, whole, g, whole_state, 3)
    for start, stop in ((0, 1), (5, 38), (100, 131), (8190, 8195), (8999, 9001)):
        piece, piece_state = w[start:stop].copy(), [array[start:stop].copy() for array in state]
        call(native, step, piece, g[start:stop].copy(), piece_state, 3)
        np.testing.assert_array_equal(piece, whole[start:stop])
        for got, wanted in zip(piece_state, whole_state, strict=True):
            np.testing.assert_array_equal(got, wanted[start:stop])


@pytest.mark.parametrize("how", [how for how in cases.HOSTILE if how not in ("byte-swapped", "read-only")])
@pytest.mark.parametrize("step", [STEPS[3], STEPS[8], STEPS[12]], ids=label)
def test_hostile_arrays_are_updated_where_they_lie(ops, step, how):
    shape, dtype = (4, 5, 3, 2), np.dtype(np.float32)
    w, g, state = cases.normal(shape, dtype), cases.normal(shape, dtype, 1), state_for(step, shape, dtype)
    odd_w, odd_g = cases.HOSTILE[how](w), cases.HOSTILE[how](g)
    odd_state = [cases.HOSTILE[how](array) for array in state]
    call(ops, step, odd_w, odd_g, odd_state, 2)
    np.testing.assert_array_equal(odd_g, g)
    call(ops, step, w, g, state, 2)
    np.testing.assert_array_equal(odd_w, w)
    for odd, array in zip(odd_state, state, strict=True):
        np.testing.assert_array_equal(odd, array)


@pytest.mark.parametrize("step", [STEPS[0], STEPS[2], STEPS[7], STEPS[9], STEPS[11]], ids=label)
def test_a_hostile_gradient_may_be_read_only_or_broadcast(ops, step):
    shape, dtype = (4, 5, 3, 2), np.dtype(np.float32)
    for odd_g in (cases.broadcast(shape, dtype), cases.HOSTILE["read-only"](cases.normal(shape, dtype, 1))):
        w, state = cases.normal(shape, dtype), state_for(step, shape, dtype)
        twin, twin_state = w.copy(), [array.copy() for array in state]
        call(ops, step, w, odd_g, state, 2)
        call(ops, step, twin, odd_g.copy(), twin_state, 2)
        np.testing.assert_array_equal(w, twin)


@pytest.mark.parametrize("step", STEPS, ids=label)
def test_what_cannot_be_updated_is_refused(ops, step):
    shape, dtype = (4, 5), np.dtype(np.float32)
    w, g, state = cases.normal(shape, dtype), cases.normal(shape, dtype, 1), state_for(step, shape, dtype)
    kept = w.copy()
    with pytest.raises(TypeError, match="one dtype"):
        call(ops, step, w, g.astype(np.float64), state, 1)
    with pytest.raises(TypeError, match="float32"):
        call(ops, step, w.astype(">f4"), g.astype(">f4"), [array.astype(">f4") for array in state], 1)
    with pytest.raises(ValueError, match=r"must have shape \(4, 5\)"):
        call(ops, step, w, g[:1], state, 1)
    if state:
        with pytest.raises(ValueError, match=r"must have shape \(4, 5\)"):
            call(ops, step, w, g, [array[:, :1] for array in state], 1)
        with pytest.raises(TypeError, match="one dtype"):
            call(ops, step, w, g, [array.astype(np.float64) for array in state], 1)
    np.testing.assert_array_equal(w, kept)
    for how in ("read-only", "every-other") if ops.name != "cupy" else ():  # CuPy's arrays are never read-only
        frozen = cases.HOSTILE[how](w)
        frozen.flags.writeable = False
        with pytest.raises((ValueError, BufferError), match="read-only|readonly|writable"):
            call(ops, step, frozen, g, state, 1)
        np.testing.assert_array_equal(frozen, kept)


@pytest.mark.parametrize("step", STEPS, ids=label)
def test_nan_stays_in_its_element(ops, dtype, step):
    w, g, state = cases.normal((40,), dtype), cases.normal((40,), dtype, 1), state_for(step, (40,), dtype)
    g[17] = np.nan
    call(ops, step, w, g, state, 1)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(w)), [17])
