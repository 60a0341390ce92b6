"""Optimiser updates of every backend, dtype and instruction set against their formulas."""

from __future__ import annotations

import cases
import numpy as np
import oracle
import pytest

# op, the oracle's function, how many arrays of state, settings
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
    ("rmsprop", 1, {"lr": 0.1, "decay_rate": 0.9, "eps": 1e-3, "weight_decay": 0.2}),
    ("adam", 2, {"lr": 0.1}),
    ("adam", 2, {"lr": 0.1, "beta1": 0.8, "beta2": 0.99, "eps": 1e-3, "weight_decay": 0.2}),
    ("adam", 2, {"lr": 0.1, "weight_decay": 0.2, "decoupled": True}),
]
SIZES = [(1,), (3,), (17,), (4, 5, 3, 3), (0,), (8193,)]


def label(step):
    return step[0] + "".join(f"-{name}{value}" for name, value in step[2].items())


def state_for(step, shape, dtype):
    """Non-negative state, as sums of squares are."""
    return [abs(cases.normal(shape, dtype, 10 + i)) for i in range(step[1])]


def call(ops, step, w, g, state, t):
    name, count, settings = step
    arguments = [None] if name == "sgd" and count == 0 else list(state)
    if name == "adam":
        arguments.append(t)
    result = getattr(ops, name + "_step")(w, g, *arguments, **settings)
    assert result is None


def expected_of(step, w, g, state, t):
    name, count, settings = step
    arguments = [None] if name == "sgd" and count == 0 else [array.astype(np.longdouble) for array in state]
    if name == "adam":
        arguments.append(t)
    new, *states = getattr(oracle, name)(w.astype(np.longdouble), g.astype(np.longdouble), *arguments, **settings)
    return new, states[:count]


@pytest.mark.parametrize("shape", SIZES, ids=str)
@pytest.mark.parametrize("step", STEPS, ids=label)
def test_a_step(ops, dtype, step, shape):
    w, g, state = cases.normal(shape, dtype), cases.normal(shape, dtype, 1), state_for(step, shape, dtype)
    for t in (1, 2, 1000):
        kept = w.copy(), g.copy()
        expected, states = expected_of(step, w, g, state, t)
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
def test_many_steps_stay_close(ops, dtype, step):
    """Thirty steps down w - target from zero state; adaptive rates magnify what rounding differs near the target."""
    w, target = cases.normal((20, 3), dtype), cases.normal((20, 3), np.float64, 1)
    state = [np.zeros_like(w) for _ in range(step[1])]
    wide, wide_state = w.astype(np.longdouble), [array.astype(np.longdouble) for array in state]
    for t in range(1, 31):
        new, wide_state = expected_of(step, wide, wide - target, wide_state, t)
        call(ops, step, w, (w - target).astype(dtype), state, t)
        wide = new
    np.testing.assert_allclose(w, wide.astype(np.float64), rtol=0, atol=20000 * np.finfo(dtype).eps)


@pytest.mark.parametrize("step", STEPS, ids=label)
def test_each_element_is_on_its_own(native, dtype, step):
    """The same bits wherever an element lies: at a vector's start, in a tail, in another block."""
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
    for how in ("read-only", "every-other"):
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
