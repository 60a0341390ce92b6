"""Every layer and container against central differences, in float64."""

import math
import re

import numpy as np
import pytest

from fastnet.layers import (
    ELU,
    GELU,
    SELU,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    AvgPool1d,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    CircularPad2d,
    Concat,
    ConstantPad2d,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    DropConnect,
    Dropout,
    Dropout1d,
    Dropout2d,
    Flatten,
    FractionalMaxPool2d,
    GlobalAvgPool2d,
    GroupNorm,
    Hardsigmoid,
    Hardswish,
    Identity,
    InstanceNorm1d,
    InstanceNorm2d,
    LayerNorm,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    LogSoftmax,
    Maxout,
    MaxPool1d,
    MaxPool2d,
    Model,
    PixelShuffle,
    PixelUnshuffle,
    PReLU,
    ReflectionPad2d,
    ReLU,
    ReLU6,
    ReplicationPad2d,
    Residual,
    ScalarAffine,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    StochasticDepth,
    Subsample,
    Tanh,
    Unflatten,
    Upsample,
    ZeroPad2d,
)

IMAGES = (2, 4, 5, 6)
SIGNALS = (3, 4, 11)
CASES = {
    "conv": (lambda: Conv2d(3, 3, padding=1), IMAGES),
    "conv without bias": (lambda: Conv2d(3, (2, 3), bias=False), IMAGES),
    "conv strided, same": (lambda: Conv2d(2, 3, stride=2, padding="same"), IMAGES),
    "conv dilated, four sides": (lambda: Conv2d(2, 2, dilation=(2, 3), padding=(1, 0, 2, 1)), IMAGES),
    "conv in groups": (lambda: Conv2d(6, 3, stride=(2, 1), padding=1, groups=2), IMAGES),
    "conv depthwise": (lambda: Conv2d(8, 3, padding=1, groups="depthwise"), IMAGES),
    "conv 1x1": (lambda: Conv2d(3, 1, stride=2), IMAGES),
    "conv, mirrored": (lambda: Conv2d(3, 3, stride=2, padding=(1, 2, 0, 1), padding_mode="reflect"), IMAGES),
    "conv, circular": (lambda: Conv2d(2, 3, padding="same", dilation=2, padding_mode="circular"), IMAGES),
    "conv, replicated": (lambda: Conv2d(4, 3, padding=2, groups=2, padding_mode="replicate"), IMAGES),
    "transposed conv": (lambda: ConvTranspose2d(3, 2, stride=2), IMAGES),
    "transposed conv in groups": (
        lambda: ConvTranspose2d(6, 3, stride=(2, 1), padding=(1, 0), output_padding=(1, 0), groups=2, bias=False),
        IMAGES,
    ),
    "transposed conv, dilated": (lambda: ConvTranspose2d(2, 3, padding=(1, 0, 2, 1), dilation=(2, 1)), IMAGES),
    "transposed conv, output padded beyond the stride": (
        lambda: ConvTranspose2d(2, 2, stride=(1, 2), output_padding=(2, 3), dilation=(3, 4)),
        IMAGES,
    ),
    "zero pad": (lambda: ZeroPad2d((1, 0, 2, 3)), IMAGES),
    "negative pad": (lambda: ZeroPad2d((-1, 2, 0, -2)), IMAGES),
    "constant pad": (lambda: ConstantPad2d(1, 0.5), IMAGES),
    "reflection pad": (lambda: ReflectionPad2d((3, 0, 4, 2)), IMAGES),
    "replication pad": (lambda: ReplicationPad2d((3, 7, 4, 2)), IMAGES),
    "circular pad": (lambda: CircularPad2d((3, 6, 5, 2)), IMAGES),
    "upsample": (lambda: Upsample(scale_factor=2), IMAGES),
    "upsample, bilinear": (lambda: Upsample((3, 11), mode="bilinear"), IMAGES),
    "upsample, corners": (lambda: Upsample(scale_factor=(1.7, 2.3), mode="bilinear", align_corners=True), IMAGES),
    "adaptive average pool": (lambda: AdaptiveAvgPool2d((3, 7)), IMAGES),
    "adaptive average pool to one": (lambda: AdaptiveAvgPool2d(1), IMAGES),
    "adaptive max pool": (lambda: AdaptiveMaxPool2d((3, 7)), IMAGES),
    "adaptive max pool that divides": (lambda: AdaptiveMaxPool2d((None, 3)), IMAGES),
    "pixel shuffle": (lambda: PixelShuffle(2), IMAGES),
    "pixel unshuffle": (lambda: PixelUnshuffle(2), (2, 3, 4, 6)),
    "conv 1d": (lambda: Conv1d(3, 3, padding=1), SIGNALS),
    "conv 1d strided": (lambda: Conv1d(6, 3, stride=2, padding="same", dilation=2, groups=2, bias=False), SIGNALS),
    "conv 1d, mirrored": (lambda: Conv1d(3, 3, stride=2, padding=2, padding_mode="reflect"), SIGNALS),
    "conv 1d, circular": (lambda: Conv1d(2, 4, padding="same", dilation=2, padding_mode="circular"), SIGNALS),
    "max pool 1d, dilated": (lambda: MaxPool1d(3, 1, padding=1, dilation=3), SIGNALS),
    "transposed conv 1d": (lambda: ConvTranspose1d(3, 3, stride=2, padding=1, output_padding=1), SIGNALS),
    "transposed conv 1d, output padded beyond the stride": (
        lambda: ConvTranspose1d(6, 2, dilation=3, output_padding=2, groups=2, bias=False),
        SIGNALS,
    ),
    "max pool 1d": (lambda: MaxPool1d(3, 2, padding=1, ceil_mode=True), SIGNALS),
    "average pool 1d": (lambda: AvgPool1d(3, 2, padding=1, count_include_pad=False), SIGNALS),
    "signals": (
        lambda: Sequential(
            *(Conv1d(6, 3, padding=1), BatchNorm1d(), ReLU(), MaxPool1d(2), Conv1d(5, 2), Sigmoid()),
            *(Concat([Identity(), Conv1d(2, 1)]), Softmax(1), Flatten(), Linear(3)),
        ),
        SIGNALS,
    ),
    "linear": (lambda: Linear(4), (3, 7)),
    "linear without bias": (lambda: Linear(4, bias=False), (3, 7)),
    "batch norm 2d": (lambda: BatchNorm2d(), IMAGES),
    "batch norm 2d, not affine": (lambda: BatchNorm2d(affine=False), IMAGES),
    "batch norm 2d, untracked": (lambda: BatchNorm2d(track_running_stats=False), IMAGES),
    "batch norm 1d": (lambda: BatchNorm1d(eps=1e-3, momentum=0.5), (5, 4)),
    "layer norm": (lambda: LayerNorm(), IMAGES),
    "layer norm of rows": (lambda: LayerNorm(6, eps=1e-3, bias=False), IMAGES),
    "layer norm of vectors": (lambda: LayerNorm(7), (3, 7)),
    "layer norm of signals": (lambda: Sequential(LayerNorm(SIGNALS[-1]), ReLU()), SIGNALS),
    "layer norm without parameters": (lambda: LayerNorm(elementwise_affine=False), IMAGES),
    "group norm": (lambda: Sequential(Conv2d(6, 1), GroupNorm(3), ReLU()), IMAGES),
    "group norm of one group": (lambda: GroupNorm(1, affine=False), IMAGES),
    "instance norm 2d": (lambda: InstanceNorm2d(affine=True), IMAGES),
    "instance norm 1d": (lambda: InstanceNorm1d(), SIGNALS),
    "instance norm, tracked": (lambda: InstanceNorm2d(affine=True, track_running_stats=True), IMAGES),
    "local response norm": (lambda: LocalResponseNorm(5, 0.5, 0.75, 2.0), IMAGES),
    "local response norm of pairs": (lambda: LocalResponseNorm(2, 1.0), (3, 8)),
    "max pool": (lambda: MaxPool2d(2), IMAGES),
    "max pool overlapping, ceil": (lambda: MaxPool2d(3, 2, padding=1, ceil_mode=True), IMAGES),
    "average pool": (lambda: AvgPool2d(2), IMAGES),
    "average pool padded": (lambda: AvgPool2d((3, 2), 2, padding=1, count_include_pad=False), IMAGES),
    "average pool, ceil": (lambda: AvgPool2d(3, 2, padding=1, ceil_mode=True), IMAGES),
    "global average pool": (lambda: GlobalAvgPool2d(), IMAGES),
    "relu": (lambda: ReLU(), IMAGES),
    "leaky relu": (lambda: LeakyReLU(0.2), IMAGES),
    "relu6": (lambda: Sequential(Conv2d(4, 1), ReLU6()), IMAGES),
    "hardsigmoid": (lambda: Sequential(Conv2d(4, 1), Hardsigmoid()), IMAGES),
    "hardswish": (lambda: Sequential(Conv2d(4, 1), Hardswish()), IMAGES),
    "selu": (lambda: Sequential(Conv2d(4, 1), SELU()), IMAGES),
    "silu": (lambda: Sequential(Conv2d(4, 1), SiLU()), IMAGES),
    "gelu": (lambda: Sequential(Conv2d(4, 1), GELU(), Conv2d(3, 1), GELU("tanh")), IMAGES),
    "elu and softplus": (lambda: Sequential(Conv2d(4, 1), ELU(), Conv2d(3, 1), Softplus()), IMAGES),
    "prelu": (lambda: Sequential(Conv2d(4, 1), PReLU(4), BatchNorm2d(), PReLU()), IMAGES),
    "prelu of vectors": (lambda: PReLU(8, -0.5), (3, 8)),
    "maxout": (lambda: Sequential(Conv2d(6, 1), Maxout(), Flatten(), Linear(6), Maxout(3)), IMAGES),
    "sigmoid": (lambda: Sigmoid(), (3, 8)),
    "tanh": (lambda: Tanh(), (3, 8)),
    "softmax": (lambda: Softmax(dim=1), (3, 8)),
    "softmax of maps": (lambda: Softmax(1), IMAGES),
    "log softmax": (lambda: LogSoftmax(dim=-1), (3, 8)),
    "log softmax of maps": (lambda: LogSoftmax(), IMAGES),
    "dropout": (lambda: Dropout(0.4, seed=3), IMAGES),
    "dropout, vanilla": (lambda: Dropout(0.4, seed=3, inverted=False), IMAGES),
    "dropout of channels": (lambda: Dropout2d(0.4, seed=3), IMAGES),
    "dropout of channels of signals": (lambda: Dropout1d(0.4, seed=3), SIGNALS),
    "stochastic depth": (lambda: Residual([Conv2d(4, 1), StochasticDepth(0.5, seed=3)]), IMAGES),
    "stochastic depth, batch": (lambda: Residual([Conv2d(4, 1), StochasticDepth(0.5, "batch", seed=5)]), IMAGES),
    "dropconnect, linear": (lambda: DropConnect(Linear(4), 0.4, seed=3), (3, 7)),
    "dropconnect, conv": (lambda: DropConnect(Conv2d(3, 3, padding=1), 0.4, seed=3), IMAGES),
    "dropconnect, signals": (
        lambda: Sequential(DropConnect(Conv1d(3, 2)), DropConnect(ConvTranspose1d(2, 3))),
        SIGNALS,
    ),
    "fractional max pool": (lambda: FractionalMaxPool2d(output_size=(3, 5), seed=3), IMAGES),
    "fractional max pool, random": (
        lambda: FractionalMaxPool2d(output_ratio=0.7, random=True, overlapping=False, seed=3),
        IMAGES,
    ),
    "fractional max pool, windows": (lambda: FractionalMaxPool2d(2, output_size=3, seed=3), IMAGES),
    "flatten": (lambda: Flatten(), IMAGES),
    "unflatten": (lambda: Sequential(Linear(24), Unflatten(1, (2, -1, 4)), Conv2d(2, 2)), (3, 7)),
    "unflatten to signals": (lambda: Sequential(Unflatten(1, (3, 4)), Conv1d(2, 2)), (3, 12)),
    "identity": (lambda: Identity(), IMAGES),
    "scalars": (lambda: ScalarAffine(), IMAGES),
    "scalar bias": (lambda: ScalarAffine(scale=False), IMAGES),
    "scalar multiplier": (lambda: ScalarAffine(bias=False), IMAGES),
    "subsample": (lambda: Subsample(2, 9), IMAGES),
    "sequential": (
        lambda: Sequential(Conv2d(4, 3, padding=1), BatchNorm2d(), ReLU(), MaxPool2d(2), Flatten(), Linear(3)),
        IMAGES,
    ),
    "empty sequential": (lambda: Sequential(), IMAGES),
    "residual": (lambda: Residual([Conv2d(4, 3, padding=1), Tanh(), Conv2d(4, 1)]), IMAGES),
    "residual around nothing": (lambda: Residual(Identity()), IMAGES),
    "residual with shortcut": (
        lambda: Residual([Conv2d(6, 3, stride=2, padding=1), BatchNorm2d()], Conv2d(6, 1, stride=2, bias=False)),
        IMAGES,
    ),
    "residual, option A": (lambda: Residual(Conv2d(8, 3, stride=2, padding=1), Subsample(2, 8)), IMAGES),
    "concat": (lambda: Concat([Conv2d(2, 1), [Conv2d(3, 3, padding=1), Tanh()], Identity()]), IMAGES),
    "nested": (
        lambda: Sequential(
            Concat([Residual([Conv2d(4, 3, padding=1), Tanh()]), [MaxPool2d(3, 1, padding=1), Conv2d(2, 1)]]),
            Dropout(0.3),
            GlobalAvgPool2d(),
            Flatten(),
            Linear(3),
            BatchNorm1d(),
        ),
        (4, 4, 5, 5),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_training(name, check_layer, spread):
    make, shape = CASES[name]
    check_layer(make(), spread(shape, step=0.02), training=True)


@pytest.mark.parametrize("name", CASES)
def test_plans_take_every_layer(name, spread):
    make, shape = CASES[name]
    layer = make()
    model = layer if isinstance(layer, Model) else Sequential(layer)
    model.build(shape[1:], seed=1, dtype="float64")
    x = spread(shape, step=0.02)
    np.testing.assert_allclose(model.compile(2)(x), model(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in CASES if re.search("norm|drop|depth|fract|nested", name)])
def test_inference(name, check_layer, spread):
    make, shape = CASES[name]
    layer = make()
    layer.build(shape[1:], seed=1, dtype="float64")
    for _ in range(3):  # running statistics that are neither 0 nor 1
        layer.forward(spread(shape, seed=4, step=0.02), training=True)
    check_layer(layer, spread(shape, step=0.02), training=False)


def test_frozen_batch_norm(check_layer, spread):
    layer = Sequential(Conv2d(3, 1), BatchNorm2d())
    layer.build((2, 4, 4), dtype="float64")
    layer.forward(spread((3, 2, 4, 4), step=0.02), training=True)
    layer.freeze("1")
    check_layer(layer, spread((3, 2, 4, 4), seed=1, step=0.02), training=True)


def test_frozen_instance_norm(check_layer, spread):
    layer = InstanceNorm2d(affine=True, track_running_stats=True)
    layer.build((2, 4, 4), dtype="float64")
    layer.forward(spread((3, 2, 4, 4), step=0.02), training=True)
    layer.freeze()
    before = layer.running_mean.value.copy()
    x = spread((3, 2, 4, 4), seed=1, step=0.02)
    np.testing.assert_array_equal(layer.forward(x, training=True)[0], layer(x))
    np.testing.assert_array_equal(layer.running_mean.value, before)
    check_layer(layer, x, training=True)


class Added(Model):
    """x plus a parameter, several times: the gradient of a sum is dy itself, which others read, too."""

    def __init__(self, times, flat=False):
        self.times, self.flat = times, flat

    def setup(self, shape, rng, dtype):
        self.parameter("weight", (3, *shape), "normal", rng, dtype)
        return (math.prod(shape),) if self.flat else shape

    def call(self, x, training, ops):
        weight = ops.flatten(self.weight) if self.flat else self.weight
        x = ops.flatten(x) if self.flat else x
        for _ in range(self.times):
            x = ops.add(x, weight)
        return x


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("times", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", [(5,), (2, 4, 3)], ids=str)
def test_gradients_that_are_dy_itself(ops, shape, times, flat):
    if flat and len(shape) == 1:
        pytest.skip("flat already")
    model = Added(times, flat)
    model.build(shape, seed=0)
    x = np.ones((3, *shape), np.float32)
    y, backward = model.forward(x, training=True)
    dy = ops.asarray(np.random.default_rng(0).integers(-4, 5, y.shape), "float32")
    given = dy.copy()
    dx = backward(dy)
    np.testing.assert_array_equal(np.ravel(dx), np.ravel(given))
    np.testing.assert_array_equal(np.ravel(model.weight.grad), times * np.ravel(given))
    _, backward = model.forward(x, training=True)
    backward(dy)
    np.testing.assert_array_equal(np.ravel(model.weight.grad), 2 * times * np.ravel(given))
    np.testing.assert_array_equal(dy, given)
