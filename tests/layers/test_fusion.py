"""Fused graphs compute what the unfused layers compute; unfused layers run under a trace."""

import numpy as np
import pytest

from fastnet import layers, models
from fastnet.graph.fusion import INFERENCE, PLAN, TRAINING, fuse
from fastnet.layers import (
    GELU,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Concat,
    Conv2d,
    Dropout,
    Flatten,
    GroupNorm,
    InstanceNorm2d,
    LayerNorm,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    Maxout,
    MaxPool2d,
    PReLU,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    trace,
)
from fastnet.ops.elementwise import ELEMENTWISE

ACTIVATIONS = [name for name in ELEMENTWISE if name != "scale"]  # that op alone is no layer


def block(*body, shortcut=None, last=None):
    return Sequential(Residual(list(body), shortcut), last or ReLU())


def activation_layer(name):
    """The class of the layer that calls an elementwise op."""
    special = {"gelu_tanh": lambda: GELU("tanh")}
    return special.get(name) or next(
        layer for layer in vars(layers).values() if getattr(layer, "__name__", "").lower() == name.replace("_", "")
    )


def conv(filters=6):
    return Conv2d(filters, 3, padding=1)


def net_of(layer):
    """A function that makes a network with the activation wherever it can be fused."""
    return lambda: [
        *(conv(16), layer(), Conv2d(8, 3, padding=1, groups=8), layer(), conv(1), layer(), conv(33), layer()),
        *(BatchNorm2d(), layer(), conv(6), BatchNorm2d(), layer(), MaxPool2d(2)),
        *(block(conv(), BatchNorm2d(), last=layer()), BatchNorm2d(track_running_stats=False), layer()),
        *(GroupNorm(3), layer(), LayerNorm(), layer(), InstanceNorm2d(affine=True), layer()),
        *(Flatten(), Linear(7), layer()),
    ]


NETS = {
    "conv relu pool": lambda: [conv(), ReLU(), MaxPool2d(2), conv(3), ReLU(), Flatten(), Linear(5), ReLU(), Linear(3)],
    "conv norm relu pool": lambda: [conv(), BatchNorm2d(), ReLU(), MaxPool2d(3, 2, 1), conv(3), BatchNorm2d(), ReLU()],
    "leaky relu": lambda: [
        *(conv(8), LeakyReLU(0.1), Conv2d(5, 5, padding=2), LeakyReLU(0.0), Conv2d(9, 3, stride=2), LeakyReLU(2.0)),
        *(conv(7), BatchNorm2d(), LeakyReLU(0.2), Conv2d(14, 3, groups="depthwise"), LeakyReLU(-0.5), conv(4)),
    ],
    "prelu": lambda: [
        *(conv(8), PReLU(), Conv2d(5, 5, padding=2), PReLU(5, -0.5), Conv2d(9, 3, stride=2), PReLU(9, 2.0)),
        *(conv(7), BatchNorm2d(), PReLU(7), Conv2d(14, 3, padding=1, groups=7), PReLU(), MaxPool2d(2)),
        *(conv(16), PReLU(), ReLU(), Residual(conv(16)), PReLU(16), Flatten(), Linear(3), PReLU()),
    ],
    "prelu after norms": lambda: [
        *(conv(), GroupNorm(3), PReLU(6), LayerNorm(), PReLU(), InstanceNorm2d(affine=True), PReLU(6, 2.0)),
        *(BatchNorm2d(), PReLU(6), block(conv(), BatchNorm2d(), last=PReLU(6)), block(BatchNorm2d(), last=PReLU())),
        *(BatchNorm2d(track_running_stats=False), PReLU(), Flatten(), Linear(9), BatchNorm1d(), PReLU(9), Linear(5)),
        *(PReLU(5), Linear(4)),
    ],
    "maxout": lambda: [conv(8), Maxout(), conv(9), ReLU(), Maxout(3), Flatten(), Linear(10), Maxout(5)],
    **{name: net_of(activation_layer(name)) for name in ACTIVATIONS if name != "relu"},
    "conv pool": lambda: [conv(8), MaxPool2d(3, 2, 1), Conv2d(4, 3, groups=2), MaxPool2d(2, 1), ReLU()],
    "dilated and large pools": lambda: [
        *(conv(8), ReLU(), MaxPool2d(2, 2, dilation=2), conv(5), Sigmoid(), MaxPool2d(9, 7, ceil_mode=True)),
        *(AvgPool2d(2, ceil_mode=True, divisor_override=3), Flatten(), Linear(3)),
    ],
    "relu first, twice, last": lambda: [ReLU(), ReLU(), conv(), ReLU(), ReLU(), MaxPool2d(2), ReLU()],
    "nothing to fuse": lambda: [ReLU(), Sigmoid(), AvgPool2d(2), ReLU(), BatchNorm2d(), Sigmoid()],
    "residual": lambda: [conv(), block(conv(), BatchNorm2d(), ReLU(), conv(), BatchNorm2d()), conv(2)],
    "projection": lambda: [block(conv(), BatchNorm2d(), shortcut=[Conv2d(6, 1), BatchNorm2d()]), conv(2)],
    "residual of one norm": lambda: [conv(), block(BatchNorm2d()), block(ReLU()), Residual([])],
    "residual without norm": lambda: [
        conv(),
        block(conv(), ReLU(), conv()),
        Residual(conv()),
        ReLU(),
        block(BatchNorm2d()),
    ],
    "residual of residuals": lambda: [conv(), block(block(conv(), BatchNorm2d()), conv(), BatchNorm2d())],
    "norm without parameters": lambda: [
        conv(),
        BatchNorm2d(affine=False),
        ReLU(),
        block(conv(), BatchNorm2d(affine=False)),
    ],
    "norm of the batch": lambda: [conv(), BatchNorm2d(track_running_stats=False), ReLU()],
    "norms of images": lambda: [
        *(conv(), GroupNorm(3), ReLU(), conv(), LayerNorm(), ReLU(), InstanceNorm2d(affine=True), ReLU(), conv()),
        *(LocalResponseNorm(5), ReLU(), InstanceNorm2d(track_running_stats=True), ReLU(), LayerNorm(8), Sigmoid()),
    ],
    "dense": lambda: [Flatten(), Linear(9), BatchNorm1d(), ReLU(), Dropout(0.3), Linear(4)],
    "concat": lambda: [conv(), Concat([[conv(), ReLU()], [Conv2d(4, 1), BatchNorm2d(), ReLU()], [MaxPool2d(3, 1, 1)]])],
    "shared": lambda: (lambda shared: [conv(3), shared, ReLU(), shared, BatchNorm2d(), ReLU()])(conv(3)),
}


def images(dtype, seed=0, count=4):
    return np.random.default_rng(seed).normal(size=(count, 3, 8, 8)).astype(dtype)


def made(name, dtype):
    model = Sequential(*NETS[name]())
    model.build((3, 8, 8), seed=1, dtype=dtype)
    for _ in range(3):  # running statistics that are not 0 and 1
        model.forward(images(dtype, 5), training=True)
    return model


def step(model, x, training, unfused):
    """Everything that a forward and a backward pass leave behind."""
    for p in model.parameters():
        p.zero_grad()
    if unfused:
        seen = []
        with trace(lambda name, phase, array: seen.append(name)):
            y, backward = model.forward(x, training=training)
            dx = backward(np.cos(np.arange(y.size).reshape(y.shape)).astype(y.dtype))
    else:
        y, backward = model.forward(x, training=training)
        dx = backward(np.cos(np.arange(y.size).reshape(y.shape)).astype(y.dtype))
    gradients = {f"gradient of {p.name}": p.grad for p in model.parameters(requires_grad=True)}
    return {"y": y, "dx": dx, **gradients, **model.state_dict()}


def fused(model, rules=TRAINING, count=4):
    """The nodes of a fused graph."""
    training = rules is TRAINING
    return [node for node in fuse(model.graph((count, *model.input_shape), training), rules).nodes if node.op]


# The gradients that differ by rounding, as the rules declare, by the op that fuses a convolution.
ROUNDED = {"conv2d_max_pool": ("weight", "bias"), "conv2d_batch_norm": ("bias",)}
ROUNDED["conv2d_batch_norm_prelu"] = ROUNDED["conv2d_batch_norm"]


def assert_same(model, one, other, several=False):
    """Compare bits, except the gradients in ROUNDED, and sums of `several` (at least three) gradients, whose order
    differs.
    """
    assert one.keys() == other.keys()
    rounded = {
        f"gradient of {node.layers[0].own[name].name}"
        for node in fused(model)
        for name in ROUNDED.get(node.name, ())
        if name in node.layers[0].own
    }
    for key, array in one.items():
        tolerance = 200 * np.finfo(array.dtype).eps * (key in rounded or several)
        np.testing.assert_allclose(array, other[key], tolerance, tolerance, err_msg=key)


@pytest.mark.parametrize("training, count", [(True, 4), (True, 17), (False, 4)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETS)
def test_training_has_the_same_bits(name, dtype, training, count):
    model = made(name, dtype)
    fused_step, single = (
        step(made(name, dtype), images(dtype, 0, count), training, unfused) for unfused in (False, True)
    )
    assert_same(model, fused_step, single, several=name == "residual of residuals")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETS)
def test_inference_agrees_with_layers_one_by_one(name, dtype):
    model = made(name, dtype)
    expected = model.forward(images(dtype), training=False)[0]
    tolerance = 200 * np.finfo(dtype).eps
    np.testing.assert_allclose(model(images(dtype)), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["resnet20", "vgg11_bn", "squeezenet1_1", "resnet18"])
def test_models(name):
    results = []
    x = np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype("float32")
    for unfused in (False, True):
        model = models.create(name, num_classes=10, input_shape=(3, 32, 32))
        results.append(step(model, x, True, unfused))
        np.testing.assert_allclose(model(x), model.forward(x, training=False)[0], rtol=1e-3, atol=1e-4)
    assert_same(model, *results)


def test_frozen_parts_and_no_input_gradient():
    model = made("residual", "float64")
    model.freeze("0")
    model.freeze("1.0.body")
    y, backward = model.forward(images("float64"), training=True)
    assert backward(np.ones_like(y), False) is None
    assert {p.name for p in model.parameters() if p.grad is not None} == {"2.weight", "2.bias"}


def titles(model, rules=TRAINING):
    return ["+".join(type(layer).__name__ for layer in node.layers) for node in fused(model, rules)]


def built(name):
    model = Sequential(*NETS[name]())
    model.build((3, 8, 8), seed=1)
    return model


def test_what_is_fused():
    nodes = fused(models.create("resnet20"))
    assert [node.name for node in nodes[:4]] == ["conv2d_batch_norm"] * 4
    assert sum(node.name in ("add", "relu", "batch_norm") for node in nodes) == 0
    assert titles(models.create("resnet20"))[:3] == [
        "Conv2d+BatchNorm2d+ReLU",
        "Conv2d+BatchNorm2d+ReLU",
        "Conv2d+BatchNorm2d+Residual+ReLU",
    ]


def test_what_pooling_is_fused_with():
    assert titles(built("conv relu pool"))[:2] == ["Conv2d+ReLU+MaxPool2d", "Conv2d+ReLU"]
    assert titles(built("conv pool")) == ["Conv2d+MaxPool2d", "Conv2d+MaxPool2d+ReLU"]
    assert titles(built("conv norm relu pool")) == [
        "Conv2d+BatchNorm2d",
        "ReLU+MaxPool2d",
        "Conv2d+BatchNorm2d+ReLU",
    ]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_elementwise_activation_is_fused_where_relu_is(name):
    """Behind convolutions, with or without batch norm and a sum, behind each norm alone and linear layers."""
    layer = activation_layer(name)
    model = Sequential(
        *(conv(), layer(), conv(), BatchNorm2d(), layer(), block(conv(), BatchNorm2d(), last=layer())),
        *(AvgPool2d(2), BatchNorm2d(), layer(), GroupNorm(3), layer(), LayerNorm(), layer(), InstanceNorm2d(), layer()),
        *(Flatten(), Linear(3), layer()),
    )
    model.build((3, 8, 8))
    for rules in (TRAINING, INFERENCE, PLAN):
        nodes = fused(model, rules)
        assert name not in [node.name for node in nodes]
        ends = [node.attributes["activation"] for node in nodes if node.attributes.get("activation")]
        assert [end[0] for end in ends] == [name] * 8


@pytest.mark.parametrize("rules", [TRAINING, INFERENCE, PLAN])
def test_prelu_is_fused_where_relu_is(rules):
    model = Sequential(
        *(conv(), PReLU(), conv(), PReLU(6), ReLU(), conv(), BatchNorm2d(), PReLU(6), BatchNorm2d(), PReLU()),
        *(GroupNorm(3), PReLU(6), LayerNorm(), PReLU(), InstanceNorm2d(), PReLU(6)),
        *(block(conv(), BatchNorm2d(), last=PReLU()), block(BatchNorm2d(), last=PReLU())),
        *(Flatten(), Linear(3), PReLU(), Linear(2), PReLU(2)),
    )
    model.build((3, 8, 8))
    names = [node.name for node in fused(model, rules)]
    norms = ["batch_norm_prelu", "group_norm_prelu", "layer_norm_prelu", "instance_norm_prelu"]
    if rules is TRAINING:
        assert names[:4] == ["conv2d_prelu", "conv2d_prelu", "relu", "conv2d_batch_norm_prelu"]
        assert names[4:10] == [*norms, "conv2d_batch_norm_prelu", "batch_norm_prelu"]
        assert names[10:] == ["flatten", "linear_prelu", "linear_prelu"]
    else:
        assert names[:9] == ["conv2d_post", "conv2d_post", "relu", "conv2d_post", *norms, "conv2d_post"]
        assert names[-1] == "linear_prelu"


def test_maxout_runs_inside_convolutions():
    model = Sequential(conv(8), Maxout(), conv(9), ReLU(), Maxout(3), conv(8), BatchNorm2d(), Maxout())
    model.build((3, 8, 8))
    names = [node.name for node in fused(model)]
    assert names == ["conv2d_maxout", "conv2d", "maxout", "conv2d_batch_norm", "maxout"]
    assert [node.name for node in fused(model, INFERENCE)][:3] == ["conv2d_maxout", "conv2d_post", "maxout"]


def test_relu_runs_inside_group_layer_and_instance_norm():
    model = built("norms of images")
    names = [node.name for node in fused(model) if node.attributes.get("activation") == ("relu", {})]
    assert names == ["group_norm", "layer_norm", "instance_norm", "instance_norm"]
    names = [node.name for node in fused(model, INFERENCE) if node.attributes.get("activation") == ("relu", {})]
    assert names == ["group_norm", "layer_norm", "instance_norm", "batch_norm_activation"]


def test_every_rule_matches_somewhere():
    """No rule of any list is dead: without it, the graph of some network changes."""
    for rules in (TRAINING, INFERENCE, PLAN):
        for rule in set(rules):
            fewer = tuple(other for other in rules if other is not rule)
            changed = False
            for name in NETS:
                model = built(name)
                graphs = [model.graph((4, 3, 8, 8), rules is TRAINING) for _ in range(2)]
                with_rule, without = (
                    [(node.name, node.attributes.get("activation")) for node in fuse(graph, used).nodes]
                    for graph, used in zip(graphs, (rules, fewer), strict=True)
                )
                changed |= with_rule != without
            assert changed, rule.name


def test_a_value_that_others_read_is_not_fused_away():
    shared = Sequential(conv(3), Concat([ReLU(), Sigmoid()]))
    shared.build((3, 8, 8))
    assert [node.name for node in fused(shared)] == ["conv2d", "relu", "sigmoid", "concat"]


def test_subclasses_are_left_alone():
    class Doubled(Conv2d):
        def run(self, x, training, ops):
            y, backward = super().run(x, training, ops)
            return y * 2, lambda dy, input_gradient=True: backward(dy * 2, input_gradient)

    class Leaky(ReLU):
        def run(self, x, training, ops):
            return x, lambda dy, input_gradient=True: dy

    model = Sequential(Doubled(2, 1), ReLU(), Conv2d(2, 1), Leaky())
    model.build((3, 8, 8))
    assert [node.name for node in fused(model)] == ["opaque", "relu", "conv2d", "opaque"]
    y, backward = model.forward(images("float32"), training=True)
    assert (y < 0).any() and backward(y).shape == (4, 3, 8, 8)
