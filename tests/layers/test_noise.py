"""Layers with a random stream: what they keep, what inference does, Monte Carlo prediction."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from isas import needs_kernels
from layer_nets import ones, trained

import fastnet as fn
from fastnet.ops import philox
from fastnet.ops.fractional import spans

# ---------------------------------------------------------------- dropout's forms


def test_vanilla_dropout_scales_in_inference():
    layer = fn.Dropout(0.3, seed=1, inverted=False)
    x = np.arange(1, 2001, dtype=np.float32).reshape(4, 500)
    y = trained(layer, x)
    assert set(np.unique(y / x)) == {0.0, 1.0}
    np.testing.assert_allclose(layer(x), np.float32(0.7) * x, rtol=1e-7)
    inverted = fn.Dropout(0.3, seed=1)
    np.testing.assert_allclose(trained(inverted, x), y / np.float32(0.7), rtol=1e-6)
    np.testing.assert_array_equal(inverted(x), x)


@pytest.mark.parametrize("kind, shape, shared", [(fn.Dropout1d, (6, 5, 7), 2), (fn.Dropout2d, (6, 5, 4, 3), 2)])
def test_spatial_dropout_zeroes_whole_channels(kind, shape, shared):
    y = trained(kind(0.5, seed=2), ones(*shape)).reshape(*shape[:shared], -1)
    assert (y == y[..., :1]).all() and set(np.unique(y)) == {0.0, 2.0}
    np.testing.assert_array_equal(kind(0.5, seed=2)(ones(*shape)), 1)


# ---------------------------------------------------------------- DropConnect


def test_dropconnect_is_the_layer_with_zeroed_weights():
    layer = fn.DropConnect(fn.Linear(6), 0.4, seed=9)
    layer.build((50,), seed=1)
    x = np.random.default_rng(0).standard_normal((4, 50)).astype(np.float32)
    linear = layer.layer
    linear.bias.value[:] = np.arange(6)
    kept = philox.uniform(9, 0, 300, np.float32).reshape(6, 50) >= np.float32(0.4)
    masked = np.where(kept, linear.weight.value / np.float32(0.6), 0)
    y, backward = layer.forward(x, training=True)
    np.testing.assert_allclose(y, x @ masked.T + np.arange(6), atol=1e-4)
    dy = np.random.default_rng(1).standard_normal((4, 6)).astype(np.float32)
    np.testing.assert_allclose(backward(dy), dy @ masked, atol=1e-4)
    np.testing.assert_allclose(linear.weight.grad, np.where(kept, dy.T @ x / np.float32(0.6), 0), atol=1e-4)
    np.testing.assert_allclose(linear.bias.grad, dy.sum(0), atol=1e-5)
    assert layer.offset == 300
    np.testing.assert_array_equal(layer(x), linear(x))


def test_dropconnect_of_a_conv_has_the_expectation_of_inference():
    layer = fn.DropConnect(fn.Conv2d(4, 3, padding=1), 0.5, seed=3)
    layer.build((3, 6, 6), seed=1, dtype="float64")
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 6))
    samples = np.stack([trained(layer, x) for _ in range(3000)])
    error = abs(samples.mean(0) - layer(x)) / (samples.std(0) / math.sqrt(3000))
    assert error.max() < 5.5  # deviations, of 288 means


def test_dropconnect_keeps_names_and_shares_weights():
    inner = fn.Linear(5)
    model = fn.Sequential(fn.DropConnect(inner, 0.5), inner)
    model.build((5,))
    assert list(model.state_dict()) == ["0.weight", "0.bias"]
    x = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
    state = model.rng_state()
    y = trained(model, x)
    model.set_rng_state(state)
    np.testing.assert_array_equal(y, inner(trained(model[0], x)))  # the second use has all weights
    plain = fn.Sequential(fn.Linear(5), fn.Linear(4))
    plain.build((5,))
    dropping = fn.Sequential(fn.DropConnect(fn.Linear(5)), fn.DropConnect(fn.Linear(4)))
    dropping.build((5,))
    dropping.load_state_dict(plain.state_dict())
    np.testing.assert_array_equal(dropping(x), plain(x))


# ---------------------------------------------------------------- fractional pooling


def test_fractional_pooling_draws_for_each_image_and_step():
    layer = fn.FractionalMaxPool2d(output_ratio=0.6, random=True, seed=5)
    x = np.arange(8 * 400, dtype=np.float32).reshape(8, 1, 20, 20)
    outputs = [trained(layer, x) for _ in range(2)]
    assert outputs[0].shape == (8, 1, 12, 12)
    assert len({tuple(image.ravel() - image.ravel()[-1]) for y in outputs for image in y}) == 16
    np.testing.assert_array_equal(layer(x), layer(x))
    rows = spans(1, 20, 12, 0, True, False, None)[0]
    np.testing.assert_array_equal(layer(x)[0, 0, :, -1], x[0, 0, rows[:, 1] - 1, -1])


@needs_kernels
@pytest.mark.parametrize("settings", [{"overlapping": False}, {}, {"kernel_size": (2, 3), "random": True}])
def test_fractional_pooling_in_plans(settings):
    model = fn.Sequential(fn.Conv2d(20, 3), fn.FractionalMaxPool2d(**settings, output_size=(7, 9)))
    model.build((3, 13, 15))
    x = np.random.default_rng(0).standard_normal((5, 3, 13, 15)).astype(np.float32)
    np.testing.assert_allclose(model.compile(5)(x), model(x), atol=1e-5)
    assert model.predict(x).shape == (5, 20, 7, 9)


# ---------------------------------------------------------------- streams


def everything():
    return fn.Sequential(
        *(fn.DropConnect(fn.Conv2d(4, 3, padding=1), 0.3), fn.BatchNorm2d(), fn.Dropout2d(0.2)),
        *(fn.FractionalMaxPool2d(output_ratio=0.7), fn.Residual([fn.Conv2d(4, 1), fn.StochasticDepth(0.4)])),
        *(fn.Flatten(), fn.Dropout(0.3, inverted=False), fn.Linear(3)),
    )


def batch(count=6):
    return np.random.default_rng(0).standard_normal((count, 3, 9, 9)).astype(np.float32)


def test_streams_can_be_put_back_and_pickled():
    model, x = everything(), batch()
    model.build((3, 9, 9), seed=2)
    assert len(model.rng_state()) == 5
    trained(model, x)
    state, copy = model.rng_state(), pickle.loads(pickle.dumps(model))
    first = trained(model, x)
    np.testing.assert_array_equal(trained(copy, x), first)
    model.set_rng_state(state)
    np.testing.assert_array_equal(trained(model, x), first)
    assert not np.array_equal(trained(model, x), first)


def test_a_run_resumes_with_the_same_bits(tmp_path):
    X, y = batch(40), np.arange(40) % 3

    def solver(epochs, folder):
        model = everything()
        model.build((3, 9, 9), seed=2)
        return fn.Solver(model, (X, y), epochs=epochs, batch_size=8, checkpoint=folder, verbose=False)

    whole = solver(4, tmp_path / "whole")
    whole.train()
    solver(2, tmp_path / "halves").train()
    resumed = solver(4, tmp_path / "halves")
    resumed.train(resume="auto")
    for (name, one), other in zip(whole.model.state_dict().items(), resumed.model.state_dict().values(), strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name)
    assert whole.model.rng_state() == resumed.model.rng_state()


# ---------------------------------------------------------------- Monte Carlo


def test_monte_carlo_is_the_mean_over_masks():
    """One unit, whose masks can be counted: E of the outputs is that of inference, the variance p / (1 - p) |wx|^2."""
    model = fn.Sequential(fn.Dropout(0.5), fn.Linear(2, bias=False))
    model.build((3,), dtype="float64")
    model[1].weight.value[:] = [[1, 2, 3], [-1, 0, 1]]
    x = np.array([[1.0, 2.0, -1.0]])
    mean, std = fn.monte_carlo(model, x, 20000, scores=True)
    terms = model[1].weight.value * x
    assert abs(mean - model(x)).max() < 5 * np.sqrt((terms**2).sum(1)).max() / math.sqrt(20000)
    np.testing.assert_allclose(std[0], np.sqrt((terms**2).sum(1)), rtol=0.03)


@pytest.mark.parametrize("make", [everything])
def test_monte_carlo_leaves_the_model_as_it_is(make):
    model, x = make(), batch()
    model.build((3, 9, 9), seed=2)
    trained(model, x)
    state, streams, y = model.state_dict(), model.rng_state(), model(x)
    found = fn.monte_carlo(model, x, 30, batch_size=4)
    assert found.mean.shape == found.std.shape == (6, 3) and found.mean.dtype == np.float32
    np.testing.assert_allclose(found.mean.sum(1), 1, rtol=1e-5)
    assert (found.std > 0).all()
    assert model.rng_state() == streams
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, state[name])
    np.testing.assert_array_equal(model(x), y)
    again = fn.monte_carlo(model, x, 30, batch_size=4)
    np.testing.assert_array_equal(again.mean, found.mean)
    other = fn.monte_carlo(model, x, 30, batch_size=4, seed=1)
    assert not np.array_equal(other.mean, found.mean)


def test_monte_carlo_by_hand():
    """The same passes, drawn one after the other; without batch norms they are training's."""
    model = fn.Sequential(fn.Linear(8), fn.ReLU(), fn.Dropout(0.4), fn.Linear(3))
    model.build((5,), dtype="float64")
    x = np.random.default_rng(0).standard_normal((7, 5))
    mean, std = fn.monte_carlo(model, x, 9, seed=3)
    high, low = (int(word) for word in philox.words(3, 0, 2))
    model.set_rng_state({"2": {"seed": high << 32 | low, "offset": 0}})
    scores = np.stack([trained(model, x) for _ in range(9)])
    shares = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    np.testing.assert_allclose(mean, shares.mean(0), rtol=1e-12)
    np.testing.assert_allclose(std, shares.std(0), rtol=1e-9)


def test_monte_carlo_preprocesses_as_predict_does():
    model = fn.Sequential(fn.Dropout(0.5), fn.Linear(2))
    model.build((3,))
    model.preprocessing = lambda x, dtype: x.astype(dtype) / 10
    x = np.full((4, 3), 10, np.uint8)
    found = fn.monte_carlo(model, x, 5)
    model.preprocessing = None
    np.testing.assert_array_equal(fn.monte_carlo(model, ones(4, 3), 5).mean, found.mean)


def test_batch_norms_use_running_statistics_under_monte_carlo():
    """Of one image, training's batch norm would have nothing left."""
    model = fn.Sequential(fn.Linear(4), fn.BatchNorm1d(), fn.Dropout(0.5), fn.Linear(2))
    model.build((3,))
    x = ones(1, 3)
    assert np.isfinite(fn.monte_carlo(model, x, 3).mean).all()


class Shaken(fn.Layer):
    """A layer of one's own that computes in NumPy and has a random stream."""

    offset = 0

    def run(self, x, training, ops):
        self.offset += training
        return (x + self.offset if training else x), lambda dy, input_gradient=True: dy

    def stream(self):
        return {"seed": 0, "offset": self.offset}

    def set_stream(self, seed, offset):
        self.offset = offset


def test_monte_carlo_of_layers_that_compute_in_numpy():
    model = fn.Sequential(Shaken())
    model.build((2,))
    assert fn.monte_carlo(model, np.zeros((1, 2), np.float32), 3, scores=True).mean.tolist() == [[2.0, 2.0]]


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    "wrong, kind, message",
    [
        (
            lambda: fn.Dropout2d(1.5),
            ValueError,
            r"Dropout2d: p, the probability of zeroing, must be in \[0, 1\), got 1.5",
        ),
        (lambda: fn.Dropout(0.5, inverted=2), TypeError, "Dropout: inverted must be True or False, got 2"),
        (lambda: fn.StochasticDepth(-0.1), ValueError, r"StochasticDepth: p, .* got -0.1"),
        (lambda: fn.StochasticDepth(0.1, "rows"), ValueError, "mode must be 'row' or 'batch', got 'rows'"),
        (lambda: fn.DropConnect(fn.Linear(3), 1), ValueError, r"DropConnect: p, .* got 1"),
        (lambda: fn.DropConnect(5), TypeError, "DropConnect: layer must be a layer"),
        (lambda: fn.DropConnect(fn.Residual(fn.Linear(3))), TypeError, "wrap a single layer"),
        (lambda: fn.DropConnect(fn.ReLU()).build((3,)), TypeError, "needs a layer with connections, .* got ReLU"),
        (lambda: fn.DropConnect(fn.BatchNorm1d()).build((3,)), TypeError, "with connections, .* got BatchNorm1d"),
        (lambda: fn.Dropout2d().build((3, 4)), ValueError, r"Dropout2d: expects \(N, C, H, W\), got .* \(3, 4\)"),
        (lambda: fn.Dropout1d().build((3,)), ValueError, r"Dropout1d: expects \(N, C, L\), got .* \(3,\)"),
        (lambda: fn.FractionalMaxPool2d(2), ValueError, "give either output_size or output_ratio"),
        (lambda: fn.FractionalMaxPool2d(2, 3, 0.5), ValueError, "give either output_size or output_ratio"),
        (lambda: fn.FractionalMaxPool2d(output_ratio=1.5), ValueError, "output_ratio must be between 0 and 1, got 1.5"),
        (
            lambda: fn.FractionalMaxPool2d(output_size=9).build((3, 8, 8)),
            ValueError,
            "need a height of at least 9, got 8",
        ),
        (lambda: fn.FractionalMaxPool2d(2, 3, return_indices=True), TypeError, "return_indices=True is not supported"),
        (lambda: fn.models.drop_rates(0, 0.5), ValueError, "drop_rates: blocks"),
        (lambda: fn.models.drop_rates(4, 1.0), ValueError, r"drop_rates: p, .* must be in \[0, 1\), got 1.0"),
        (lambda: fn.monte_carlo(fn.models.lenet5(), ones(1, 1, 28, 28)), ValueError, "no layer with a random stream"),
        (lambda: fn.monte_carlo(fn.Dropout(), ones(1, 3)), TypeError, "model must be a fastnet.Model"),
        (
            lambda: fn.monte_carlo(built(fn.Dropout(), fn.Linear(1)), ones(1, 3)),
            ValueError,
            "classes need a score each",
        ),
        (lambda: fn.monte_carlo(built(fn.Dropout()), ones(1, 3), 0), ValueError, "monte_carlo: passes must be"),
    ],
)
def test_mistakes(wrong, kind, message):
    with pytest.raises(kind, match=message):
        wrong()


def built(*layers):
    model = fn.Sequential(*layers)
    model.build((3,))
    return model
