"""Statistics of activations and gradients against NumPy, and pictures of them."""

import json

import numpy as np
import pytest

import fastnet as fn
from fastnet.diagnose import activation_statistics, gradient_statistics

RNG = np.random.default_rng(0)
X, LABELS = RNG.standard_normal((50, 3, 8, 8)).astype(np.float32), np.arange(50) % 5


def net(*layers):
    model = fn.Sequential(*layers)
    model.build(X.shape[1:])
    return model


def test_activations_are_those_of_the_layers():
    model = net(fn.Conv2d(4, 3, padding=1), fn.ReLU(), fn.MaxPool2d(2), fn.Flatten(), fn.Linear(20), fn.Tanh())
    found = activation_statistics(model, X, limits=(-1, 1))
    assert [row.name for row in found.rows] == ["input", "0", "1", "2", "4", "5"]  # Flatten only moves
    outputs = {"input": X}
    with fn.layers.trace(lambda name, phase, array: outputs.setdefault(name, array.copy())):
        model(X)
    for row in found.rows:
        y = outputs[row.name].astype(np.float64)
        assert row.mean == pytest.approx(y.mean(), abs=1e-12) and row.std == pytest.approx(y.std(), abs=1e-12)
        np.testing.assert_array_equal(row.counts, np.histogram(y, 30, (-1, 1))[0])
        assert len(row.edges) == 31
    assert found["5"].saturated == pytest.approx((abs(outputs["5"]) > 0.97).mean())
    assert found["1"].saturated == pytest.approx((outputs["1"] == 0).mean())
    assert found["0"].saturated is None and found["5"].dead is None


def test_dead_units():
    model = net(fn.Conv2d(8, 3), fn.ReLU(), fn.Flatten(), fn.Linear(10), fn.ReLU())
    assert activation_statistics(model, X)["1"].dead == 0
    model[3].bias.value[:5] = -1e6
    assert activation_statistics(model, X)["4"].dead == 0.5
    model[0].bias.value[:2] = -1e6
    assert activation_statistics(model, X)["1"].dead == 0.25


SATURATED = {
    "Tanh": (fn.Tanh(), lambda x: 1 - np.tanh(x) ** 2),
    "Sigmoid": (fn.Sigmoid(), lambda x: 4 / (1 + np.exp(-x)) / (1 + np.exp(x))),
    "ReLU6": (fn.ReLU6(), lambda x: (x > 0) & (x < 6)),
    "Hardsigmoid": (fn.Hardsigmoid(), lambda x: (x > -3) & (x < 3)),
    "ELU": (fn.ELU(), lambda x: np.where(x > 0, 1, np.exp(x))),
    "SELU": (fn.SELU(), lambda x: np.where(x > 0, 1, 1.7580993408473766 * np.exp(x)) / 1.7580993408473766),
    "Softplus": (fn.Softplus(), lambda x: 1 / (1 + np.exp(-x))),
}


@pytest.mark.parametrize("name", SATURATED)
def test_saturated_means_a_slope_under_six_percent(name):
    layer, slope = SATURATED[name]
    x = np.linspace(-10, 10, 20001)[None]
    model = fn.Sequential(layer)
    model.build(x.shape[1:], dtype="float64")
    found = activation_statistics(model, x)["0"].saturated
    assert found == pytest.approx((slope(x) < 0.06).mean(), abs=0.002)


def test_gradients_are_those_of_the_backward_pass():
    model = net(fn.Conv2d(4, 3, padding=1), fn.BatchNorm2d(), fn.ReLU(), fn.Dropout(0.4), fn.Flatten(), fn.Linear(5))
    before, streams = model.state_dict(), model.rng_state()
    found = gradient_statistics(model, X, LABELS)
    assert model.rng_state() == streams and all(p.grad is None for p in model.parameters())
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    y, backward = model.forward(X, training=True)
    dscores = fn.losses.softmax_cross_entropy(y, LABELS)[1]
    assert found["5"].std == pytest.approx(dscores.std(dtype=float), rel=1e-6)
    backward(dscores)
    for parameter in model.parameters():
        row = found[parameter.name]
        assert row.norm == pytest.approx(np.linalg.norm(parameter.grad.astype(float)), rel=1e-5, abs=1e-6)
        if parameter.value.any():
            assert row.ratio == pytest.approx(row.norm / np.linalg.norm(parameter.value.astype(float)))
    names = [row.name for row in found.rows]
    assert names[:5] == ["0", "1", "2", "3", "5"] and names[5:] == [p.name for p in model.parameters()]


def test_running_statistics_are_used_without_training():
    model = net(fn.BatchNorm2d())
    assert activation_statistics(model, 3 * X)["0"].std == pytest.approx(1, abs=1e-3)
    assert activation_statistics(model, 3 * X, training=False)["0"].std == pytest.approx(3 * X.std(), rel=1e-3)


def test_output(tmp_path):
    model = net(fn.Conv2d(4, 3), fn.ReLU(), fn.Flatten(), fn.Linear(5))
    for found in (activation_statistics(model, X), gradient_statistics(model, X, LABELS)):
        assert "Conv2d" in str(found) and "std" in str(found) and found._repr_html_().startswith("<table>")
        assert len(json.loads(json.dumps(found.to_dict()))["rows"]) == len(found.rows)
        found.plot(tmp_path / "picture.png")
        assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(KeyError, match="no row is named 'x': 0, 1"):
        found["x"]
    with pytest.raises(ValueError, match="bins must be an integer between 1"):
        activation_statistics(model, X, bins=0)
    with pytest.raises(TypeError, match="training must be True or False"):
        gradient_statistics(model, X, LABELS, training=1)


@pytest.mark.parametrize("statistics", [activation_statistics, gradient_statistics])
def test_models_and_limits_that_are_none(statistics):
    labels = () if statistics is activation_statistics else (LABELS,)
    for wrong in (None, abs, [fn.ReLU()]):
        with pytest.raises(TypeError, match=f"{statistics.__name__}: model must be a fastnet.Model, .* got"):
            statistics(wrong, X, *labels)
    model = net(fn.Flatten(), fn.Linear(5))
    for limits in (3, (1,), (1, 0), (0, 0), (np.nan, 1), ("a", 1)):
        with pytest.raises((ValueError, TypeError), match=f"{statistics.__name__}: limits must be"):
            statistics(model, X, *labels, limits=limits)
