"""Calls in PyTorch's order mean the same as there; input sizes are optional; errors show the right call."""

import copy
import inspect

import numpy as np
import pytest

from fastnet import layers
from fastnet.layers import (
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    ConstantPad2d,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Flatten,
    LeakyReLU,
    Linear,
    MaxPool2d,
    PixelShuffle,
    ReflectionPad2d,
    ReLU,
    Sequential,
    Sigmoid,
    Upsample,
    ZeroPad2d,
)

CONV = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "use_bias")
CONV_DEFAULTS = dict(zip(CONV[3:], ((1, 1), 0, (1, 1), 1, True), strict=True))


def settings(layer, names):
    return {name: getattr(layer, name) for name in names}


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        ((32, 3), {}, {"in_channels": None, "out_channels": 32, "kernel_size": (3, 3)}),
        ((32, (3, 5)), {"stride": 2}, {"out_channels": 32, "kernel_size": (3, 5), "stride": (2, 2)}),
        ((32,), {"kernel_size": 3, "padding": "same"}, {"out_channels": 32, "padding": "same"}),
        ((), {"out_channels": 32, "kernel_size": 3}, {"in_channels": None, "out_channels": 32}),
        ((3, 32, 3), {}, {"in_channels": 3, "out_channels": 32, "kernel_size": (3, 3)}),
        ((3, 32, 3), {"padding": 1}, {"in_channels": 3, "out_channels": 32, "padding": 1}),
        ((3, 32), {"kernel_size": 3}, {"in_channels": 3, "out_channels": 32, "kernel_size": (3, 3)}),
        ((3,), {"out_channels": 32, "kernel_size": 3}, {"in_channels": 3, "out_channels": 32}),
        ((32, 3), {"in_channels": None}, TypeError),
        ((), {"in_channels": 3, "out_channels": 32, "kernel_size": 3}, {"in_channels": 3, "out_channels": 32}),
        ((16, 32, 3, 1, 1), {}, {"in_channels": 16, "out_channels": 32, "padding": 1}),
        ((32, 3, 1, 1), {}, {"in_channels": 32, "out_channels": 3, "kernel_size": (1, 1), "stride": (1, 1)}),
        (
            (16, 32, 3, 2, 1, (1, 2), 4, False),
            {},
            {"stride": (2, 2), "padding": 1, "dilation": (1, 2), "groups": 4, "use_bias": False},
        ),
        ((None, 32, 3, 2), {}, {"in_channels": None, "out_channels": 32, "stride": (2, 2)}),
    ],
)
def test_conv2d(args, kwargs, expected):
    if expected is TypeError:
        with pytest.raises(TypeError, match="Conv2d: multiple values for argument 'in_channels'"):
            Conv2d(*args, **kwargs)
        return
    found = settings(Conv2d(*args, **kwargs), CONV)
    assert {name: found[name] for name in expected} == expected
    others = {name: value for name, value in CONV_DEFAULTS.items() if name not in {*expected, *kwargs}}
    if len(args) < 4:
        assert {name: found[name] for name in others} == others


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        ((10,), {}, (None, 10, True)),
        ((), {"out_features": 10}, (None, 10, True)),
        ((10,), {"bias": False}, (None, 10, False)),
        ((784, 10), {}, (784, 10, True)),
        ((784,), {"out_features": 10}, (784, 10, True)),
        ((784, 10, False), {}, (784, 10, False)),
        ((), {"in_features": 784, "out_features": 10}, (784, 10, True)),
    ],
)
def test_linear(args, kwargs, expected):
    assert tuple(settings(Linear(*args, **kwargs), ("in_features", "out_features", "use_bias")).values()) == expected


@pytest.mark.parametrize("kind", [BatchNorm1d, BatchNorm2d])
def test_batch_norm(kind):
    names = ("num_features", "eps", "momentum", "affine", "track_running_stats")
    assert tuple(settings(kind(), names).values()) == (None, 1e-5, 0.1, True, True)
    assert tuple(settings(kind(64), names).values()) == (64, 1e-5, 0.1, True, True)
    assert tuple(settings(kind(64, 1e-3, 0.2, False, False), names).values()) == (64, 1e-3, 0.2, False, False)


def test_pooling_and_activations():
    names = ("kernel_size", "stride", "padding", "ceil_mode")
    pool = MaxPool2d(3, 2, 1, 1, False, True)
    assert tuple(settings(pool, names).values()) == ((3, 3), (2, 2), 1, True)
    pool = AvgPool2d(3, 2, 1, True, False)
    assert tuple(settings(pool, names).values()) == ((3, 3), (2, 2), 1, True) and not pool.count_include_pad
    pool = AvgPool2d(3, 2, 1, False, True, 5)
    assert pool.divisor_override == 5 and not pool.ceil_mode and pool.count_include_pad
    pool = MaxPool2d((3,), (), (1,), (2, 3))
    assert tuple(settings(pool, (*names[:3], "dilation")).values()) == ((3, 3), (3, 3), (1,), (2, 3))
    assert LeakyReLU(0.2, True).negative_slope == 0.2 and LeakyReLU().negative_slope == 0.01
    assert Dropout(0.3, True).p == 0.3 and Dropout(0.3, True).seed is None and ReLU(inplace=True).inplace
    assert Flatten(1, -1).build((3, 4, 4)) == (48,)


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (
            Conv2d(16, 32, 3),
            (3, 8, 8),
            r"in_channels=16, but the input has 3 channels; Conv2d\(in_channels, .* declares",
        ),
        (Conv2d(32, 3, 2), (3, 8, 8), r"in_channels=32, .*Conv2d\(out_channels, kernel_size, stride=...\) infers them"),
        (Conv2d(16, 32, 3, groups="depthwise"), (3, 8, 8), "in_channels=16, but the input has 3"),
        (Linear(784, 10), (100,), r"Linear: declared with in_features=784, but the input has 100 features"),
        (BatchNorm2d(64), (32, 4, 4), "BatchNorm2d: declared with num_features=64, but the input has 32 channels"),
        (BatchNorm1d(64, affine=False, track_running_stats=False), (32,), "num_features=64, but the input has 32"),
    ],
)
def test_a_declared_input_size_is_checked(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer.build(shape)
    model = Sequential(layers.Identity(), layer)
    with pytest.raises(ValueError, match=r"\[layer 1: "):
        model.build(shape)


def test_a_declared_input_size_that_fits_changes_nothing():
    def net(sizes):
        conv, norm, linear = ((3,), (8,), (8 * 36,)) if sizes else ((), (), ())
        return Sequential(Conv2d(*conv, 8, 3), BatchNorm2d(*norm), ReLU(), Flatten(), Linear(*linear, 5))

    declared, inferred = net(True), net(False)
    declared.build((3, 8, 8), seed=1)
    inferred.build((3, 8, 8), seed=1)
    for name, value in declared.state_dict().items():
        assert (value == inferred.state_dict()[name]).all()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: Conv2d(32),
            TypeError,
            r"missing a required argument: .*expected Conv2d\(out_channels, kernel_size, \*,",
        ),
        (lambda: Conv2d(), TypeError, r"or Conv2d\(in_channels, out_channels, kernel_size, stride=1, padding=0"),
        (
            lambda: Conv2d(filters=32, kernel_size=3),
            TypeError,
            r"Conv2d: no argument is named 'filters'; expected Conv2d",
        ),
        (
            lambda: Conv2d(3, 32, 3, 1, 1, 1, 1, True, "zeros", "zeros"),
            TypeError,
            "Conv2d: too many positional arguments; exp",
        ),
        (lambda: Conv2d(3, 32, 3, 1, stride=1), TypeError, "Conv2d: multiple values for argument 'stride'; expected"),
        (
            lambda: Conv2d(3, 32, 3, padding_mode="mirror"),
            ValueError,
            "padding_mode must be one of 'zeros', 'ref",
        ),
        (
            lambda: Upsample(),
            ValueError,
            "give either size or scale_factor, got size=None, sc",
        ),
        (lambda: Upsample(4, 2), ValueError, "Upsample: give either size or scale_factor, got size=4, scale_factor=2"),
        (lambda: Upsample(scale_factor=-1), ValueError, "scale_factor must be a positive number or a pair of them"),
        (lambda: Upsample(4, mode="bicubic"), ValueError, "mode must be one of 'nearest', 'bilinear', got 'bicubic'"),
        (lambda: Upsample(4, align_corners=True), ValueError, "align_corners is for mode='bilinear'"),
        (lambda: AdaptiveAvgPool2d((1, 2, 3)), ValueError, "AdaptiveAvgPool2d: output_size must be an int or a pair"),
        (lambda: AdaptiveMaxPool2d(2, True), ValueError, "AdaptiveMaxPool2d: return_indices must be False, got True"),
        (lambda: PixelShuffle(0), ValueError, "PixelShuffle: upscale_factor must be an integer between 1"),
        (lambda: ConvTranspose2d(3, 6, 3, groups=4), ValueError, "groups=4 must divide out_channels=6"),
        (lambda: ConvTranspose2d(3, 6, 3, 2, "same"), TypeError, "ConvTranspose2d: padding must be an integer"),
        (
            lambda: ZeroPad2d((1, 2)),
            ValueError,
            r"padding must be an int or \(left, right, top, bottom\), got",
        ),
        (lambda: ReflectionPad2d(1.5), TypeError, "ReflectionPad2d: padding must be an integer, got 1.5"),
        (lambda: ConstantPad2d(1, float("nan")), ValueError, "ConstantPad2d: value must be a finite number"),
        (lambda: Conv2d(0, 32, 3), ValueError, "Conv2d: in_channels must be an integer between 1"),
        (lambda: Conv2d(3.0, 32, 3), TypeError, "Conv2d: in_channels must be an integer, got 3.0"),
        (lambda: Linear(), TypeError, r"expected Linear\(out_features, \*, bias=True\) or Linear\(in_features, out_f"),
        (lambda: Linear(features=10), TypeError, "Linear: no argument is named 'features'"),
        (lambda: Linear(10, False), TypeError, "Linear: out_features must be an integer, got False"),
        (lambda: Linear(784, 10, True, "zeros"), TypeError, "too many positional arguments"),
        (lambda: BatchNorm2d(1e-3), TypeError, "BatchNorm2d: num_features must be an integer, got 0.001"),
        (lambda: MaxPool2d(3, 2, 0, True), TypeError, "MaxPool2d: dilation must be an integer, got True"),
        (lambda: MaxPool2d(3, return_indices=True), TypeError, "MaxPool2d: return_indices=True is not supported"),
        (lambda: MaxPool2d(3, 2, 0, 1, 2), TypeError, "MaxPool2d: return_indices must be True or False, got 2"),
        (lambda: MaxPool2d(3, 2, 0, 1, False, 1), TypeError, "MaxPool2d: ceil_mode must be True or False, got 1"),
        (lambda: MaxPool2d(3, 2.0), TypeError, "MaxPool2d: stride must be an integer, got 2.0"),
        (lambda: MaxPool2d(3, padding="Same"), ValueError, 'MaxPool2d: padding must be numbers, "same" or "valid"'),
        (lambda: AvgPool2d(3, padding=-1), ValueError, "AvgPool2d: padding must be an integer between 0 and"),
        (lambda: Conv2d(3, 8, 3, padding=(1, 2, 3)), ValueError, "Conv2d: padding must be an int, a pair,"),
        (lambda: Conv2d(3, 8, 3, padding=True), TypeError, "Conv2d: padding must be an integer, got True"),
        (lambda: AvgPool2d(3, 2, 1, 1), TypeError, "AvgPool2d: ceil_mode must be True or False, got 1"),
        (lambda: AvgPool2d(3, count_include_pad="no"), TypeError, "AvgPool2d: count_include_pad must be True or False"),
        (
            lambda: AvgPool2d(3, divisor_override=0),
            ValueError,
            "AvgPool2d: divisor_override must be an integer other than 0",
        ),
        (lambda: Conv2d(3, 8, 3, bias="zeros"), TypeError, "Conv2d: bias must be True or False, got 'zeros'"),
        (lambda: Linear(3, 8, bias=1), TypeError, "Linear: bias must be True or False, got 1"),
        (lambda: BatchNorm2d(8, 1e-5, True), TypeError, "BatchNorm2d: momentum, .*, must be a finite number, got True"),
        (lambda: BatchNorm2d(8, affine="yes"), TypeError, "BatchNorm2d: affine must be True or False, got 'yes'"),
        (lambda: BatchNorm2d(8, "small"), TypeError, "BatchNorm2d: eps must be a finite number, got 'small'"),
        (lambda: Dropout("half"), TypeError, "Dropout: p, the probability of zeroing, must be a finite number"),
        (lambda: Dropout(seed=1.5), TypeError, "Dropout: seed must be an integer, got 1.5"),
        (lambda: layers.GlobalAvgPool2d(2), TypeError, "positional argument"),
        (lambda: layers.Identity(3), TypeError, "positional argument"),
        (lambda: layers.Tanh(typo=1), TypeError, "typo"),
        (lambda: layers.GELU("fast"), ValueError, "GELU: approximate must be"),
        (lambda: layers.Softplus(beta="1"), TypeError, "Softplus: beta must be a finite number, got '1'"),
        (
            lambda: Dropout(0.5, 3),
            TypeError,
            r"Dropout: inplace must be True or False, got 3; .*Dropout\(0.5, seed=...\)",
        ),
        (lambda: ReLU(0.1), TypeError, "ReLU: inplace must be True or False, got 0.1"),
        (lambda: LeakyReLU(0.1, 0.2), TypeError, "LeakyReLU: inplace must be"),
        (lambda: LeakyReLU(float("nan")), ValueError, "LeakyReLU: negative_slope must be a finite number"),
        (lambda: Flatten(True), TypeError, "Flatten: start_dim must be an integer, got True"),
        (lambda: Flatten(0), TypeError, r"only the batch axis is kept, as Flatten\(\)"),
        (lambda: Sigmoid(3), TypeError, "positional argument"),
    ],
)
def test_wrong_calls(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_numpys_numbers():
    """Wherever a number of Python's is taken, one of NumPy's is."""
    two, half, yes = np.int64(2), np.float32(0.5), np.True_
    model = Sequential(
        Conv2d(two, np.uint8(4), np.array(3), two, np.int32(1), np.int16(1), two, yes),
        BatchNorm2d(np.int64(4), half, half, yes, yes),
        LeakyReLU(half),
        layers.ELU(half),
        layers.Softplus(half, np.float64(3)),
        MaxPool2d(two, np.int8(1), np.int64(0), two, np.False_, yes),
        AvgPool2d(two, two, np.int64(1), yes, yes, two),
        layers.Subsample(two, np.int64(6)),
        Dropout(half, seed=np.uint64(3)),
        Flatten(np.int64(1), np.int64(-1)),
        Linear(np.int64(24), np.int64(5), np.False_),
    )
    assert model.build((np.int64(2), np.int64(16), np.int16(16)), seed=np.int64(1)) == (5,)
    model.forward(np.ones((3, 2, 16, 16), np.float32), training=yes)


def test_signatures_are_those_of_the_full_form():
    assert list(inspect.signature(Conv2d).parameters) == [
        *(
            "in_channels",
            "out_channels",
            "kernel_size",
            "stride",
            "padding",
            "dilation",
            "groups",
            "bias",
            "padding_mode",
            "initializer",
            "bias_initializer",
        )
    ]
    linear = ["in_features", "out_features", "bias", "initializer", "bias_initializer"]
    assert list(inspect.signature(Linear).parameters) == linear


def test_subclasses_and_copies():
    class Same(Conv2d):
        def __init__(self, out_channels):
            super().__init__(out_channels, 3, padding="same")

    layer = copy.deepcopy(Same(4))
    assert layer.build((2, 5, 5)) == (4, 5, 5) and repr(layer) == "Same(4)"
    with pytest.raises(TypeError, match=r"Same: no argument is named 'filter'"):

        class Wrong(Same):
            def __init__(self):
                Conv2d.__init__(self, 4, filter=3)

        Wrong.__name__ = "Same"
        Wrong()
