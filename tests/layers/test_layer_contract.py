"""What every layer promises: shapes, parameters, gradients, names, dtypes."""

import numpy as np
import pytest
from layer_nets import images, net

from fastnet.layers import (
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    AvgPool2d,
    BatchNorm2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    GlobalAvgPool2d,
    GroupNorm,
    Identity,
    InstanceNorm1d,
    InstanceNorm2d,
    LayerNorm,
    Linear,
    LocalResponseNorm,
    LogSoftmax,
    MaxPool2d,
    PixelShuffle,
    PixelUnshuffle,
    ReflectionPad2d,
    ReLU,
    Residual,
    ScalarAffine,
    Sequential,
    Softmax,
    Subsample,
    Upsample,
    ZeroPad2d,
)


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (Conv2d(7, 3, stride=2, padding="same"), (3, 9, 8), (7, 5, 4)),
        (Conv2d(6, (3, 5), groups="depthwise"), (3, 9, 8), (6, 7, 4)),
        (MaxPool2d(3, 2, ceil_mode=True), (2, 8, 8), (2, 4, 4)),
        (AvgPool2d(2, padding=1), (2, 7, 7), (2, 4, 4)),
        (GlobalAvgPool2d(), (2, 7, 5), (2, 1, 1)),
        (AdaptiveAvgPool2d((None, 9)), (2, 7, 5), (2, 7, 9)),
        (AdaptiveMaxPool2d(3), (2, 7, 5), (2, 3, 3)),
        (ConvTranspose2d(6, 3, stride=2, output_padding=1), (3, 4, 5), (6, 10, 12)),
        (Upsample(scale_factor=(2, 1.5)), (3, 4, 5), (3, 8, 7)),
        (PixelShuffle(2), (8, 4, 5), (2, 8, 10)),
        (PixelUnshuffle(2), (2, 8, 10), (8, 4, 5)),
        (ZeroPad2d((1, 2, 3, -1)), (2, 7, 5), (2, 9, 8)),
        (ReflectionPad2d(2), (2, 7, 5), (2, 11, 9)),
        (Conv2d(7, 3, padding=1, padding_mode="circular"), (3, 9, 8), (7, 9, 8)),
        (Softmax(1), (5,), (5,)),
        (LogSoftmax(1), (5, 2, 3), (5, 2, 3)),
        (Flatten(), (2, 7, 5), (70,)),
        (Flatten(), (6,), (6,)),
        (Linear(4), (70,), (4,)),
        (BatchNorm2d(), (2, 7, 5), (2, 7, 5)),
        (LayerNorm(), (2, 7, 5), (2, 7, 5)),
        (LayerNorm((7, 5)), (2, 7, 5), (2, 7, 5)),
        (GroupNorm(3), (6,), (6,)),
        (InstanceNorm2d(), (2, 7, 5), (2, 7, 5)),
        (InstanceNorm1d(affine=True), (4, 9), (4, 9)),
        (LocalResponseNorm(5), (2, 7, 5), (2, 7, 5)),
        (Subsample(2, 6), (2, 7, 5), (6, 4, 3)),
        (ScalarAffine(), (2, 7, 5), (2, 7, 5)),
        (Concat([Conv2d(4, 1), Identity()]), (3, 5, 5), (7, 5, 5)),
        (Sequential(), (3, 5, 5), (3, 5, 5)),
    ],
)
def test_build_infers_what_forward_gives(layer, shape, expected):
    assert layer.build(shape) == expected == layer.output_shape
    assert layer(images(2, shape)).shape == (2, *expected)


def test_built_on_first_use_equals_built_with_seed_0():
    lazy, eager = net(), net()
    eager.build((3, 6, 6))
    x = images()
    np.testing.assert_array_equal(lazy(x), eager(x))


def test_seed_decides_weights_in_both_dtypes():
    one, two, other, wide = net(), net(), net(), net()
    one.build((3, 6, 6), seed=1)
    two.build((3, 6, 6), seed=np.random.default_rng(1))
    other.build((3, 6, 6), seed=2)
    wide.build((3, 6, 6), seed=1, dtype="float64")
    first = one.state_dict()
    for name, value in two.state_dict().items():
        np.testing.assert_array_equal(value, first[name])
        np.testing.assert_array_equal(wide.state_dict()[name], first[name])
        assert wide.state_dict()[name].dtype == np.float64
    assert (other.state_dict()["0.weight"] != first["0.weight"]).any()


def test_building_again_keeps_weights_and_changes_shapes():
    model = Sequential(Conv2d(4, 3), GlobalAvgPool2d())
    model.build((3, 6, 6), seed=1)
    before = model.state_dict()
    model.build((3, 9, 9), seed=2)
    assert model[0].output_shape == (4, 7, 7)
    np.testing.assert_array_equal(model.state_dict()["0.weight"], before["0.weight"])
    model.build((3, 9, 9), dtype="float64")
    assert model(images(1, (3, 9, 9), np.float64)).dtype == np.float64
    with pytest.raises(ValueError, match=r"weight expects 3 input channels, x has 4.*\[layer 0: Conv2d\(4, 3\)"):
        model.build((4, 9, 9))


def test_parameters_start_as_documented():
    model = net()
    model.build((3, 6, 6))
    parameters, buffers = dict(model.named_parameters()), dict(model.named_buffers())
    assert list(parameters) == [
        *("0.weight", "0.bias", "1.weight", "1.bias"),
        *("3.body.0.weight", "3.body.1.weight", "3.body.1.bias", "7.weight", "7.bias"),
    ]
    assert list(buffers) == [
        *("1.running_mean", "1.running_var", "3.body.1.running_mean", "3.body.1.running_var"),
    ]
    assert model.parameters() == list(parameters.values()) and model.buffers() == list(buffers.values())
    assert list(model.state_dict()) == [
        *("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"),
        *("3.body.0.weight", "3.body.1.weight", "3.body.1.bias", "3.body.1.running_mean", "3.body.1.running_var"),
        *("7.weight", "7.bias"),
    ]
    named = {**parameters, **buffers}
    assert all(parameter.name == name for name, parameter in named.items())
    assert {name for name, parameter in named.items() if parameter.decay} == {
        "0.weight",
        "3.body.0.weight",
        "7.weight",
    }
    assert {name for name, parameter in named.items() if not parameter.requires_grad} == {
        name for name in named if "running" in name
    }
    for name, start in (("0.bias", 0), ("1.weight", 1), ("1.bias", 0), ("1.running_mean", 0), ("1.running_var", 1)):
        assert (named[name].value == start).all()
    assert model.parameters(requires_grad=True) == model.parameters() and model.parameters(requires_grad=False) == []


def test_gradients_add_up_and_are_forgotten():
    model = net(dropout=0)
    model.build((3, 6, 6), dtype="float64")
    x = images(dtype=np.float64)
    for times in (1, 2):
        y, backward = model.forward(x)
        assert backward(np.ones_like(y), input_gradient=False) is None
        gradient = model["7"].weight.grad
        if times == 1:
            first = gradient.copy()
    np.testing.assert_allclose(gradient, 2 * first, rtol=1e-12)
    model.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_only_needed_gradients_are_computed():
    calls = []

    class Spy(Identity):
        def run(self, x, training, ops):
            return x, lambda dy, input_gradient=True: calls.append((self.path, input_gradient)) or dy

    model = Sequential(a=Spy(), b=Conv2d(2, 1), c=Spy(), d=Conv2d(2, 1), e=Spy())
    model.build((3, 4, 4))
    y, backward = model.forward(images(1, (3, 4, 4)))
    assert backward(np.ones_like(y), input_gradient=False) is None
    assert calls == [("e", True), ("c", True)]
    calls.clear()
    model.freeze("b")
    y, backward = model.forward(images(1, (3, 4, 4)))
    backward(np.ones_like(y), input_gradient=False)
    assert calls == [("e", True)]
    assert model["b"].weight.grad is None and model["d"].weight.grad is not None
    calls.clear()
    y, backward = model.forward(images(1, (3, 4, 4)))
    assert backward(np.ones_like(y)).shape == (1, 3, 4, 4)
    assert [name for name, _ in calls] == ["e", "c", "a"]


def test_containers_run_backward_once():
    for model in (Sequential(ReLU()), Residual(ReLU()), Concat([ReLU(), ReLU()])):
        y, backward = model.forward(images(2))
        backward(np.ones_like(y))
        with pytest.raises(RuntimeError, match="run forward again"):
            backward(np.ones_like(y))


def test_a_shared_layer_adds_both_gradients():
    shared = Linear(4, bias=False)
    model = Sequential(shared, shared)
    model.build((4,), dtype="float64")
    assert list(model.state_dict()) == ["0.weight"] and model.summary().parameters == 16
    x = np.eye(4)
    y, backward = model.forward(x)
    dx = backward(np.ones_like(y))
    w, ones = shared.weight.value, np.ones((4, 4))
    np.testing.assert_allclose(y, w.T @ w.T)
    np.testing.assert_allclose(shared.weight.grad, ones.T @ (x @ w.T) + (ones @ w).T @ x)
    np.testing.assert_allclose(dx, ones @ w @ w)


@pytest.mark.filterwarnings("error")
def test_dtype_at_the_door():
    model = net()
    model.build((3, 6, 6))
    x = images(dtype=np.float64)
    with pytest.warns(UserWarning, match="float64 and the model float32"):
        y = model(x)
    assert y.dtype == np.float32
    model(x)  # warnings are errors in these tests: a second one would raise
    np.testing.assert_array_equal(model(np.ones((2, 3, 6, 6), np.uint8)), model(np.ones((2, 3, 6, 6), np.float32)))
    swapped = x.astype(np.float32).astype(">f4")
    np.testing.assert_array_equal(model(swapped), y)
    np.testing.assert_array_equal(model(np.asfortranarray(x.astype(np.float32))), y)
    with pytest.raises(TypeError, match="real numbers, got dtype complex"):
        model(x + 1j)
    wide = net()
    wide.build((3, 6, 6), dtype="float64")
    assert wide(x.astype(np.float32)).dtype == np.float64
    out, backward = wide.forward(x)
    assert backward(np.ones(out.shape, np.float32)).dtype == np.float64


def test_empty_batches():
    model = net()
    model.build((3, 6, 6))
    x = images(0)
    assert model(x).shape == (0, 5) and model.predict(x).shape == (0, 5)
    inference = Sequential(Conv2d(2, 3), ReLU(), Flatten(), Linear(3))
    y, backward = inference.forward(x)
    assert backward(y).shape == x.shape
    assert not inference["0"].weight.grad.any()


def test_names_in_containers():
    model = Sequential(
        {"stem": Conv2d(2, 1)},
        _hidden=Residual({"conv": Conv2d(2, 1)}, names=("_body", "shortcut")),
        join=Concat(left=Conv2d(1, 1), right=[Conv2d(1, 1)]),
    )
    model.build((3, 4, 4))
    assert [name for name in model.state_dict() if "weight" in name] == [
        "stem.weight",
        "conv.weight",
        "join.left.weight",
        "join.right.0.weight",
    ]
    inner = model["_hidden"]
    assert list(inner.state_dict()) == ["conv.weight", "conv.bias"]
    clash = Sequential(_a=Sequential(c=Conv2d(1, 1)), _b=Sequential(c=Conv2d(1, 1)))
    clash.build((1, 2, 2))
    with pytest.raises(ValueError, match="two parameters are named c.weight"):
        clash.parameters()


def test_repr_shows_what_was_written():
    assert repr(Conv2d(8, 3, padding=1)) == "Conv2d(8, 3, padding=1)"
    text = repr(Sequential(ReLU(), pool=MaxPool2d(2)))
    assert text == "Sequential(\n  (0): ReLU()\n  (pool): MaxPool2d(2)\n)"


def test_summary_counts_a_shared_layer_once_in_parameters_and_at_each_place_in_macs():
    shared = Conv2d(3, 3, padding=1)
    model = Sequential(shared, MaxPool2d(2), shared)
    for _ in range(2):  # building again starts the count anew
        model.build((3, 8, 8))
        summary = model.summary()
        assert (summary.parameters, summary.macs) == (84, 81 * 64 + 81 * 16)
        assert [(row.name, row.output_shape) for row in summary.rows if row.layer == "Conv2d"] == [
            ("0", (3, 8, 8)),
            ("0 (use 2)", (3, 4, 4)),
        ]
