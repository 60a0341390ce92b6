"""Heads, freezing, rates by depth, gradual unfreezing, features: against the model run whole."""

from __future__ import annotations

import numpy as np
import pytest

import fastnet as fn
from fastnet import models, transfer
from fastnet.layers.base import trace

RNG = np.random.default_rng(0)
X = RNG.normal(size=(10, 3, 32, 32)).astype(np.float32)
Y = np.arange(10) % 3


def model(classes=3, seed=0):
    return models.resnet20(classes, seed=seed)


def traced(net, layer):
    found = {}
    with trace(lambda name, phase, array: found.setdefault(name, np.array(array)) if phase == "forward" else None):
        net(X)
    return found[layer]


@pytest.mark.parametrize("layer", ["conv1", "layer2.1.relu", "layer1", "flatten", "linear"])
def test_features_are_what_the_layer_gives(layer):
    net = model()
    found = transfer.features(net, X, layer, batch_size=4)
    expected = net[layer.split(".")[0]]
    whole = X
    for child in net.children().values():
        whole = child(whole)
        if child is expected:
            break
    if "." in layer:
        whole = traced(net, layer)
    np.testing.assert_allclose(found, whole, atol=1e-4 * np.abs(whole).max())


def test_features_pooled_prepared_and_on_disk(tmp_path):
    net = model()
    maps = transfer.features(net, X, "layer3")
    for pool, function in (("mean", np.mean), ("max", np.max)):
        np.testing.assert_allclose(
            transfer.features(net, X, "layer3", pool=pool), function(maps, axis=(2, 3)), rtol=1e-5
        )
    kept = transfer.features(net, X, "layer3", batch_size=3, out=tmp_path / "codes.npy")
    assert isinstance(kept, np.memmap)
    np.testing.assert_allclose(np.load(tmp_path / "codes.npy"), maps, atol=1e-4 * np.abs(maps).max())
    net.preprocessing = fn.data.Standardize([0.5] * 3, [2.0] * 3)
    other = model()
    np.testing.assert_allclose(
        transfer.features(net, X, "flatten"), transfer.features(other, (X - 0.5) / 2, "flatten"), rtol=1e-3, atol=1e-5
    )
    assert transfer.features(net, X[:0], "flatten").shape == (0, 64)


def test_features_of_a_network_that_cannot_be_compiled():
    class Halved(fn.Layer):
        def run(self, x, training, ops):
            return np.asarray(x) / 2, lambda dy, input_gradient=True: dy / 2

    net = fn.Sequential(conv=fn.Conv2d(4, 3), half=Halved(), relu=fn.ReLU(), flatten=fn.Flatten(), fc=fn.Linear(2))
    net.build((3, 16, 16), seed=0)
    x = X[:, :, :16, :16]
    expected = np.maximum(net[0](x) / 2, 0)
    np.testing.assert_allclose(transfer.features(net, x, "relu", batch_size=4), expected, atol=1e-5)


def test_layers_that_do_not_exist():
    with pytest.raises(ValueError, match=r"no layer is at 'layer4'; did you mean layer"):
        transfer.features(model(), X, "layer4")
    with pytest.raises(ValueError, match=r"pool='mean' needs maps"):
        transfer.features(model(), X, "linear", pool="mean")
    with pytest.raises(ValueError, match=r'"mean", "max" or None'):
        transfer.features(model(), X, "layer1", pool="sum")
    with pytest.raises(ValueError, match=r"\.npy"):
        transfer.features(model(), X, "layer1", out="codes.bin")
    with pytest.raises(TypeError, match="path of a layer"):
        transfer.features(model(), X, 3)


@pytest.mark.parametrize(
    "name", ["resnet18", "vgg11", "squeezenet1_1", "mobilenet_v2", "efficientnet_lite0", "googlenet"]
)
def test_a_new_head(name):
    net = models.create(name, 7, (3, 64, 64))
    before, path = net.state_dict(), models.head_of(net)[0]
    assert transfer.replace_head(net, ["dog", "food"], seed=1) == [f"{path}.weight", f"{path}.bias"]
    assert net.output_shape == (2,) and net.class_names == ("dog", "food")
    after = net.state_dict()
    assert list(after) == list(before)
    changed = [key for key in after if before[key].shape != after[key].shape]
    assert changed == [f"{path}.weight", f"{path}.bias"]
    assert all(np.array_equal(after[key], before[key]) for key in after if key not in changed)


def test_heads_that_cannot_be_replaced():
    for layers in (
        [fn.Flatten(), fn.Linear(3), fn.BatchNorm1d()],
        [fn.Conv2d(3, 3), fn.GlobalAvgPool2d(), fn.Flatten()],
    ):
        net = fn.Sequential(*layers)
        net.build((3, 8, 8))
        with pytest.raises(TypeError, match="head must be a Linear layer or a 1x1 Conv2d"):
            transfer.replace_head(net, 2)
    for classes, error in ((0, ValueError), ("ab", TypeError), (["a", "a"], ValueError), (2.5, TypeError)):
        with pytest.raises(error, match="replace_head: classes"):
            transfer.replace_head(model(), classes)


def test_a_frozen_body_costs_no_gradient_and_does_not_move():
    net = model()
    frozen = transfer.freeze(net)
    assert [name for name, p in net.named_parameters() if p.requires_grad] == ["linear.weight", "linear.bias"]
    before, names = net.state_dict(), []
    with trace(lambda name, phase, array: names.append(name) if phase == "backward" else None):
        y, backward = net.forward(X, training=True)
        backward(np.ones_like(y), input_gradient=False)
    assert set(names) == {"linear.weight", "linear.bias"}, "the backward pass went further than the head"
    net.fit(X, Y, epochs=2, verbose=False, optimizer=fn.optim.SGD(0.1))
    after = net.state_dict()
    assert {name for name in after if not np.array_equal(after[name], before[name])} == {"linear.weight", "linear.bias"}
    assert set(frozen) == set(after) - {"linear.weight", "linear.bias"}, "running statistics included"


def test_freezing_up_to_a_layer():
    net = model()
    frozen = transfer.freeze(net, "layer2")
    parts = {name.split(".")[0] for name in frozen}
    assert parts == {"conv1", "bn1", "layer1", "layer2"}
    assert all(p.requires_grad == (name.split(".")[0] in ("layer3", "linear")) for name, p in net.named_parameters())
    with pytest.raises(ValueError, match="freezes everything, the head 'linear' too"):
        transfer.freeze(net, "linear")
    with pytest.raises(ValueError, match=r"no layer is at 'layer7'; did you mean"):
        transfer.freeze(net, "layer7")


def test_groups_by_depth():
    resnet = [["conv1", "bn1"], ["layer1"], ["layer2"], ["layer3"], ["layer4"], ["fc"]]
    assert transfer.depth_groups(models.resnet18(5, (3, 32, 32))) == resnet
    vgg = models.vgg11(5, (3, 32, 32))
    assert transfer.depth_groups(vgg)[-1] == ["classifier.6"] and len(transfer.depth_groups(vgg)) >= 4
    lite = transfer.depth_groups(models.create("efficientnet_lite0", 4, (3, 64, 64)))
    assert lite == [["conv_stem", "bn1"], *([f"blocks.{n}"] for n in range(7)), ["conv_head", "bn2"], ["classifier"]]
    assert ["features.0"] in transfer.depth_groups(vgg)
    assert transfer.depth_groups(model(), 3) == [["conv1", "bn1", "layer1"], ["layer2", "layer3"], ["linear"]]
    for name in ("squeezenet1_1", "mobilenet_v2", "efficientnet_lite0", "googlenet", "three_layer_convnet"):
        net = models.create(name, 4, (3, 64, 64))
        groups = transfer.depth_groups(net)
        paths = [path for group in groups for path in group]
        fits = {name: sum(name.startswith(f"{path}.") for path in paths) for name, _ in net.named_parameters()}
        assert set(fits.values()) == {1}, "each parameter is in one group"
        assert len([key for key in fits if key.startswith(f"{groups[-1][0]}.")]) == 2


def test_rates_by_depth():
    net = model()
    groups = transfer.discriminative_rates(net, 0.1, 2.6)
    rates = [group["lr"] for group in groups]
    np.testing.assert_allclose(rates, [0.1 / 2.6**k for k in (4, 3, 2, 1, 0)])
    before = net.state_dict()
    optimizer = fn.optim.SGD(0.1, groups=transfer.body_and_head_rates(net, 0.1, 0.0))
    net.fit(X, Y, epochs=1, verbose=False, optimizer=optimizer)
    after = net.state_dict()
    moved = {name for name, _ in net.named_parameters() if not np.array_equal(after[name], before[name])}
    assert moved == {"linear.weight", "linear.bias"}
    with pytest.raises(ValueError, match="factor must be >= 1"):
        transfer.discriminative_rates(net, 0.1, 0.5)
    with pytest.raises(ValueError, match="count"):
        transfer.depth_groups(net, 1)


def test_layers_are_unfrozen_from_the_top():
    net, seen = model(), []

    class Watch(fn.training.Callback):
        def on_iteration_end(self, solver):
            seen.append({name.split(".")[0] for name, p in solver.model.named_parameters() if p.requires_grad})

    gradual = transfer.GradualUnfreezing(every=2, count=3)
    fn.Solver(net, (X, Y), epochs=5, batch_size=10, callbacks=[gradual, Watch()], verbose=False).train()
    middle = {"layer2", "layer3", "linear"}
    assert seen == [{"linear"}, {"linear"}, middle, middle, middle | {"conv1", "bn1", "layer1"}]
    assert not any(layer.frozen for layer in net.leaves())


@pytest.mark.parametrize("name", ["resnet20", "squeezenet1_1", "vgg11"])
def test_the_head_on_cached_codes_is_the_head_of_the_frozen_network(name):
    """Same weights, to rounding, as training whole batches through the frozen body."""
    nets = [
        models.create(name, 3, (3, 32, 32), seed=2, **({} if name == "resnet20" else {"dropout": 0.0})) for _ in "ab"
    ]
    settings = {"epochs": 3, "batch_size": 5, "verbose": False, "seed": 4}
    transfer.train_head(nets[0], X, Y, optimizer=fn.optim.SGD(0.05), **settings)
    transfer.freeze(nets[1])
    nets[1].fit(X, Y, optimizer=fn.optim.SGD(0.05), **settings)
    path = models.head_of(nets[0])[0]
    states = [net.state_dict() for net in nets]
    np.testing.assert_allclose(states[0][f"{path}.weight"], states[1][f"{path}.weight"], atol=2e-3)
    assert (
        list(states[0]) == list(states[1]) and dict(nets[0].named_parameters())[f"{path}.bias"].name == f"{path}.bias"
    )
    assert not np.array_equal(
        states[0][f"{path}.weight"], models.create(name, 3, (3, 32, 32), seed=2).state_dict()[f"{path}.weight"]
    )


@pytest.mark.parametrize("option", [{"augment": [fn.augment.RandomHorizontalFlip()]}, {"preprocess": "standardize"}])
def test_options_that_change_images_are_refused_for_codes(option):
    with pytest.raises(TypeError, match="would change codes, which are no images; use "):
        transfer.train_head(model(), X, Y, **option)


def test_a_linear_classifier_on_codes():
    net = model()
    codes = transfer.features(net, X, "flatten")
    assert fn.classical.SoftmaxClassifier().fit(codes, Y).predict(codes).shape == (10,)
