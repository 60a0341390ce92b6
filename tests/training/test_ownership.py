"""User code gets copies or read-only arrays: nothing that it does in place reaches the data set."""

import numpy as np
import pytest

import fastnet as fn
from fastnet.data import Loader


def scaled(x, dtype):
    x = x.astype(dtype, copy=False)
    x /= 255
    return x


def noisy(x, rng):
    x += rng.random(x.shape).astype(x.dtype)
    return x


def greedy_loss(scores, y):
    """Softmax as courses write it: in the scores' memory; then spoils the labels."""
    scores -= scores.max(axis=1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=1, keepdims=True)
    rows = np.arange(len(y))
    loss = -np.log(scores[rows, y]).mean()
    scores[rows, y] -= 1
    scores /= len(y)
    y[:] = 0
    return loss, scores


class Greedy(fn.training.Callback):
    """Tries to spoil the arrays of both loaders."""

    def __init__(self):
        self.refused = 0

    def on_epoch_end(self, solver, record):
        for loader in (solver.loader, solver.validation):
            for array in (loader.X, loader.y):
                with pytest.raises(ValueError, match="read-only"):
                    array[:] = 0
                self.refused += 1


@pytest.fixture
def data():
    X = np.random.default_rng(0).uniform(0, 255, (60, 1, 4, 4)).astype(np.float32)
    return X, np.arange(60) % 3


def net():
    model = fn.Sequential(fn.Flatten(), fn.Linear(3))
    model.build((1, 4, 4), seed=0)
    return model


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("options", [{"preprocess": scaled}, {"augment": [noisy]}, {}])
def test_batches_of_every_loader_are_copies(data, shuffle, options):
    X, y = data
    kept = X.copy(), y.copy()
    loader = Loader(X, y, 7, shuffle=shuffle, **options)
    for epoch in range(2):
        for x, labels in loader.batches(epoch):
            x[:] = -1
            labels[:] = -1
    np.testing.assert_array_equal(X, kept[0])
    np.testing.assert_array_equal(y, kept[1])
    np.testing.assert_array_equal(loader.y, kept[1])


def test_a_memory_map_stays_as_it_is(data, tmp_path):
    np.save(tmp_path / "X.npy", data[0])
    X = np.load(tmp_path / "X.npy", mmap_mode="r+")
    for x, _ in Loader(X, data[1], shuffle=False, preprocess=scaled).batches(0):
        assert type(x) is np.ndarray
        x[:] = 0
    np.testing.assert_array_equal(np.load(tmp_path / "X.npy"), data[0])


def test_training_in_place_changes_neither_data_nor_figures(data):
    X, y = data
    kept, callback = (X.copy(), y.copy()), Greedy()

    def run(loss, callbacks, preprocess):
        return fn.Solver(
            net(),
            (X, y),
            (X[:30], y[:30]),
            loss=loss,
            preprocess=preprocess,
            optimizer=fn.optim.SGD(1e-3),
            epochs=3,
            callbacks=callbacks,
            verbose=False,
        )

    solver = run(greedy_loss, [callback], scaled)
    plain = run("softmax", [], lambda x, dtype: x.astype(dtype) / 255)
    got, expected = solver.train().history, plain.train().history
    assert callback.refused == 12
    np.testing.assert_allclose(got["val_loss"], expected["val_loss"], rtol=1e-5)
    assert got["accuracy"] == expected["accuracy"] and got["val_accuracy"] == expected["val_accuracy"]
    assert solver.evaluate(X, y).accuracy == plain.evaluate(X, y).accuracy
    solver.predict(X)
    np.testing.assert_array_equal(X, kept[0])
    np.testing.assert_array_equal(y, kept[1])


def test_a_model_evaluates_with_a_loss_in_place(data):
    X, y = data
    model, kept = net(), y.copy()
    got, expected = model.evaluate(X / 255, y, 7, greedy_loss), model.evaluate(X / 255, y, 7)
    assert got.accuracy == expected.accuracy and got.loss == pytest.approx(expected.loss, rel=1e-4)
    np.testing.assert_array_equal(y, kept)


class InPlace(fn.Layer):
    """Doubles its input, in the input's memory."""

    def run(self, x, training, ops):
        x *= 2
        return x, lambda dy, input_gradient=True: 2 * dy


@pytest.mark.parametrize("use", ["call", "forward", "predict", "evaluate"])
def test_a_layer_cannot_write_into_the_data(data, use):
    X, y = data
    model, kept = fn.Sequential(InPlace(), fn.Flatten(), fn.Linear(3)), X.copy()
    model.build((1, 4, 4))
    with pytest.raises(ValueError, match="read-only"):
        {
            "call": lambda: model(X),
            "forward": lambda: model.forward(X, training=True),
            "predict": lambda: model.predict(X),
            "evaluate": lambda: model.evaluate(X, y),
        }[use]()
    np.testing.assert_array_equal(X, kept)
