"""Freezing, and the statistics and random streams of layers."""

import numpy as np
import pytest
from layer_nets import images, net

from fastnet.backends import available_backends, use_backend
from fastnet.layers import (
    BatchNorm2d,
    Dropout,
    Residual,
    Sequential,
)


def test_running_statistics_follow_torch():
    layer = BatchNorm2d(momentum=0.25)
    layer.build((2, 3, 3), dtype="float64")
    x = images(4, (2, 3, 3), np.float64) + 3
    layer.forward(x, training=True)
    np.testing.assert_allclose(layer.running_mean.value, 0.25 * x.mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(layer.running_var.value, 0.75 + 0.25 * x.var(axis=(0, 2, 3), ddof=1))
    before = layer.state_dict()
    y, _ = layer.forward(x)
    expected = (x - before["running_mean"][:, None, None]) / np.sqrt(before["running_var"] + 1e-5)[:, None, None]
    np.testing.assert_allclose(y, expected)
    np.testing.assert_array_equal(layer.running_mean.value, before["running_mean"])


@pytest.mark.parametrize("backend", available_backends())
def test_running_statistics_move_in_an_array_that_somebody_put_there(backend):
    with use_backend(backend):
        model = BatchNorm2d(momentum=1.0)
        model.build((4, 2, 2), seed=0)
        model.running_mean.value = model.running_mean.value.repeat(2)[::2]
        given = model.running_mean.value
        x = images(5, (4, 2, 2))
        model.forward(x, training=True)
    assert model.running_mean.value is given
    np.testing.assert_allclose(given, x.mean(axis=(0, 2, 3)), rtol=1e-5, atol=1e-6)


def test_dropout_stream_can_be_put_back():
    model = Sequential(Dropout(0.5), block=Residual(Dropout(0.3, seed=7)))
    model.build((50,), seed=3)
    x = np.ones((4, 50), np.float32)
    np.testing.assert_array_equal(model(x), 2 * x)
    state = model.rng_state()
    assert set(state) == {"0", "block.body"} and state["block.body"] == {"seed": 7, "offset": 0}
    first = model.forward(x, training=True)[0]
    second = model.forward(x, training=True)[0]
    assert (first != second).any()
    model.set_rng_state(state)
    np.testing.assert_array_equal(model.forward(x, training=True)[0], first)
    np.testing.assert_array_equal(model.forward(x, training=True)[0], second)
    with pytest.raises(KeyError, match="set_rng_state"):
        model.set_rng_state({})


def test_dropout_keeps_the_mean():
    layer = Dropout(0.3, seed=1)
    y, backward = layer.forward(np.ones((200, 300), np.float32), training=True)
    kept = y != 0
    assert abs(kept.mean() - 0.7) < 0.01
    np.testing.assert_allclose(y[kept], 1 / 0.7, rtol=1e-6)
    np.testing.assert_array_equal(backward(np.ones_like(y)) != 0, kept)


def test_freeze_everything_holds_statistics_too():
    model = net(dropout=0)
    model.build((3, 6, 6))
    model.forward(images(), training=True)
    before = model.state_dict()
    model.freeze()
    y, backward = model.forward(images(seed=1), training=True)
    assert backward(np.ones_like(y)).shape == (3, 3, 6, 6)
    assert model.parameters(requires_grad=True) == [] and all(p.grad is None for p in model.parameters())
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    np.testing.assert_allclose(y, model(images(seed=1)), rtol=1e-5)  # folded now
    model.unfreeze()
    model.forward(images(seed=1), training=True)
    assert (model.state_dict()["1.running_mean"] != before["1.running_mean"]).any()
    assert not any(p.requires_grad for p in model.buffers())


def test_freeze_by_path_and_pattern():
    model = net()
    model.build((3, 6, 6))
    assert model.freeze("3") == [name for name in model.state_dict() if name.startswith("3.")]
    assert model["3"]["body"][1].frozen and not model["1"].frozen
    assert model.freeze("*.bias") == ["0.bias", "1.bias", "3.body.1.bias", "7.bias"]
    assert not model["1"].frozen and model["1"].weight.requires_grad
    assert [p.name for p in model.parameters(requires_grad=True)] == ["0.weight", "1.weight", "7.weight"]
    assert "(" in str(model.summary()) and model.summary().trainable < model.summary().parameters
    with pytest.raises(ValueError, match="nothing is named 'layer9'; names like"):
        model.freeze("layer9")
    with pytest.raises(TypeError, match="a layer's path or a pattern"):
        model.freeze(3)
