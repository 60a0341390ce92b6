"""Solver on regression, several labels, maps and signals: data that fits, metrics that fit, training that works."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import fastnet as fn
from fastnet import losses
from fastnet.data import Loader


def line(N=200, seed=0):
    X = np.random.default_rng(seed).normal(size=(N, 3)).astype(np.float32)
    return X, X @ np.array([1.0, -2.0, 0.5]) + 3


def solver(model, data, validation=None, **options):
    return fn.Solver(model, data, validation, optimizer=fn.optim.Adam(0.05), batch_size=20, verbose=False, **options)


@pytest.mark.parametrize("loss", ["mse", "l1", "huber", partial(losses.huber, delta=0.5)])
def test_regression(loss):
    made = solver(fn.Sequential(fn.Linear(1)), line(), line(60, 1), loss=loss, epochs=20)
    history = made.train().history
    assert "accuracy" not in history and "val_accuracy" not in history
    assert history["val_mae"][-1] < 0.1 < history["val_mae"][0] and history["mae"][-1] < 0.1
    result = made.evaluate(*line(60, 2))
    assert result.mae == pytest.approx(abs(made.predict(line(60, 2)[0])[:, 0] - line(60, 2)[1]).mean(), abs=1e-6)
    assert "mae=" in repr(result) and result == (result.loss, result.mae)
    with pytest.raises(AttributeError, match="regression has no accuracy; its metric is the mean absolute error, mae"):
        result.accuracy  # noqa: B018
    other = made.model.evaluate(*line(60, 2), loss=loss)
    assert other.mae == pytest.approx(result.mae, abs=1e-6) and other.loss == pytest.approx(result.loss, abs=1e-6)


def test_the_table_and_the_plot_show_the_error(capsys, tmp_path):
    made = fn.Solver(fn.Sequential(fn.Linear(1)), line(), line(40, 1), loss="mse", epochs=1)
    made.train()
    assert "train mae" in capsys.readouterr().out and "mae" in repr(made.history)
    pytest.importorskip("matplotlib")
    axes = made.history.plot(tmp_path / "curves.png").axes
    assert axes[1].get_ylabel() == "mae"


def test_several_labels():
    X, _ = line()
    Y = np.stack([X[:, 0] > 0, X[:, 1] + X[:, 2] > 0], axis=1)
    made = solver(fn.Sequential(fn.Linear(2)), (X, Y), loss="bce", epochs=10)
    assert made.train().history["accuracy"][-1] > 0.95
    assert made.evaluate(X, Y).accuracy == ((made.predict(X) > 0) == Y).mean()


def test_training_resumes_with_the_same_bits(tmp_path):
    def run(epochs, folder):
        made = solver(fn.Sequential(fn.Linear(1)), line(), loss="mse", epochs=epochs, checkpoint=folder)
        made.train(resume="auto")
        return made

    run(2, tmp_path / "a").save_checkpoint()
    whole = run(4, tmp_path / "b")
    again = run(4, tmp_path / "a")
    np.testing.assert_array_equal(whole.model.state_dict()["0.weight"], again.model.state_dict()["0.weight"])
    assert whole.history.history["mae"] == again.history.history["mae"]


def maps(N=60, seed=0):
    """Bright pixels are class 1; some labels are unknown."""
    X = np.random.default_rng(seed).normal(size=(N, 1, 6, 8)).astype(np.float32)
    y = (X[:, 0] > 0).astype(np.int64)
    y[:, 0, 0] = 255
    return X, y


def test_maps():
    loss = partial(losses.softmax_cross_entropy, ignore_index=255)
    made = solver(fn.Sequential(fn.Conv2d(2, 1)), maps(), maps(20, 1), loss=loss, epochs=40)
    history = made.train().history
    assert history["val_accuracy"][-1] > 0.95 and history["accuracy"][-1] > 0.95
    X, y = maps(20, 1)
    y[y == 255] = 0
    plain = solver(fn.Sequential(fn.Conv2d(2, 1)), (X, y), epochs=80)
    assert plain.train().history["accuracy"][-1] > 0.8


def signals(N=60, seed=0):
    """An element of a signal is class 1 above its left neighbour; some labels are unknown."""
    X = np.random.default_rng(seed).normal(size=(N, 1, 9)).astype(np.float32)
    y = (X[:, 0] > np.roll(X[:, 0], 1, axis=1)).astype(np.int64)
    y[:, 4] = -1
    return X, y


def test_labels_of_the_elements_of_signals():
    """(N, L): through Loader, recorded steps, validation, evaluate and predict_classes."""
    loss = partial(losses.softmax_cross_entropy, ignore_index=-1)
    model = fn.Sequential(fn.Conv1d(2, 3, padding=1, padding_mode="circular"))
    history = solver(model, signals(), signals(20, 1), loss=loss, epochs=60).train().history
    assert history["val_accuracy"][-1] > 0.95 and history["accuracy"][-1] > 0.95
    X, y = signals(20, 1)
    found = model.predict_classes(X)
    assert found.shape == y.shape and (found == y)[y >= 0].mean() == pytest.approx(history["val_accuracy"][-1])
    y[y < 0] = 0
    plain = solver(fn.Sequential(fn.Conv1d(2, 3, padding=1, padding_mode="circular")), (X, y), epochs=80)
    assert plain.train().history["accuracy"][-1] > 0.75


@pytest.mark.parametrize("y", [np.eye(4, dtype=int)[[0, 1, 2]], np.zeros((3, 1), int)], ids=["one-hot", "column"])
def test_rows_of_another_length_than_the_signals_are_refused(y):
    with pytest.raises(ValueError, match=r"labels must be class numbers of shape \(N,\), got shape \(3, "):
        Loader(np.zeros((3, 2, 9), np.float32), y)


def soft(N=120, seed=0):
    """Three classes, whose probabilities are a softmax of X."""
    X = np.random.default_rng(seed).normal(size=(N, 3)).astype(np.float32)
    e = np.exp(3 * X)
    return X, e / e.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    "loss", ["softmax", partial(losses.softmax_cross_entropy, weight=[1.0, 1.1, 0.9], label_smoothing=0.05)]
)
def test_soft_labels(loss):
    """Through Loader, recorded steps, validation with soft or hard labels, and evaluate."""
    X, y = soft(40, 1)
    for validation in ((X, y), (X, y.argmax(axis=1))):
        made = solver(fn.Sequential(fn.Linear(3)), soft(), validation, loss=loss, epochs=20)
        assert made.train().history["val_accuracy"][-1] > 0.9 and made._step.plan.reason == ""
        assert made.evaluate(X, y).accuracy == made.evaluate(X, y.argmax(axis=1)).accuracy > 0.9
        assert made.model.evaluate(X, y, loss=loss).loss == pytest.approx(made.evaluate(X, y).loss, rel=1e-5)


def test_soft_labels_for_losses_that_cannot_take_them():
    for loss in ("svm", "squared_hinge"):
        with pytest.raises(ValueError, match=r"class numbers of shape \(N,\).*argmax\(axis=1\) for one-hot rows"):
            solver(fn.Sequential(fn.Linear(3)), soft(), loss=loss)
    X, y = soft()
    with pytest.raises(ValueError, match="those of an example must sum to 1, got 1"):
        solver(fn.Sequential(fn.Linear(3)), (X, 1.1 * y), epochs=1).train()
    with pytest.raises(ValueError, match="class numbers"):  # one-hot integers: not probabilities
        solver(fn.Sequential(fn.Linear(3)), (X, np.eye(3, dtype=int)[y.argmax(axis=1)]))


def test_attributes_with_a_hinge():
    X, _ = line()
    Y = np.where(np.stack([X[:, 0] > 0, X[:, 1] + X[:, 2] > 0], axis=1), 1, -1)
    made = solver(fn.Sequential(fn.Linear(2)), (X, Y), loss="binary_hinge", epochs=10)
    assert made.train().history["accuracy"][-1] > 0.95


def test_data_that_does_not_fit_is_refused():
    X, y = line(20)
    with pytest.raises(ValueError, match=r"targets must have shape \(20, 2\), got \(20,\)"):
        solver(fn.Sequential(fn.Linear(2)), (X, y), loss="mse", epochs=1).train()
    with pytest.raises(ValueError, match=r"X has 20 samples, but y has shape \(19,\)"):
        solver(fn.Sequential(fn.Linear(1)), (X, y[:19]), loss="mse")
    with pytest.raises(TypeError, match="Loader: y must hold real numbers, got dtype <U"):
        solver(fn.Sequential(fn.Linear(1)), (X, y.astype(str)), loss="mse")
    with pytest.raises(TypeError, match="labels must be integers"):
        solver(fn.Sequential(fn.Linear(2)), (X, y))
    with pytest.raises(TypeError, match="classes of pixels must be integers, got dtype float32"):
        solver(fn.Sequential(fn.Conv2d(2, 1)), (maps()[0], maps()[1].astype(np.float32)))
    with pytest.raises(ValueError, match=r"targets must lie in \[0, 1\]"):
        solver(fn.Sequential(fn.Linear(1)), (X, y), loss="bce", epochs=1).train()
