"""Updates of many parameters in one launch: the CPU's bits, in any mixture of lengths."""

import numpy as np
import pytest

from fastnet.backends import NativeOps, Ops
from fastnet.ops import REGISTRY

SIZES = (1, 7, 1024, 0, 1025, 2500)
ADAM = {"lr": 0.01, "weight_decay": 0.1, "beta1": 0.8}
NADAM = {**ADAM, "mu": 0.8, "next_mu": 0.85, "product": 0.5}
CASES = {  # op, attributes, the optional arrays that are there
    "sgd": ("sgd_step", {"lr": 0.1, "weight_decay": 0.01}, ()),
    "momentum": ("sgd_step", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}, ("velocity",)),
    "nesterov": ("sgd_step", {"lr": 0.1, "momentum": 0.9, "nesterov": True}, ("velocity",)),
    "of steps": ("sgd_step", {"lr": 0.1, "momentum": 0.9, "of_steps": True, "nesterov": True}, ("velocity",)),
    "of no steps": ("sgd_step", {"lr": 0.1, "of_steps": True}, ()),
    "adagrad": ("adagrad_step", {"lr": 0.1, "weight_decay": 0.2}, ()),
    "adagrad, eps inside": ("adagrad_step", {"lr": 0.1, "eps": 1e-3, "eps_inside": True}, ()),
    "rmsprop": ("rmsprop_step", {"lr": 0.1, "alpha": 0.9, "weight_decay": 0.2}, ()),
    "rmsprop, all": ("rmsprop_step", {"lr": 0.1, "momentum": 0.7, "eps": 1e-3}, ("mean", "velocity")),
    "adadelta": ("adadelta_step", {"lr": 1.0, "weight_decay": 0.2}, ()),
    "adam": ("adam_step", {"t": 1, **ADAM}, ()),
    "adam, uncorrected": ("adam_step", {"t": 5, "bias_correction": False, "eps_inside": True, **ADAM}, ()),
    "amsgrad, decoupled": ("adam_step", {"t": 2, "decoupled": True, **ADAM}, ("largest",)),
    "nadam": ("nadam_step", {"t": 2, **NADAM}, ()),
    "nadam, decoupled": ("nadam_step", {"t": 1, "decoupled": True, **NADAM}, ()),
    "average": ("average_step", {"decay": 0.995}, ()),
    "penalty": ("add_penalty", {"l1": 0.3, "l2": 0.7}, ()),
    "rescale": ("rescale", {"factor": 0.3}, ()),
    "clip": ("clip", {"size": 0.4}, ()),
}


def arrays_of(case, dtype, sizes=SIZES, seed=0):
    """For each size the op's arrays: uniform in [-1, 1), sums of squares in [0, 1)."""
    name, attributes, given = CASES[case]
    rng = np.random.default_rng(seed)
    rows = []
    for size in sizes:
        row = []
        for i in REGISTRY[name].inputs:
            if i.optional and i.name not in given:
                row.append(None)
                continue
            x = rng.uniform(-1, 1, size)
            row.append(abs(x).astype(dtype) if i.name in ("squares", "updates", "v", "largest") else x.astype(dtype))
        rows.append(tuple(row))
    return REGISTRY[name], rows, {**REGISTRY[name].attributes, **attributes}


def on_device(device, rows):
    return [tuple(None if x is None else device.contiguous(x) for x in row) for row in rows]


def check(device, rows, wanted, exact):
    for row, expected in zip(rows, wanted, strict=True):
        for x, y in zip(row, expected, strict=True):
            if x is None:
                assert y is None
            elif exact:
                np.testing.assert_array_equal(device.to_numpy(x), y)
            else:
                tolerance = 1e-5 if y.dtype == np.float32 else 1e-13
                np.testing.assert_allclose(device.to_numpy(x), y, tolerance, tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_updates_have_the_cpus_bits(device, case, dtype):
    op, rows, attributes = arrays_of(case, dtype)
    given = on_device(device, rows)
    host = NativeOps() if NativeOps else Ops()
    for scale in (1.0, 0.5):  # the second finds its arrays in the table, and new settings
        settings = {**attributes, "lr": attributes["lr"] * scale} if "lr" in attributes else attributes
        device.update_each(op, given, settings)
        host.update_each(op, rows, settings)
    check(device, given, rows, exact=NativeOps is not None)


@pytest.mark.parametrize("case", CASES)
def test_updates_are_the_records(device, case):
    op, rows, attributes = arrays_of(case, "float64", (5, 2000), seed=1)
    given = on_device(device, rows)
    for row, theirs in zip(given, rows, strict=True):
        getattr(device, op.name)(*row, **attributes)
        op.forward(np, *theirs, **attributes)
    for row, theirs in zip(given, rows, strict=True):
        for x, y in zip(row, theirs, strict=True):
            if y is not None:
                np.testing.assert_allclose(device.to_numpy(x), y, rtol=1e-13, atol=1e-15)


def test_all_parameters_are_one_launch_and_tables_are_kept(device, monkeypatch):
    from fastnet.backends.device import tables, updates

    launched, checked, alike = [], [], tables._alike
    monkeypatch.setattr(updates, "launch", lambda *given: launched.append(given))
    monkeypatch.setattr(tables, "_alike", lambda rows: checked.append(rows) or alike(rows))
    op, rows, attributes = arrays_of("adam", "float32")
    given = on_device(device, rows)
    for t in (1, 2):
        device.update_each(op, given, {**attributes, "t": t})
    (*_, first, _, numbers), (*_, second, _, same) = launched
    assert first is second and numbers is same  # the addresses; what a captured launch reads
    assert len(checked) == 1
    device.update_each(op, [tuple(None if x is None else x.view() for x in row) for row in given], attributes)
    assert launched[2][5] is first and len(checked) == 2  # other objects at the same addresses
    other = on_device(device, rows)
    device.update_each(op, other, attributes)
    assert len(launched) == 4 and launched[3][5] is not first


def test_a_prepared_update_runs_again_with_other_settings(device):
    from fastnet.backends.device.updates import update_of

    op, rows, attributes = arrays_of("sgd", "float64")
    given = on_device(device, rows)
    update = update_of(op.name, given)
    for lr in (0.1, 0.1, 0.3):
        update.set({**attributes, "lr": lr})
        update.launch()
        Ops().update_each(op, rows, {**attributes, "lr": lr})
    check(device, given, rows, exact=False)


def test_kept_tables_are_bounded(device):
    from fastnet.backends.device import tables

    op, rows, attributes = arrays_of("rescale", "float32", (3,))
    kept = [on_device(device, rows) for _ in range(tables.MOST + 5)]
    for given in kept:
        device.update_each(op, given, attributes)
    assert len(tables.KEPT) == tables.MOST


def test_arrays_that_are_not_in_c_order(device):
    rng = np.random.default_rng(2)
    w, g, velocity = (rng.standard_normal((6, 5)) for _ in range(3))
    given = device.contiguous(w), device.contiguous(g.T).T, device.contiguous(velocity.T).T
    assert not given[2].flags.c_contiguous
    settings = {**REGISTRY["sgd_step"].attributes, "lr": 0.1, "momentum": 0.9}
    device.update_each(REGISTRY["sgd_step"], [given], settings)
    Ops().sgd_step(w, g, velocity, **settings)
    check(device, [given[:1] + given[2:]], [(w, velocity)], exact=False)


def test_arrays_that_do_not_fit_are_refused(device):
    w, g = device.zeros((3,), "float32"), device.zeros((4,), "float32")
    with pytest.raises(ValueError, match="gradient and state"):
        device.update_each(REGISTRY["sgd_step"], [(w, g, None)], {"lr": 0.1})
    with pytest.raises(TypeError, match="float64"):
        device.update_each(REGISTRY["sgd_step"], [(w, device.zeros((3,), "float64"), None)], {"lr": 0.1})


def test_clipping_keeps_nan_and_limits_infinity(device):
    x = device.contiguous(np.array([np.nan, np.inf, -np.inf, -0.0, 0.25]))
    device.clip(x, 0.5)
    np.testing.assert_array_equal(device.to_numpy(x), [np.nan, 0.5, -0.5, -0.0, 0.25])


def test_the_penalty_of_zero_has_no_sign(device):
    w, g = device.contiguous(np.array([0.0, -0.0, 2.0, -2.0])), device.zeros((4,), "float64")
    device.add_penalty(w, g, l1=1.0, l2=0.5)
    np.testing.assert_array_equal(device.to_numpy(g), [0, 0, 2, -2])
