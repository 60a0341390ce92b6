"""Training on the device: what it does equals what the reference does, and all of it stays on the device."""

import numpy as np
import pytest

import fastnet as fn
from fastnet.optim import clip_grad_norm, clip_grad_value
from fastnet.regularizers import L1, L2, ElasticNet, MaxNorm
from fastnet.training import (
    Distillation,
    DistillationLoader,
    EarlyStopping,
    Masks,
    PolyakAverage,
    Snapshots,
    StochasticWeightAverage,
    minimize,
)

OPTIMIZERS = {
    "sgd": lambda: fn.optim.SGD(0.05, weight_decay=0.01),
    "momentum": lambda: fn.optim.SGD(0.05, momentum=0.9, velocity="steps"),
    "nesterov": lambda: fn.optim.SGD(0.05, momentum=0.9, nesterov=True),
    "ahead": lambda: fn.optim.SGD(0.05, momentum=0.9, ahead=True),
    "adagrad": lambda: fn.optim.Adagrad(0.05, initial_accumulator_value=0.1),
    "adadelta": lambda: fn.optim.Adadelta(1.0),
    "rmsprop": lambda: fn.optim.RMSprop(0.01, momentum=0.5, centered=True),
    "adam": lambda: fn.optim.Adam(0.01, amsgrad=True),
    "adamw": lambda: fn.optim.AdamW(0.01, weight_decay=0.1),
    "nadam": lambda: fn.optim.NAdam(0.01),
    "groups": lambda: fn.optim.Adam(0.01, groups=[{"params": "fc.*", "lr": 0.1}, {"params": "stem", "lr": 0.001}]),
}


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((12, 2, 4, 4)), rng.integers(0, 3, 12)


def small_net():
    model = fn.Sequential(
        stem=fn.Conv2d(2, 3, bias=False),
        norm=fn.BatchNorm2d(),
        relu=fn.ReLU(),
        rows=fn.Flatten(),
        drop=fn.Dropout(0.2),
        fc=fn.Linear(3),
    )
    model.build((2, 4, 4), seed=0, dtype="float64")
    return model


def solver(data, **options):
    given = {"validation": data, "epochs": 1, "batch_size": 4, "seed": 1, "verbose": False}
    return fn.Solver(small_net(), data, **{**given, **options})


def trained(data, **options):
    run = solver(data, **options)
    history = run.train()
    return np.array(history.losses), history.history["val_loss"], run.model.state_dict(), run.predict(data[0])


def both(device, data, options):
    """What the device and the reference computed; `options()` makes a Solver's arguments anew for each."""
    found = trained(data, **options())
    with fn.use_backend("reference"):
        return found, trained(data, **options())


def check(found, wanted, tolerance=1e-8):
    losses, validation, state, scores = found
    np.testing.assert_allclose(losses, wanted[0], tolerance)
    np.testing.assert_allclose(validation, wanted[1], tolerance)
    assert type(scores) is np.ndarray
    np.testing.assert_allclose(scores, wanted[3], tolerance, tolerance)
    for name, value in state.items():
        assert type(value) is np.ndarray
        np.testing.assert_allclose(value, wanted[2][name], tolerance, tolerance)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_trains(device, data, name):
    check(*both(device, data, lambda: {"optimizer": OPTIMIZERS[name]()}))


@pytest.mark.parametrize(
    "options",
    [
        {"clip_norm": 0.5, "regularizer": L1(0.01) + L2({"stem": 0.1, "*": 0.01}) + MaxNorm(0.5)},
        {"clip_value": 0.01, "regularizer": ElasticNet(0.01, 0.02) + MaxNorm(0.3, axis=1)},
    ],
    ids=["norm", "value"],
)
def test_clipping_and_regularizers(device, data, options):
    check(*both(device, data, lambda: {"optimizer": "sgd", **options}))


AVERAGES = {
    "polyak": lambda: PolyakAverage(0.7),
    "mean": lambda: StochasticWeightAverage(0, every="epoch"),
    "best": lambda: EarlyStopping("val_loss", patience=1),
    "masks": lambda: Masks.of(small_net()).prune(small_net(), 0.4),
}


@pytest.mark.parametrize("name", AVERAGES)
def test_callbacks_that_change_weights(device, data, name):
    schedule = fn.optim.OneCycle() if name == "polyak" else None
    check(*both(device, data, lambda: {"callbacks": [AVERAGES[name]()], "schedule": schedule, "epochs": 2}))


def test_snapshots_are_on_the_host(device, data):
    snapshots = Snapshots("epoch")
    run = solver(data, callbacks=[snapshots])
    run.train()
    assert all(type(value) is np.ndarray for state in snapshots.states for value in state.values())
    members = snapshots.ensemble(run.model).predict_proba(data[0])
    with fn.use_backend("reference"):
        np.testing.assert_allclose(members, snapshots.ensemble(run.model).predict_proba(data[0]), 1e-8)


@pytest.mark.parametrize("first", ["cupy", "reference"])
def test_a_run_goes_on_where_another_backend_left_it(device, data, tmp_path, first):
    second = {"cupy": "reference", "reference": "cupy"}[first]
    options = {"optimizer": fn.optim.Adam(0.01, amsgrad=True), "callbacks": [PolyakAverage(0.9)]}
    with fn.use_backend(first):
        solver(data, epochs=1, checkpoint=tmp_path, **options).train()
    with fn.use_backend(second):
        run = solver(data, epochs=2, checkpoint=tmp_path, **{**options, "callbacks": [PolyakAverage(0.9)]})
        losses = run.train(resume="auto").losses
        found = run.predict(data[0])
    with fn.use_backend("reference"):
        whole = solver(data, epochs=2, optimizer=fn.optim.Adam(0.01, amsgrad=True), callbacks=[PolyakAverage(0.9)])
        np.testing.assert_allclose(losses, whole.train().losses, 1e-8)
        np.testing.assert_allclose(found, whole.predict(data[0]), 1e-8)


def test_one_run_changes_the_backend(device, data):
    """Parameters, state, gradients and averages move with it."""
    found = []
    for second in ("reference", "cupy"):
        model, optimizer = small_net(), fn.optim.Adam(0.01)
        plan, average = fn.training.TrainingPlan(model), fn.training.WeightAverage(model, 0.5)
        for backend in ("cupy", second, "cupy"):
            with fn.use_backend(backend):
                plan(data[0][:6], data[1][:6])
                clip_grad_value(model.parameters(), 0.1)
            norm = clip_grad_norm(model.parameters(), 0.1)
            optimizer.step(model.parameters())
            average.update()
            model.zero_grad()
        found.append([norm, *average.state_dict().values()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, 1e-8, 1e-10)


LOSSES = {
    "softmax": lambda y: y,
    "svm": lambda y: y,
    "squared_hinge": lambda y: y,
    "mse": lambda y: np.eye(3)[y],
    "l1": lambda y: np.eye(3)[y],
    "huber": lambda y: np.eye(3)[y],
    "bce": lambda y: np.eye(3)[y],
    "binary_hinge": lambda y: np.eye(3)[y],
}


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_trains(device, data, loss):
    X, y = data
    check(*both(device, (X, LOSSES[loss](y)), lambda: {"loss": loss}))


def test_a_loss_of_ones_own(device, data):
    def squares(scores, targets):
        scores -= targets  # in place
        return float((scores * scores).mean()), scores * (2 / scores.size)

    squares.soft_labels = True
    X, y = data
    check(*both(device, (X, np.eye(3)[y]), lambda: {"loss": squares}))


def test_soft_labels_and_teachers(device, data):
    X, y = data
    check(*both(device, (X, np.eye(3)[y] * 0.8 + 0.2 / 3), dict))

    def taught():
        loader = DistillationLoader(X, y, small_net(), batch_size=6)
        run = fn.Solver(small_net(), loader, loss=Distillation(2.0), epochs=1, verbose=False)
        return run.train().losses

    found = taught()
    with fn.use_backend("reference"):
        np.testing.assert_allclose(found, taught(), 1e-8)


@pytest.mark.parametrize("method", ["l-bfgs", "bfgs"])
def test_minimisers_see_vectors_of_the_host(device, data, method):
    def minimised():
        model = fn.Sequential(fn.Flatten(), fn.Linear(3))
        model.build((2, 4, 4), seed=0, dtype="float64")
        return minimize(model, "softmax", *data, method, iterations=5, regularizer=L2(0.1)).losses

    found = minimised()
    with fn.use_backend("reference"):
        np.testing.assert_allclose(found, minimised(), 1e-6)


def test_a_step_stays_on_the_device(device, data):
    run = solver(data, optimizer="adam")
    run.train()
    arrays = [array for state in run.optimizer.state.values() for array in (state["m"], state["v"])]
    arrays += [parameter.value for parameter in run.model.parameters()]
    assert len(arrays) == 15 and all(isinstance(array, device.xp.ndarray) for array in arrays)


def test_debugging_finds_nan(device, data):
    bad = data[0].copy()
    bad[3] = np.nan
    with pytest.raises(FloatingPointError, match="the data: has 32 NaN"):
        solver((bad, data[1]), debug="nan", validation=None, batch_size=12).train()
    with pytest.raises(FloatingPointError, match="the training data: has 32 NaN"):
        solver((bad, data[1]), validation=None, batch_size=12).train()
