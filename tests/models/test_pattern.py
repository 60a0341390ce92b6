"""Networks from the notation of lectures: what the text means, and where it is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from fastnet import models


def kinds(net):
    return [type(layer).__name__ for layer in net]


def test_the_lecture_s_pattern():
    net = models.pattern("((CONV-RELU)*N-POOL?)*M-(FC-RELU)*K-SOFTMAX", N=2, M=3, K=1)
    block = ["Conv2d", "ReLU", "Conv2d", "ReLU", "MaxPool2d"]
    assert kinds(net) == [*block * 3, "Flatten", "Linear", "ReLU", "Linear"]
    assert [net[name].out_channels for name in ("conv1", "conv2", "conv3", "conv6")] == [32, 32, 64, 128]
    assert (net["pool3"].output_shape, net.output_shape) == ((128, 4, 4), (10,))
    assert net(np.zeros((2, 3, 32, 32), np.float32)).shape == (2, 10)
    without = models.pattern("((CONV-RELU)*2-POOL?)*3-(FC-RELU)*1-SOFTMAX", pool=False)
    assert kinds(without) == ["Conv2d", "ReLU"] * 6 + ["Flatten", "Linear", "ReLU", "Linear"]


def test_the_readings_notation_is_the_same_network():
    one = models.pattern("INPUT -> [[CONV -> RELU]*2 -> POOL?]*2 -> [FC -> RELU]*2 -> FC", hidden=50)
    other = models.pattern("((conv,relu)*N,pool)*M,(fc,relu)*K,softmax", hidden=50, N=2, M=2, K=2)
    assert repr(one) == repr(other)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(a.value, b.value)


@pytest.mark.parametrize("text", ["INPUT -> FC", "FC", "SOFTMAX", "FC-SOFTMAX", "INPUT-SOFTMAX"])
def test_a_linear_classifier(text):
    assert kinds(models.pattern(text)) == ["Flatten", "Linear"]


def test_sizes_strides_and_widths():
    net = models.pattern("CONV11/4:96-RELU-POOL3/2-CONV5:256-BN-LEAKY-DROPOUT-FC:64-BN-TANH-FC:5", 5, (3, 64, 64))
    assert (net["conv1"].kernel_size, net["conv1"].stride, net["conv1"].output_shape) == (
        (11, 11),
        (4, 4),
        (96, 16, 16),
    )
    assert (net["pool1"].kernel_size, net["pool1"].stride) == ((3, 3), (2, 2))
    assert net["conv2"].output_shape == (256, 7, 7)
    names = ["Conv2d", "ReLU", "MaxPool2d", "Conv2d", "BatchNorm2d", "LeakyReLU", "Dropout", "Flatten"]
    assert kinds(net) == [*names, "Linear", "BatchNorm1d", "Tanh", "Linear"]
    listed = models.pattern("(CONV-RELU)*3-FC-RELU-FC-SOFTMAX", 7, filters=[4, 8, 16], hidden=(9,))
    assert [listed[f"conv{n}"].out_channels for n in (1, 2, 3)] == [4, 8, 16]
    assert [listed[name].out_features for name in ("fc1", "fc2")] == [9, 7]


def test_the_dimensions_of_vgg_16():
    conv = "(CONV:{0}-RELU)*{1}-POOL".format
    text = "-".join([conv(64, 2), conv(128, 2), conv(256, 3), conv(512, 3), conv(512, 3), "(FC-RELU)*2-FC-SOFTMAX"])
    net = models.pattern(text, 100, (3, 64, 64), hidden=512)
    vgg = models.vgg16(100, (3, 64, 64))
    assert [p.shape for p in net.parameters()] == [p.shape for p in vgg.parameters()]


@pytest.mark.parametrize(
    ("text", "at", "message"),
    [
        ("(CONV-RELU*2-FC", 15, r"'\)' is expected for the '\(' at position 0"),
        ("CONV-RELU)-FC", 9, r"'\)' closes nothing"),
        ("[CONV-RELU)-FC", 10, r"'\]' is expected"),
        ("CONV-RELV-FC", 5, "no layer is called 'RELV'; there are INPUT, CONV"),
        ("CONV RELU-FC", 5, "a '-' is expected before 'RELU'"),
        ("CONV--FC", 5, "a layer or '\\(' is expected, not '-'"),
        ("CONV-", 5, "a layer or '\\(' is expected, not the end"),
        ("", 0, "a layer or '\\(' is expected, not the end"),
        ("(CONV)*Q-FC", 7, "how often\\? a number is expected after '\\*', not Q; give Q=..."),
        ("(CONV)*-FC", 7, "a number is expected after '\\*', not -"),
        ("CONV-RELU", 9, "a classifier ends with FC or SOFTMAX"),
        ("(CONV-FC)*0", 11, "a classifier ends with FC or SOFTMAX"),
        ("FC-RELU-CONV-FC", 8, "CONV needs an image"),
        ("FC-POOL-FC", 3, "POOL needs an image"),
        ("CONV-INPUT-FC", 5, "INPUT can only be the first"),
        ("SOFTMAX-FC", 0, "SOFTMAX can only be the last"),
        ("CONV-RELU3-FC", 5, "RELU has no size and no stride"),
        ("CONV-POOL:5-FC", 5, "POOL has no number of outputs"),
        ("CONV5/0-FC", 6, "a number of at least 1 is expected, not 0"),
        ("(" * 3000 + "CONV" + ")" * 3000, 50, "at most 50 groups can stand inside each other"),
        ("CONV & FC", 5, "'&' has no meaning here"),
        ("CONV-FC:9-SOFTMAX", 5, "the last FC gives 10 scores, one for each class, not 9"),
    ],
)
def test_mistakes_are_shown_where_they_are(text, at, message):
    with pytest.raises(ValueError, match=message) as error:
        models.pattern(text)
    lines = str(error.value).splitlines()
    assert lines[1] == f"  {text}" and lines[2] == " " * (2 + at) + "^"


def test_other_mistakes():
    with pytest.raises(TypeError, match="the text has no K after a"):
        models.pattern("(CONV)*N-FC", N=1, K=2)
    with pytest.raises(ValueError, match="filters has no number left"):
        models.pattern("(CONV)*3-FC", filters=[1, 2])
    with pytest.raises(ValueError, match=r"pattern cannot take images of shape \(3, 4, 4\)"):
        models.pattern("(CONV-POOL)*4-FC", input_shape=(3, 4, 4))
    with pytest.raises(TypeError, match="text must be like"):
        models.pattern(5)
    with pytest.raises(ValueError, match="N must be an integer between 0"):
        models.pattern("(CONV)*N-FC", N=-1)


def test_too_many_layers_are_refused_before_they_are_made():
    with pytest.raises(ValueError, match="1,000,000,000,000 layers; at most 10,000"):
        models.pattern("((CONV)*N)*M-FC-SOFTMAX", N=10**4, M=10**8)
    with pytest.raises(ValueError, match="2,000,000,000 layers"):
        models.pattern("(CONV-RELU)*N-FC-SOFTMAX", N=10**9)
