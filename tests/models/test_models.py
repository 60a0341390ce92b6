"""Every model: published parameter counts, names of published weights, forward and backward."""

import numpy as np
import published
import pytest

import fastnet as fn
from fastnet import models

# torchvision's documentation; He et al. 2016 give 0.27, 0.46, 0.66 and 0.85 million for the CIFAR nets
PUBLISHED = {
    "alexnet": 61_100_840,
    "alexnet_2012": 60_965_224,  # Caffe's bvlc_alexnet
    "efficientnet_lite0": 4_652_008,  # that of timm's tf_efficientnet_lite0
    "googlenet": 6_624_904,
    "mobilenet_v2": 3_504_872,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "squeezenet1_0": 1_248_424,
    "squeezenet1_1": 1_235_496,
    "vgg11": 132_863_336,
    "vgg11_bn": 132_868_840,
    "vgg13": 133_047_848,
    "vgg13_bn": 133_053_736,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "vgg19": 143_667_240,
    "vgg19_bn": 143_678_248,
    "lenet5": 61_706,
    "resnet20": 269_722,
    "fixup_resnet20": 268_393,  # resnet20's without its 1,376 of batch norms, and 47 scalars
    "fixup_resnet56": 849_091,
    "fixup_resnet110": 1_720_138,
    "resnet32": 464_154,
    "resnet44": 658_586,
    "resnet56": 853_018,
    "resnet9": 6_573_130,
    "three_layer_convnet": 32 * (3 * 49 + 1) + 100 * (32 * 256 + 1) + 10 * 101,
}
# multiply-accumulates at 224x224, torchvision's documentation (GFLOPS, two decimals)
GMACS = {
    "alexnet": 0.71,
    "alexnet_2012": 0.72,  # the sum of the paper's layers: 105.4 + 224.0 + 149.5 + 112.1 + 74.8 + 58.6 million
    "googlenet": 1.5,
    "mobilenet_v2": 0.3,
    "resnet18": 1.81,
    "resnet34": 3.66,
    "resnet50": 4.09,
    "squeezenet1_1": 0.35,
}


@pytest.fixture
def no_draws(monkeypatch):
    """Counting needs no random numbers: untouched zero pages take no memory."""
    monkeypatch.setattr(fn.initializers, "draw", lambda initializer, rng, shape: np.zeros(shape, np.float32))


def test_every_model_is_counted():
    assert models.names() == sorted(PUBLISHED)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_published_counts(name, no_draws):
    summary = models.create(name).summary()
    assert summary.parameters == PUBLISHED[name]
    if name in GMACS:
        assert round(summary.macs / 1e9, 2) == pytest.approx(GMACS[name], abs=0.011)


@pytest.mark.parametrize("name", sorted(published.STATES))
def test_names_and_shapes_are_the_published_ones(name, no_draws):
    model = models.create(name)
    own = {key: tuple(value.shape) for key, value in (*model.named_parameters(), *model.named_buffers())}
    assert own == published.STATES[name]


def test_option_b_counts():
    projections = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    assert models.resnet20(option="B").summary().parameters == PUBLISHED["resnet20"] + projections


def test_alexnet_2012_layer_by_layer(no_draws):
    """The sizes of the paper: 55x55, 27x27, 13x13 and 6x6, with two groups in conv2, conv4 and conv5."""
    model = models.alexnet_2012()
    shapes = {row.name: row.output_shape for row in model.summary().rows}
    assert [shapes[name] for name in ("conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5")] == [
        *((96, 55, 55), (96, 27, 27), (256, 27, 27), (256, 13, 13), (384, 13, 13), (384, 13, 13), (256, 13, 13)),
        (256, 6, 6),
    ]
    weights = {name: value.shape for name, value in model.state_dict().items() if value.ndim == 4}
    assert weights == {
        "conv1.weight": (96, 3, 11, 11),
        "conv2.weight": (256, 48, 5, 5),
        "conv3.weight": (384, 256, 3, 3),
        "conv4.weight": (384, 192, 3, 3),
        "conv5.weight": (256, 192, 3, 3),
    }


def test_googlenet_with_auxiliary_heads(no_draws):
    """torchvision's 13,004,888 parameters, with its names."""
    model = models.googlenet(aux_logits=True)
    assert model.summary().parameters == 13_004_888
    state = model.state_dict()
    assert state["aux1.fc1.weight"].shape == (1024, 2048) and state["aux2.conv.conv.weight"].shape == (128, 528, 1, 1)
    assert {"aux1.conv.bn.running_var", "aux2.fc2.bias", "inception4d.branch1.conv.weight", "fc.weight"} <= set(state)


SMALL = {"efficientnet_lite0": (3, 64, 64), "lenet5": (1, 28, 28)}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_forward_and_backward_at_32(name):
    """Every trainable parameter gets a finite gradient, and a step against it lowers the loss."""
    shape = SMALL.get(name, (3, 32, 32))
    model = models.create(name, num_classes=7, input_shape=shape, seed=1)
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    labels = np.array([1, 5])
    state = model.rng_state()
    y, backward = model.forward(x, training=True)
    assert y.shape == (2, 7)
    loss, dy = fn.backends.current().softmax_cross_entropy(y, labels)
    dx = backward(dy)
    assert dx.shape == x.shape and np.isfinite(dx).all() and np.isfinite(y).all()
    square = 0.0
    for parameter in model.parameters(requires_grad=True):
        assert parameter.grad is not None and parameter.grad.shape == parameter.shape, parameter.name
        assert np.isfinite(parameter.grad).all(), parameter.name
        square += float((parameter.grad.astype(np.float64) ** 2).sum())
    assert square > 0
    for parameter in model.parameters(requires_grad=True):
        parameter.value[...] -= np.float32(1e-3 * loss / square) * parameter.grad
    model.set_rng_state(state)
    after, _ = fn.backends.current().softmax_cross_entropy(model.forward(x, training=True)[0], labels)
    assert after < loss


@pytest.mark.parametrize("name", ["alexnet", "alexnet_2012", "resnet18", "googlenet", "squeezenet1_0"])
def test_imagenet_forms_run(name):
    model = models.create(name, num_classes=3, input_shape=(3, 67, 70))
    y, backward = model.forward(np.random.default_rng(0).normal(size=(2, 3, 67, 70)).astype(np.float32), training=True)
    assert y.shape == (2, 3)
    assert backward(np.ones_like(y)).shape == (2, 3, 67, 70)


def test_names_of_published_weights(no_draws):
    def names(name, *chosen):
        state = set(models.create(name).state_dict())
        return [wanted for wanted in chosen if wanted not in state]

    assert not names("alexnet", "features.0.weight", "features.10.bias", "classifier.1.weight", "classifier.6.bias")
    assert not names("vgg16", "features.28.weight", "classifier.0.weight", "classifier.3.weight", "classifier.6.bias")
    assert not names("vgg16_bn", "features.41.running_var", "features.40.weight", "classifier.6.weight")
    assert not names(
        "resnet50", "conv1.weight", "bn1.running_mean", "layer1.0.downsample.0.weight", "layer4.2.bn3.bias", "fc.bias"
    )
    assert not names("resnet18", "layer2.0.downsample.1.running_var", "layer4.1.conv2.weight")
    assert not names(
        "mobilenet_v2",
        *("features.0.0.weight", "features.0.1.running_mean", "features.1.conv.0.0.weight", "features.1.conv.1.weight"),
        *("features.1.conv.2.bias", "features.2.conv.1.0.weight", "features.17.conv.3.running_var"),
        *("features.18.1.weight", "classifier.1.weight", "classifier.1.bias"),
    )
    assert not names("squeezenet1_0", "features.3.squeeze.weight", "features.12.expand3x3.bias", "classifier.1.weight")
    assert not names("squeezenet1_1", "features.12.expand1x1.weight", "features.6.squeeze.bias")
    assert not names(
        "googlenet",
        *("conv1.conv.weight", "inception3a.branch1.bn.weight", "inception3a.branch2.1.conv.weight"),
        *("inception4e.branch4.1.bn.running_mean", "inception5b.branch3.0.conv.weight", "fc.weight"),
    )
    assert not names("resnet20", "layer2.0.conv1.weight", "layer3.2.bn2.running_var", "linear.bias")
    assert not [name for name in models.resnet20().state_dict() if "shortcut" in name]
    assert "layer2.0.shortcut.1.weight" in models.resnet20(option="B").state_dict()


def test_lenet5_classic_and_32x32():
    model = models.lenet5(classic=True, input_shape=(1, 32, 32))
    assert model.summary().parameters == PUBLISHED["lenet5"]
    assert [row.layer for row in model.summary().rows][:3] == ["Conv2d", "Tanh", "AvgPool2d"]


def test_seed_and_dtype():
    one, two = models.create("resnet20", seed=3), models.create("resnet20", seed=3, dtype="float64")
    np.testing.assert_array_equal(one["linear"].weight.value, two["linear"].weight.value)
    assert two["linear"].weight.dtype == np.float64
    other = models.create("resnet20", seed=4)
    assert (other["linear"].weight.value != one["linear"].weight.value).any()


def test_errors():
    with pytest.raises(ValueError, match="no model is named 'resnet21'; did you mean .*resnet20.*known: alexnet"):
        models.create("resnet21")
    with pytest.raises(TypeError, match="model lenet5 takes no option depth; it takes num_classes"):
        models.create("lenet5", depth=3)
    with pytest.raises(ValueError, match=r"alexnet cannot take images of shape \(3, 4, 4\): max_pool2d"):
        models.create("alexnet", input_shape=(3, 4, 4))
    with pytest.raises(ValueError, match='option must be "A"'):
        models.resnet20(option="C")
