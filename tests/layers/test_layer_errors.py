"""What layers refuse, and how they say so."""

import numpy as np
import pytest
from layer_nets import images, net

from fastnet.layers import (
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
    GroupNorm,
    Identity,
    InstanceNorm1d,
    InstanceNorm2d,
    Layer,
    LayerNorm,
    Linear,
    LocalResponseNorm,
    MaxPool1d,
    MaxPool2d,
    Model,
    PixelShuffle,
    PixelUnshuffle,
    ReflectionPad2d,
    ReLU,
    Residual,
    Sequential,
    Softmax,
    Subsample,
    Unflatten,
    Upsample,
    ZeroPad2d,
)


def test_backward_checks_the_shape():
    model = Linear(4)
    _, backward = model.forward(images(2, (3,)))
    with pytest.raises(ValueError, match=r"output's shape \(2, 4\), got \(2, 3\)"):
        backward(np.zeros((2, 3)))


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


def test_batch_norm_needs_more_than_one_value():
    with pytest.raises(ValueError, match="more than one value per channel"):
        BatchNorm1d().forward(np.ones((1, 3), np.float32), training=True)
