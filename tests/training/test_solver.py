"""Solver: what a step does, and the numbers it reports."""

import numpy as np
import pytest
from small_runs import convnet, linear, problem, quiet

import fastnet as fn
from fastnet import losses
from fastnet.data import Dataset, Loader, Standardize
from fastnet.optim import SGD, Adam, StepDecay
from fastnet.regularizers import L2


def test_learns():
    solver = quiet(convnet(0.2), problem(300), problem(100, seed=1), epochs=6, optimizer=Adam(1e-2))
    history = solver.train()
    assert history.history["val_accuracy"][-1] > 0.95
    assert history.history["val_loss"][-1] < 0.3 < history.history["loss"][0]


def test_one_run_against_a_plain_loop():
    X, y = problem(37)
    model, twin = linear(), linear()
    twin.build((2, 4, 4), seed=4)
    schedule = StepDecay(1, 0.5)
    solver = quiet(model, (X, y), epochs=2, seed=4, optimizer=SGD(0.1, 0.9), schedule=schedule, regularizer=L2(0.01))
    history = solver.train()
    weight, bias = (p.value.astype(np.float64) for p in twin.parameters())
    vw = vb = 0.0
    reported = []
    for epoch in range(2):
        for x, labels in Loader(X, y, 16, seed=4).batches(epoch):
            x = x.reshape(len(x), -1).astype(np.float64)
            scores = x @ weight.T + bias
            p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
            reported.append(-np.log(p[np.arange(len(x)), labels]).mean() + 0.005 * (weight**2).sum())
            p[np.arange(len(x)), labels] -= 1
            vw = 0.9 * vw + p.T @ x / len(x) + 0.01 * weight
            vb = 0.9 * vb + p.mean(axis=0)
            weight = weight - 0.1 * 0.5**epoch * vw
            bias = bias - 0.1 * 0.5**epoch * vb
    np.testing.assert_allclose(history.losses, reported, rtol=1e-5)
    assert history.learning_rates == pytest.approx([0.1] * 3 + [0.05] * 3)
    np.testing.assert_allclose(model.parameters()[0].value, weight, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.parameters()[1].value, bias, rtol=1e-4, atol=1e-6)


def test_record_of_an_epoch():
    X, y = problem(40)
    X_val, y_val = problem(25, seed=1)
    solver = quiet(linear(), (X, y), (X_val, y_val), epochs=2, optimizer=SGD(1e-12))
    history = solver.train()
    assert list(history.history) == [
        "epoch",
        "loss",
        "accuracy",
        "val_loss",
        "val_accuracy",
        "lr",
        "seconds",
        "images_per_second",
        "waiting",
    ]
    loss, accuracy = solver.model.evaluate(X, y)
    assert history.history["loss"][1] == pytest.approx(loss, rel=1e-6)
    assert history.history["accuracy"][1] == pytest.approx(accuracy)
    assert (history.history["val_loss"][1], history.history["val_accuracy"][1]) == pytest.approx(
        tuple(solver.model.evaluate(X_val, y_val))
    )
    assert history.history["epoch"] == [1, 2] and len(history.losses) == 6
    np.testing.assert_array_equal(solver.predict(X_val), solver.model.predict(X_val))


@pytest.mark.parametrize("loss", ["softmax", "svm", "squared_hinge", lambda s, y: losses.svm(s, y, margin=2.0)])
def test_losses(loss):
    history = quiet(linear(), problem(), loss=loss, epochs=8, optimizer=SGD(0.05)).train()
    assert history.history["loss"][-1] < history.history["loss"][0] / 2


def test_trains_in_the_dtype_of_the_model():
    model = linear()
    model.build((2, 4, 4), dtype="float64")
    seen = []
    quiet(model, problem(), epochs=1, loss=lambda s, y: (seen.append(s.dtype), losses.svm(s, y))[1]).train()
    assert set(seen) == {np.dtype("float64")} and model.parameters()[0].value.dtype == np.float64


def test_frozen_parameters_stay():
    model = convnet()
    model.build((2, 4, 4))
    model.freeze("0")
    before = model.state_dict()
    quiet(model, problem(), epochs=1).train()
    after = model.state_dict()
    np.testing.assert_array_equal(after["0.weight"], before["0.weight"])
    assert not np.array_equal(after["5.weight"], before["5.weight"])


def test_the_input_gradient_is_not_asked_for():
    calls = []

    class Spy(fn.Sequential):
        def forward(self, x, training=False):
            y, backward = super().forward(x, training)
            return y, lambda dy, input_gradient=True: (calls.append(input_gradient), backward(dy, input_gradient))[1]

    quiet(Spy(fn.Flatten(), fn.Linear(3)), problem(), epochs=1).train()
    assert calls and not any(calls)


def test_uint8_with_standardize():
    X, y = problem(80)
    X = np.clip(X * 30 + 100, 0, 255).astype(np.uint8)
    solver = quiet(linear(), (X, y), (X, y), epochs=3, preprocess="standardize", optimizer=SGD(0.1))
    solver.train()
    assert solver.preprocess.scale == 255
    standard = Standardize.fit(X)(X)
    assert solver.evaluate(X, y) == pytest.approx(tuple(solver.model.evaluate(standard, y)))
    assert solver.history.history["val_loss"][-1] == pytest.approx(solver.model.evaluate(standard, y).loss, rel=1e-6)
    np.testing.assert_allclose(solver.predict(X), solver.model.predict(standard), rtol=1e-5)


def test_dataset_and_loader():
    X, y = problem()
    data = Dataset(X, y, X, y, ("a", "b", "c")).split(12)
    solver = quiet(linear(), data, epochs=1)
    assert len(solver.loader.y) == 48 and len(solver.validation.y) == 12
    loader = Loader(X, y, 10, seed=3, augment=[lambda x, rng: x[..., ::-1]])
    solver = quiet(linear(), loader, Loader(X, y, 7, shuffle=False), epochs=1)
    solver.train()
    assert solver.iteration == 6


def test_last_batch_of_one():
    X, y = problem(33)
    model = fn.Sequential(fn.Flatten(), fn.Linear(4), fn.BatchNorm1d(), fn.Linear(3))
    solver = quiet(model, (X, y), epochs=2)
    solver.train()
    assert solver.iteration == 4
    kept = quiet(linear(), (X, y), epochs=2, drop_last=False)
    kept.train()
    assert kept.iteration == 6
    with pytest.raises(ValueError, match="more than one value per channel"):
        quiet(model, (X, y), epochs=1, drop_last=False).train()


def test_same_seed_same_bits():
    runs = []
    for seed in (1, 1, 2):
        solver = quiet(convnet(0.3), problem(), epochs=2, seed=seed)
        runs.append((solver.train().losses, solver.model.state_dict()))
    assert runs[0][0] == runs[1][0] != runs[2][0]
    for name, value in runs[0][1].items():
        np.testing.assert_array_equal(value, runs[1][1][name])


def test_training_goes_on_with_more_epochs():
    whole = quiet(convnet(0.3), problem(), epochs=4)
    whole.train()
    parts = quiet(convnet(0.3), problem(), epochs=2)
    parts.train()
    parts.epochs = 4
    assert parts.train().losses == whole.history.losses
    assert len(parts.train()) == 4  # nothing is left to do
