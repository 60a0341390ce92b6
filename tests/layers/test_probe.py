"""Values and gradients inside a model: against the model's own passes, central differences, and the rules' formulas."""

import numpy as np
import pytest

import fastnet as fn
from fastnet.layers.probe import INPUT, SCORES, Probe


@pytest.fixture
def model():
    """Fused in many ways: norms, a residual sum, pooling behind a ReLU, a shared layer; in float64."""
    shared = fn.ReLU()
    block = fn.Residual([fn.Conv2d(6, 3, padding=1), fn.BatchNorm2d()])
    net = fn.Sequential(
        *(fn.Conv2d(6, 3, padding=1), shared, fn.MaxPool2d(2), block, shared, fn.Dropout(0.5)),
        *(fn.Flatten(), fn.Linear(4), fn.Softmax()),
    )
    net.build((2, 8, 8), seed=1, dtype="float64")
    rng = np.random.default_rng(0)
    for p in net.parameters() + net.buffers():
        p.value[...] = rng.uniform(0.5, 1.5, p.shape) if p.buffer else rng.standard_normal(p.shape) * 0.4
    return net


@pytest.fixture
def x():
    return np.random.default_rng(1).standard_normal((3, 2, 8, 8))


def test_values_are_those_of_a_trace(model, x):
    names = [row.name for row in model.summary().rows]
    assert "1 (use 2)" in names
    seen = {}
    with fn.layers.trace(lambda name, phase, array: seen.setdefault(name, array.copy())):
        model(x)
    values, _ = Probe(model, [INPUT, *names, "3"])(x)
    np.testing.assert_array_equal(values[INPUT], x)
    for name in names:
        if "use" not in name:
            np.testing.assert_allclose(values[name], seen[name], rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(values["1 (use 2)"], np.maximum(values["3"], 0))
    np.testing.assert_array_equal(values["5"], values["1 (use 2)"])  # dropout is off


def test_gradients_of_scores_by_the_input_and_inner_layers(model, x):
    places = [INPUT, "1", "2", "3", "3.body.1", "1 (use 2)", SCORES, "8"]
    values, backward = Probe(model, places)(x)
    dy = np.random.default_rng(2).standard_normal((3, 4))
    gradients = backward({"8": dy}, places)
    expected = model.forward(x)[1](dy)
    np.testing.assert_allclose(gradients[INPUT], expected, rtol=1e-9, atol=1e-12)
    assert gradients["8"] is not None and gradients["1"].shape == values["1"].shape
    # behind the pooling: the rest of the network as a function of its own
    rest = fn.Sequential(*list(model)[3:])
    rest.build(model[2].output_shape, dtype="float64")
    np.testing.assert_allclose(gradients["2"], rest.forward(values["2"])[1](dy), rtol=1e-9, atol=1e-12)
    p = np.exp(values[SCORES] - values[SCORES].max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    np.testing.assert_allclose(gradients[SCORES], p * (dy - (p * dy).sum(1, keepdims=True)), rtol=1e-9, atol=1e-12)


def test_a_function_of_several_inner_values_agrees_with_differences(model, x):
    """sum(a * values) over three places, of which one is computed from another."""
    places, rng = ["0", "3", "1 (use 2)"], np.random.default_rng(3)
    probe = Probe(model, [INPUT, *places])
    values, backward = probe(x)
    weights = {place: rng.standard_normal(values[place].shape) for place in places}
    gradient = backward(weights)[INPUT]

    def function(at):
        found, _ = probe(at)
        return sum((weights[place] * found[place]).sum() for place in places)

    direction = rng.standard_normal(x.shape)
    difference = (function(x + 1e-6 * direction) - function(x - 1e-6 * direction)) / 2e-6
    assert (gradient * direction).sum() == pytest.approx(difference, rel=1e-6)


def test_places_upstream_of_what_is_given_have_gradients_and_others_zero(model, x):
    values, backward = Probe(model, ["0", "3"])(x)
    gradients = backward({"0": np.ones_like(values["0"])}, ["0", "3"])
    np.testing.assert_array_equal(gradients["0"], 1)
    np.testing.assert_array_equal(gradients["3"], 0)


@pytest.mark.parametrize("layer", [fn.ReLU, fn.ReLU6])
@pytest.mark.parametrize("rule", ["guided", "deconvnet"])
def test_rules_change_the_gradient_of_rectifiers_alone(layer, rule):
    net = fn.Sequential(fn.Linear(8), layer(), fn.Linear(5))
    net.build((6,), seed=0, dtype="float64")
    for parameter in net.parameters():
        parameter.value[...] *= 3
    x, dy = np.random.default_rng(0).standard_normal((2, 4, 6)) * 3, np.random.default_rng(1).standard_normal((2, 4, 5))
    x, dy = x[0], dy[0]
    values, backward = Probe(net, [INPUT, "0", SCORES], rule)(x)
    np.testing.assert_allclose(values[SCORES], net(x), rtol=1e-12)
    W1, W2 = net[0].weight.value, net[2].weight.value
    back = np.maximum(dy @ W2, 0)
    if rule == "guided":
        back *= (values["0"] > 0) & ((values["0"] < 6) | (layer is fn.ReLU))
    np.testing.assert_allclose(backward({SCORES: dy})[INPUT], back @ W1, rtol=1e-12, atol=1e-13)


class Own(fn.Layer):
    """A layer with a gradient of its own."""

    def setup(self, shape, rng, dtype):
        self.parameter("weight", (1,), "ones", rng, dtype)
        return shape

    def run(self, x, training, ops):
        weight = self.own["weight"]

        def backward(dy, input_gradient=True):
            weight.accumulate(np.array([(dy * x).sum()], x.dtype))
            return dy * weight.value if input_gradient else None

        return x * weight.value, backward


def test_parameters_keep_their_gradients(model, x):
    net = fn.Sequential(fn.Conv2d(2, 3), Own(), fn.Flatten(), fn.Linear(2))
    net.build((2, 8, 8), dtype="float64")
    net.forward(x)[1](np.ones((3, 2)))
    kept = {name: p.grad.copy() for name, p in net.named_parameters()}
    values, backward = Probe(net, [INPUT, SCORES])(x)
    backward({SCORES: np.ones((3, 2))})
    for name, p in net.named_parameters():
        np.testing.assert_array_equal(p.grad, kept[name])
    with pytest.raises(RuntimeError, match="already called"):
        backward({SCORES: np.ones((3, 2))})


def test_names_that_do_not_exist(model, x):
    with pytest.raises(ValueError, match=r"no layer '3.bdy.0'; did you mean 3.body.0"):
        Probe(model, ["3.bdy.0"])
    with pytest.raises(ValueError, match="is used 2 times"):
        Probe(model, ["1 (use 3)"])(x)
    with pytest.raises(ValueError, match="'guided', 'deconvnet' or None, got 'guide'"):
        Probe(model, [INPUT], "guide")
    linear = fn.Sequential(fn.Linear(3))
    with pytest.raises(RuntimeError, match="not built"):
        Probe(linear, [INPUT])
    linear.build((4,))
    with pytest.raises(ValueError, match="of which the model has none"):
        Probe(linear, [INPUT, SCORES], "guided")(np.zeros((1, 4), np.float32))
    values, backward = Probe(linear, [INPUT, SCORES])(np.zeros((1, 4), np.float32))
    with pytest.raises(ValueError, match=r"must have its shape \(1, 3\), got \(1, 4\)"):
        backward({SCORES: np.zeros((1, 4))})


def test_layers_need_not_be_hashable(x):
    class Twice(fn.Layer):
        __hash__ = None

        def call(self, x, training, ops):
            return ops.scale(x, 2.0)

    net = fn.Sequential(Twice(), fn.Conv2d(3, 3))
    net.build((2, 8, 8), dtype="float64")
    values, backward = Probe(net, [INPUT, "0"])(x)
    np.testing.assert_array_equal(values["0"], 2 * x)
    np.testing.assert_array_equal(backward({"0": np.ones_like(x)})[INPUT], 2)
