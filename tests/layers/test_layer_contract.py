"""What every layer promises: shapes, names, dtypes, errors, freezing, random streams, tracing."""

import numpy as np
import pytest

from fastnet.backends import available_backends, current, use_backend
from fastnet.layers import (
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    AvgPool1d,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Concat,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    GroupNorm,
    Identity,
    InstanceNorm1d,
    InstanceNorm2d,
    Layer,
    LayerNorm,
    Linear,
    LocalResponseNorm,
    LogSoftmax,
    MaxPool1d,
    MaxPool2d,
    Model,
    PixelShuffle,
    PixelUnshuffle,
    ReflectionPad2d,
    ReLU,
    Residual,
    ScalarAffine,
    Sequential,
    Softmax,
    Subsample,
    Unflatten,
    Upsample,
    ZeroPad2d,
    trace,
)


def net(dropout=0.5):
    return Sequential(
        Conv2d(4, 3, padding=1),
        BatchNorm2d(),
        ReLU(),
        Residual([Conv2d(4, 3, padding=1, bias=False), BatchNorm2d()]),
        MaxPool2d(2),
        Flatten(),
        Dropout(dropout),
        Linear(5),
    )


def images(n=3, shape=(3, 6, 6), dtype=np.float32, seed=0):
    return np.random.default_rng(seed).normal(size=(n, *shape)).astype(dtype)


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


def test_backward_checks_the_shape():
    model = Linear(4)
    _, backward = model.forward(images(2, (3,)))
    with pytest.raises(ValueError, match=r"output's shape \(2, 4\), got \(2, 3\)"):
        backward(np.zeros((2, 3)))


def test_empty_batches():
    model = net()
    model.build((3, 6, 6))
    x = images(0)
    assert model(x).shape == (0, 5) and model.predict(x).shape == (0, 5)
    inference = Sequential(Conv2d(2, 3), ReLU(), Flatten(), Linear(3))
    y, backward = inference.forward(x)
    assert backward(y).shape == x.shape
    assert not inference["0"].weight.grad.any()


@pytest.mark.parametrize(
    ("make", "shape", "error", "message"),
    [
        (lambda: Conv2d(0, 3), None, ValueError, "Conv2d: out_channels must be an integer between 1"),
        (lambda: Conv2d(2.5, 3), None, TypeError, "Conv2d: out_channels must be an integer, got 2.5"),
        (lambda: Conv2d(4, 3, stride=0), None, ValueError, "Conv2d: stride must be an integer between 1"),
        (lambda: Conv2d(4, 3, initializer="magic"), None, ValueError, "initializer must be one of"),
        (lambda: Conv2d(4, 9), (3, 5, 5), ValueError, "kernel 9x9 .* more than the padded"),
        (lambda: Conv2d(4, 3, groups=2), (3, 5, 5), ValueError, "1 per group x 2 groups = 2 input channels, x has 3"),
        (lambda: Conv2d(4, 3), (5,), ValueError, r"Conv2d: expects images, \(N, C, H, W\)"),
        (lambda: Linear(4), (3, 5, 5), ValueError, r"put Flatten\(\) before it"),
        (lambda: Unflatten(1, (2, 3, 5)), (31,), ValueError, r"\(2, 3, 5\) does not fit examples of shape \(31,\)"),
        (lambda: Unflatten(2, (2, 3, 5)), None, ValueError, "dim must be 1"),
        (lambda: Conv1d(4, 3), (3, 5, 5), ValueError, r"Conv1d: expects signals, \(N, C, L\)"),
        (lambda: Conv1d(4, 0), None, ValueError, "Conv1d: kernel_size must be an integer between 1 and"),
        (lambda: Conv1d(4, 3, padding="full"), None, ValueError, 'padding must be a number, "same" or "valid", got'),
        (
            lambda: Conv1d(4, 3, padding=5, padding_mode="reflect"),
            (3, 5),
            ValueError,
            "can add at most 4 to W=5, got 5",
        ),
        (
            lambda: Conv2d(4, 3, padding=(6, 1), padding_mode="circular"),
            (3, 5, 5),
            ValueError,
            "can add at most 5 to H=5",
        ),
        (lambda: ConvTranspose1d(4, 3), (3, 5, 5), ValueError, r"ConvTranspose1d: expects signals, \(N, C, L\)"),
        (lambda: ConvTranspose1d(4, 3, groups=3), None, ValueError, "groups=3 must divide out_channels=4"),
        (lambda: ConvTranspose1d(4, 3, padding=(1, 2)), None, TypeError, "padding must be an integer, got"),
        (lambda: MaxPool1d(2.5), None, TypeError, "MaxPool1d: kernel_size must be an integer, got 2.5"),
        (lambda: AvgPool1d(2, padding=2), (3, 9), ValueError, "AvgPool1d: padding .* must be smaller"),
        (lambda: PixelShuffle(3), (5, 4, 4), ValueError, "upscale_factor=3 needs a multiple of 9 channels, got 5"),
        (lambda: PixelUnshuffle(2), (5, 4, 5), ValueError, "downscale_factor=2 must divide the input's 4x5 pixels"),
        (lambda: Upsample(scale_factor=0.1), (3, 5, 5), ValueError, "at least one pixel"),
        (lambda: ReflectionPad2d(5), (3, 5, 5), ValueError, "can add at most 4 to H=5"),
        (lambda: ZeroPad2d((0, 0, -3, -2)), (3, 5, 5), ValueError, "-3 and -2 leave nothing of H=5"),
        (
            lambda: Softmax(2),
            (3, 5, 5),
            ValueError,
            r"got dim=2 for arrays of shape \(N, 3, 5, 5\)",
        ),
        (lambda: ConvTranspose2d(4, 3, output_padding=1), (3, 5, 5), ValueError, "smaller than the stride"),
        (lambda: MaxPool2d(9), (3, 5, 5), ValueError, "max_pool2d: kernel 9x9 is larger"),
        (lambda: AvgPool2d(2, padding=2), (3, 5, 5), ValueError, "avg_pool2d: padding 2 must be smaller"),
        (lambda: BatchNorm2d(), (4,), ValueError, r"BatchNorm2d: expects \(N, C, H, W\)"),
        (lambda: BatchNorm1d(), (4, 2, 2), ValueError, r"BatchNorm1d: expects \(N, C\)"),
        (lambda: BatchNorm2d(eps=0), None, ValueError, "eps must be positive"),
        (lambda: LayerNorm((5, 4)), (3, 5, 5), ValueError, r"must end in normalized_shape \(5, 4\)"),
        (lambda: LayerNorm(5, -1.0), None, ValueError, "eps must not be negative"),
        (lambda: LayerNorm(()), None, ValueError, "at least one size"),
        (lambda: LayerNorm((5, 0)), None, ValueError, "normalized_shape must be an integer between 1"),
        (lambda: GroupNorm(4), (6, 5, 5), ValueError, "num_groups=4 must divide the input's 6 channels"),
        (lambda: GroupNorm(4, 6), None, ValueError, "num_groups=4 must divide num_channels=6"),
        (lambda: GroupNorm(2, 4), (6, 5, 5), ValueError, "declared with num_channels=4, but the input has 6"),
        (lambda: InstanceNorm2d(), (4, 9), ValueError, r"InstanceNorm2d: expects \(N, C, H, W\)"),
        (lambda: InstanceNorm1d(5), (4, 9), ValueError, "declared with num_features=5, but the input has 4"),
        (lambda: LocalResponseNorm(0), None, ValueError, "LocalResponseNorm: size must be an integer between 1"),
        (lambda: LocalResponseNorm(5, k=0.0), None, ValueError, "alpha must be at least 0 and k positive"),
        (lambda: BatchNorm2d(momentum=1.5), None, ValueError, "weight of the new value"),
        (lambda: Dropout(1), None, ValueError, r"probability of zeroing, must be in \[0, 1\)"),
        (lambda: Subsample(2, 2), (3, 5, 5), ValueError, "2 channels requested, the input already has 3"),
        (lambda: Residual(Conv2d(4, 1)), (3, 5, 5), ValueError, "the body gives .* 1x1 Conv2d"),
        (lambda: Concat([Identity(), MaxPool2d(2)]), (3, 5, 5), ValueError, "may differ in channels only"),
        (lambda: Concat([]), None, ValueError, "at least one branch"),
        (lambda: Sequential(ReLU), None, TypeError, r"got the class ReLU; did you mean ReLU\(\)"),
        (lambda: Sequential(3), None, TypeError, "expects layers"),
        (lambda: Sequential({"a.b": ReLU()}), None, ValueError, "without a dot"),
        (lambda: ReLU(), (0, 3), ValueError, "sizes >= 1 and no batch axis"),
        (lambda: ReLU(), 3, TypeError, r"a tuple like \(3, 32, 32\)"),
    ],
)
def test_errors(make, shape, error, message):
    with pytest.raises(error, match=message):
        make().build(shape)


def test_errors_name_the_layer():
    model = Sequential(ReLU(), Residual([Conv2d(3, 3, padding=1), Linear(2)]))
    with pytest.raises(ValueError, match=r"\[layer 1.body.1: Linear\(2\), input shape \(3, 5, 5\)\]"):
        model.build((3, 5, 5))
    model = Sequential(ReLU(), block=Residual(Conv2d(4, 1)))
    with pytest.raises(ValueError, match=r"\[layer block: Residual"):
        model.build((3, 5, 5))


def test_not_built():
    for ask in (Layer.parameters, Layer.state_dict, Model.summary, Layer.freeze):
        with pytest.raises(RuntimeError, match=r"not built.*build\(input_shape\)"):
            ask(net())


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


# -------------------------------------------------------------------- batch norm, dropout


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


def test_batch_norm_needs_more_than_one_value():
    with pytest.raises(ValueError, match="more than one value per channel"):
        BatchNorm1d().forward(np.ones((1, 3), np.float32), training=True)


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


# -------------------------------------------------------------------- freezing


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


# -------------------------------------------------------------------- tracing


def test_trace_names_layer_and_phase():
    model = net(dropout=0)
    model.build((3, 6, 6))
    seen = []
    with trace(lambda name, phase, array: seen.append((name, phase, array.shape))):
        y, backward = model.forward(images(), training=True)
        backward(np.ones_like(y), input_gradient=False)
    forward = [name for name, phase, _ in seen if phase == "forward"]
    assert forward == ["0", "1", "2", "3.body.0", "3.body.1", "3", "4", "5", "6", "7"]
    assert ("7.weight", "backward", (5, 36)) in seen and ("7", "backward", (3, 36)) in seen
    assert seen[-2][:2] == ("0.weight", "backward") and seen[-1] == ("0.bias", "backward", (4,))
    seen.clear()
    y, backward = model.forward(images(), training=True)
    backward(np.ones_like(y))
    assert seen == []


def test_trace_finds_the_first_nan_and_passes_errors_on():
    model = net(dropout=0)
    model.build((3, 6, 6))
    model["3"]["body"][0].weight.value[0, 0, 0, 0] = np.nan

    def check(name, phase, array):
        if np.isnan(array).any():
            raise FloatingPointError(f"{phase} of {name}")

    with pytest.raises(FloatingPointError, match="forward of 3.body.0"), trace(check):
        model(images())
    with pytest.raises(FloatingPointError, match="forward of 3.body.0"), trace(check):
        model.forward(images(), training=True)
    assert np.isnan(model(images())).any()


def test_a_layer_of_ones_own():
    class Scale(Layer):
        """y = weight * x, one weight in all."""

        def setup(self, shape, rng, dtype):
            self.parameter("weight", (1,), "ones", rng, dtype)
            return shape

        def run(self, x, training, ops):
            def backward(dy, input_gradient=True):
                self.weight.accumulate((dy * x).sum(keepdims=True).reshape(1))
                return dy * self.weight.value if input_gradient else None

            return x * self.weight.value, backward

    model = Sequential(Linear(3), Scale())
    y, backward = model.forward(images(2, (4,)))
    assert backward(np.ones_like(y)).shape == (2, 4)
    np.testing.assert_allclose(model["1"].weight.grad, [y.sum()], rtol=1e-5)
    with pytest.raises(NotImplementedError, match="Layer defines neither call.* nor run"):
        Layer().forward(images())


def test_an_op_without_a_gradient_serves_for_inference_only():
    class Twice(Layer):
        def call(self, x, training, ops):
            return ops.matmul(x, x, transpose_a=True)

    x = np.eye(3, dtype=np.float32)
    layer = Twice()
    np.testing.assert_array_equal(layer(x), x)
    with pytest.raises(TypeError, match="matmul has no gradient: a layer that calls it can infer"):
        layer.forward(x)


def test_assigning_the_same_value_records_nothing_again():
    class Counting(Layer):
        calls = 0

        def call(self, x, training, ops):
            type(self).calls += 1
            return ops.relu(x)

    layer, x = Counting(), images()
    layer(x)
    once = Counting.calls
    layer.traced = layer.traced
    shared = Dropout(0.5)
    shared.p = shared.p
    layer(x)
    assert Counting.calls == once + 1  # the new Dropout is a change, its p is none
    layer(x)
    assert Counting.calls == once + 1


def test_ops_come_from_the_current_backend():
    model, x = net(), images()
    here = model(x)
    with use_backend("reference"):
        assert current().name == "reference"
        np.testing.assert_allclose(model(x), here, rtol=1e-4, atol=1e-5)


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
