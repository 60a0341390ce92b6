"""Models on the backend "cupy": passes give arrays of the device, whole data sets and files NumPy's."""

from __future__ import annotations

import copy
import pickle
import runpy
from pathlib import Path

import numpy as np
import pytest
from cuda import devices
from cuda.surface import IMAGES, X, Y, alike, network, same

import fastnet as fn
from fastnet import backends
from fastnet.layers.probe import INPUT, SCORES, Probe


def test_passes_give_arrays_of_the_device(device):
    model = network()
    y, backward = model.forward(IMAGES, training=True)
    dx = backward(np.ones(y.shape, np.float32))
    kinds = [model(IMAGES), y, dx, *(p.grad for p in model.parameters()), *(p.value for p in model.buffers())]
    assert {type(each) for each in kinds} == {device.xp.ndarray}
    assert type(model(device.asarray(IMAGES))) is device.xp.ndarray


def test_whole_data_sets_and_state_are_numpys():
    def results():
        model = network()
        return [
            model.predict(IMAGES),
            model.predict(IMAGES, batch_size=2),
            model.predict_proba(IMAGES),
            model.predict_classes(IMAGES),
            *model.layer_outputs(IMAGES, "2", 2),
            model.state_dict(),
            model.evaluate(IMAGES, Y[:5], batch_size=2),
            model.evaluate(IMAGES, np.ones((5, 3), np.float32), loss="mse"),
        ]

    same(results)


@pytest.mark.parametrize("views", ["flips", "five-scales"])
def test_views(views):
    same(lambda: network().evaluate(X[:4], Y[:4], views=views))


def test_predictions_of_arrays_of_the_device(device):
    model = network()
    given = device.xp.asarray(IMAGES)
    np.testing.assert_array_equal(model.predict(given), model.predict(IMAGES))
    np.testing.assert_array_equal(model.predict([*given]), model.predict(IMAGES))
    assert model.evaluate(given, device.xp.asarray(Y[:5])) == model.evaluate(IMAGES, Y[:5])
    model.preprocessing = lambda x, dtype: np.asarray(x * 2, dtype)  # a function of NumPy arrays
    assert type(model.predict(given)) is np.ndarray


def test_gradients_are_the_references():
    def gradients():
        model = network()
        y, backward = model.forward(IMAGES, training=True)
        dx = backward(np.cos(np.arange(y.size, dtype=np.float32)).reshape(y.shape))
        to_numpy = backends.current().to_numpy
        return [to_numpy(dx), *(to_numpy(p.grad) for p in model.parameters()), model.state_dict(), model.rng_state()]

    same(gradients)


def test_a_model_moves_to_the_backend_that_runs_it():
    with backends.use_backend("reference"):
        model = network()
        model.forward(IMAGES, training=True)[1](np.ones((5, 3), np.float32))
        expected, gradients = model.predict(IMAGES), [p.grad for p in model.parameters()]
    with devices.device() as device:
        np.testing.assert_allclose(model.predict(IMAGES), expected, 1e-5, 1e-5)
        np.testing.assert_allclose(device.to_numpy(model(IMAGES)), expected, 1e-5, 1e-5)
        assert {type(p.value) for p in [*model.parameters(), *model.buffers()]} == {device.xp.ndarray}
        for p, gradient in zip(model.parameters(), gradients, strict=True):
            assert type(p.grad) is device.xp.ndarray
            np.testing.assert_array_equal(p.grad.get(), gradient)
        twin = copy.deepcopy(model)
        moved = model.state_dict()
    with backends.use_backend("reference"):
        for name, value in twin.state_dict().items():
            np.testing.assert_array_equal(value, moved[name])
        np.testing.assert_allclose(twin.predict(IMAGES), expected, 1e-5, 1e-5)


def test_pickles_of_a_gpu_are_read_where_there_is_none():
    with devices.device():
        model, optimizer, plain = network(), fn.optim.Adam(0.01), network()
        plain_optimizer = fn.optim.Adam(0.01)
        for each, update in ((model, optimizer), (plain, plain_optimizer)):
            fn.TrainingPlan(each)(IMAGES, Y[:5])
            update.step(each.parameters())
        text = pickle.dumps((model, optimizer))
    assert b"cupy" not in text
    with backends.use_backend("reference"):
        read, found = pickle.loads(text)
        for each, update in ((read, found), (plain, plain_optimizer)):
            update.step(each.parameters())
        alike(read.state_dict(), plain.state_dict())
        alike(found.state_dict(), plain_optimizer.state_dict())


@pytest.mark.parametrize("first", ["reference", "cupy"])
def test_files_go_from_one_backend_to_the_other(first, tmp_path):
    with devices.standin():
        other = "cupy" if first == "reference" else "reference"
        with backends.use_backend(first):
            model = network()
            model.save(tmp_path / "model.npz")
            expected = model.predict(IMAGES)
        with backends.use_backend(other):
            model = network(seed=1)
            model.load(tmp_path / "model.npz")
            np.testing.assert_allclose(model.predict(IMAGES), expected, 1e-5, 1e-5)


def test_plans_ensembles_and_samples():
    def results():
        model, other = network(), network(seed=1)
        to_numpy = backends.current().to_numpy
        samples = fn.monte_carlo(model, IMAGES, 3)
        together = fn.Ensemble([model, other])
        return [
            to_numpy(model.compile(2)(IMAGES)),
            to_numpy(model.compile(2, until="2")(IMAGES)),
            together.predict(IMAGES),
            together.evaluate(IMAGES, Y[:5]),
            tuple(samples),
        ]

    same(results)


def test_a_probe_sees_values_and_gradients(device):
    values, backward = Probe(network(), [INPUT, SCORES, "2"])(IMAGES)
    scores = np.zeros(values[SCORES].shape, np.float32)
    scores[:, 1] = 1
    gradients = backward({SCORES: scores}, [INPUT, "2"])
    assert {type(each) for each in (*values.values(), *gradients.values())} == {device.xp.ndarray}

    def found():
        values, backward = Probe(network(), [INPUT, SCORES, "2"], rule="guided")(IMAGES)
        return [backends.current().to_numpy(each) for each in backward({SCORES: scores}, [INPUT, "2"]).values()]

    same(found)


class Doubled(fn.Layer):
    """A layer that computes by itself, with the array library that x belongs to."""

    def run(self, x, training, ops):
        return ops.xp.tanh(x) * 2, lambda dy, input_gradient=True: dy * 2 * (1 - ops.xp.tanh(x) ** 2)


def test_a_layer_that_computes_by_itself_gets_arrays_of_the_device():
    def results():
        model = fn.Sequential(fn.Conv2d(2, 3), Doubled(), fn.Flatten(), fn.Linear(3))
        model.build((1, 6, 6), seed=0)
        y, backward = model.forward(IMAGES)
        return [model.predict(IMAGES), backends.current().to_numpy(backward(np.ones(y.shape, np.float32)))]

    same(results)


def test_the_examples_layer_runs_there():
    path = Path(__file__).parents[2] / "examples" / "custom_layer.py"
    swish = runpy.run_path(str(path))["Swish"]

    def results():
        layer = swish()
        layer.build((1, 6, 6))
        dx = layer.forward(IMAGES, training=True)[1](IMAGES)
        return [backends.current().to_numpy(each) for each in (dx, layer.beta.grad)]

    same(results)


def test_frozen_parts_stay():
    def results():
        model = network()
        names = model.freeze("0"), model.freeze("1")
        y, backward = model.forward(IMAGES, training=True)
        backward(np.ones(y.shape, np.float32))
        return [*names, [p.name for p in model.parameters() if p.grad is not None], model.state_dict()]

    same(results)


def test_profiles_say_that_they_are_of_the_cpu(device):
    with pytest.raises(RuntimeError, match="not on a GPU yet"):
        network().profile(IMAGES)
