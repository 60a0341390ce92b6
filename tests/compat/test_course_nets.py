"""The course's networks and sandwich layers: fast against naive, gradients, initial losses, fitting small data."""

from __future__ import annotations

import numpy as np
import pytest

from fastnet.compat.cs231n import get_year, layer_utils, layers, set_year
from fastnet.compat.cs231n.classifier_trainer import ClassifierTrainer
from fastnet.compat.cs231n.classifiers.cnn import ThreeLayerConvNet
from fastnet.compat.cs231n.classifiers.convnet import init_two_layer_convnet, two_layer_convnet
from fastnet.compat.cs231n.classifiers.fc_net import FullyConnectedNet, TwoLayerNet
from fastnet.compat.cs231n.gradient_check import eval_numerical_gradient, eval_numerical_gradient_array
from fastnet.compat.cs231n.solver import Solver

RNG = np.random.default_rng(12)
normal = RNG.standard_normal
CONV = {"stride": 1, "pad": 1}
POOL = {"pool_height": 2, "pool_width": 2, "stride": 2}


@pytest.fixture
def year():
    before = get_year()
    yield set_year
    set_year(before)


def check_net(net, X, y, h=1e-6, atol=1e-8):
    """Check every gradient of a network in float64 against central differences."""
    _, grads = net.loss(X, y)
    assert set(grads) == set(net.params)
    for name, w in net.params.items():
        numerical = eval_numerical_gradient(lambda _: net.loss(X, y)[0], w, verbose=False, h=h)
        np.testing.assert_allclose(grads[name], numerical, rtol=1e-5, atol=atol, err_msg=name)


# ---------------------------------------------------------------- sandwich layers


def pieces(name):
    """(arrays, other arguments) of a sandwich layer."""
    if name.startswith("affine"):
        arrays = [normal((3, 4)), normal((4, 5)), normal(5)]
        norms = {"affine_bn_relu": [{"mode": "train"}], "affine_ln_relu": [{}]}
        return (arrays + [normal(5), normal(5)], norms[name]) if name in norms else (arrays, [])
    arrays = [normal((2, 3, 8, 6)), normal((3, 3, 3, 3)), normal(3)]
    if name == "conv_bn_relu":
        return arrays + [normal(3), normal(3)], [CONV, {"mode": "train"}]
    return arrays, [CONV, POOL] if name == "conv_relu_pool" else [CONV]


@pytest.mark.parametrize(
    "name", ["affine_relu", "affine_bn_relu", "affine_ln_relu", "conv_relu", "conv_bn_relu", "conv_relu_pool"]
)
def test_sandwich_layers(name):
    forward, backward = getattr(layer_utils, f"{name}_forward"), getattr(layer_utils, f"{name}_backward")
    arrays, others = pieces(name)
    out, cache = forward(*arrays, *others)
    dout = normal(out.shape)
    assert len(cache) == name.count("_") + 1
    for position, (array, gradient) in enumerate(zip(arrays, backward(dout, cache), strict=True)):
        numerical = eval_numerical_gradient_array(lambda _: forward(*arrays, *others)[0], array, dout)
        np.testing.assert_allclose(gradient, numerical, atol=1e-7, err_msg=f"gradient {position}")


def test_fast_layers_agree_with_the_naive_ones():
    """The notebook's bounds: convolution within 1e-9, pooling exactly."""
    x, w, b = normal((4, 3, 9, 9)), normal((5, 3, 3, 3)), normal(5)
    conv_param = {"stride": 2, "pad": 1}
    out, cache = layer_utils.conv_forward_fast(x, w, b, conv_param)
    slow, slow_cache = layers.conv_forward_naive(x, w, b, conv_param)
    np.testing.assert_allclose(out, slow, rtol=1e-9, atol=1e-12)
    dout = normal(out.shape)
    fast = layer_utils.conv_backward_fast(dout, cache)
    for got, expected in zip(fast, layers.conv_backward_naive(dout, slow_cache), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)
    x = normal((4, 3, 8, 8))
    out, cache = layer_utils.max_pool_forward_fast(x, POOL)
    slow, slow_cache = layers.max_pool_forward_naive(x, POOL)
    dout = normal(out.shape)
    assert np.array_equal(out, slow)
    gradients = layer_utils.max_pool_backward_fast(dout, cache), layers.max_pool_backward_naive(dout, slow_cache)
    assert np.array_equal(*gradients)


# ---------------------------------------------------------------- ThreeLayerConvNet


def test_convnet_starts_with_the_loss_of_a_guess():
    np.random.seed(1)
    X, y = normal((50, 3, 32, 32)), RNG.integers(10, size=50)
    net = ThreeLayerConvNet()
    loss, grads = net.loss(X, y)
    assert abs(loss - np.log(10)) < 1e-4
    net.reg = 0.5
    weights = sum(float(np.sum(net.params[name].astype(float) ** 2)) for name in ("W1", "W2", "W3"))
    assert np.isclose(net.loss(X, y)[0] - loss, 0.25 * weights, rtol=1e-5)
    assert grads["W1"].dtype == np.float64  # X is not cast
    assert net.loss(X.astype(np.float32), y)[1]["W1"].dtype == np.float32


def test_convnets_weights_come_from_the_courses_random_stream():
    np.random.seed(2)
    net = ThreeLayerConvNet((2, 8, 6), num_filters=3, filter_size=5, hidden_dim=7, num_classes=4, weight_scale=0.1)
    np.random.seed(2)
    for name, shape in (("W1", (3, 2, 5, 5)), ("W2", (36, 7)), ("W3", (7, 4))):
        assert np.array_equal(net.params[name], (0.1 * np.random.randn(*shape)).astype(np.float32))
    assert [net.params[name].shape for name in ("b1", "b2", "b3")] == [(3,), (7,), (4,)]
    assert net.loss(normal((2, 2, 8, 6))).shape == (2, 4)


def test_convnet_gradients():
    np.random.seed(3)
    net = ThreeLayerConvNet((3, 6, 6), num_filters=3, filter_size=3, hidden_dim=7, dtype=np.float64, reg=0.1)
    for name in ("b1", "b2", "b3"):
        net.params[name] += 0.1
    check_net(net, normal((2, 3, 6, 6)), np.array([1, 3]))


def test_convnet_agrees_with_the_naive_one():
    """The same network, built from naive layers."""
    np.random.seed(4)
    net = ThreeLayerConvNet((3, 8, 8), num_filters=4, filter_size=3, hidden_dim=6, weight_scale=0.1, dtype=np.float64)
    X, y = normal((3, 3, 8, 8)), np.array([0, 5, 9])
    p = net.params
    a, conv_cache = layers.conv_forward_naive(X, p["W1"], p["b1"], CONV)
    a, relu_cache = layers.relu_forward(a)
    a, pool_cache = layers.max_pool_forward_naive(a, POOL)
    a, fc_cache = layers.affine_forward(a, p["W2"], p["b2"])
    a, relu_cache2 = layers.relu_forward(a)
    scores, out_cache = layers.affine_forward(a, p["W3"], p["b3"])
    np.testing.assert_allclose(net.loss(X), scores, rtol=1e-12)
    expected, d = layers.softmax_loss(scores, y)
    d, dW3, _ = layers.affine_backward(d, out_cache)
    d, dW2, _ = layers.affine_backward(layers.relu_backward(d, relu_cache2), fc_cache)
    d = layers.relu_backward(layers.max_pool_backward_naive(d, pool_cache), relu_cache)
    _, dW1, db1 = layers.conv_backward_naive(d, conv_cache)
    loss, grads = net.loss(X, y)
    assert np.isclose(loss, expected, rtol=1e-13)
    for name, gradient in (("W1", dW1), ("b1", db1), ("W2", dW2), ("W3", dW3)):
        np.testing.assert_allclose(grads[name], gradient, rtol=1e-9, atol=1e-15, err_msg=name)


def images(N=40, classes=4):
    """Images of noise in which each class has a different bright quadrant."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((N, 3, 8, 8)), rng.integers(classes, size=N)
    for image, label in zip(X, y, strict=True):
        image[:, label // 2 * 4 : label // 2 * 4 + 4, label % 2 * 4 : label % 2 * 4 + 4] += 1.5
    return {"X_train": X, "y_train": y, "X_val": X[:20], "y_val": y[:20]}


def learns(net, epochs=20, rate=5e-3, rule="adam"):
    data = images()
    np.random.seed(0)
    settings = {"update_rule": rule, "optim_config": {"learning_rate": rate}, "batch_size": 20, "num_epochs": epochs}
    solver = Solver(net, data, verbose=False, **settings)
    solver.train()
    assert solver.loss_history[-1] < 0.3 * solver.loss_history[0]
    assert solver.train_acc_history[-1] >= 0.95 and solver.best_val_acc >= 0.95


def test_convnet_learns_small_data():
    np.random.seed(5)
    learns(ThreeLayerConvNet((3, 8, 8), num_filters=8, filter_size=3, hidden_dim=20, num_classes=4, weight_scale=1e-2))


# ---------------------------------------------------------------- fully connected networks


def test_two_layer_net():
    np.random.seed(6)
    net = TwoLayerNet(5, 50, 7, weight_scale=1e-2, reg=0.7)
    np.random.seed(6)
    assert np.array_equal(net.params["W1"], 1e-2 * np.random.randn(5, 50))
    assert np.array_equal(net.params["W2"], 1e-2 * np.random.randn(50, 7))
    for name, w in net.params.items():
        net.params[name] = np.linspace(-0.7 if name == "W1" else -0.1, 0.9, w.size).reshape(w.shape)
    X, y = np.linspace(-5.5, 4.5, 15).reshape(5, 3).T, np.array([0, 5, 1])
    net.params.update(
        W1=np.linspace(-0.7, 0.3, 250).reshape(5, 50),
        b1=np.linspace(-0.1, 0.9, 50),
        W2=np.linspace(-0.3, 0.4, 350).reshape(50, 7),
        b2=np.linspace(-0.9, 0.1, 7),
    )
    published = [
        [11.53165108, 12.2917344, 13.05181771, 13.81190102, 14.57198434, 15.33206765, 16.09215096],
        [12.05769098, 12.74614105, 13.43459113, 14.1230412, 14.81149128, 15.49994135, 16.18839143],
        [12.58373087, 13.20054771, 13.81736455, 14.43418138, 15.05099822, 15.66781506, 16.2846319],
    ]
    np.testing.assert_allclose(net.loss(X), published, atol=5e-9)
    net.reg = 0.0
    assert abs(net.loss(X, y)[0] - 3.4702243556) < 1e-10
    net.reg = 1.0
    assert abs(net.loss(X, y)[0] - 26.5948426952) < 1e-10


def test_two_layer_net_gradients():
    np.random.seed(7)
    check_net(TwoLayerNet(6, 5, 3, weight_scale=0.3, reg=0.7), normal((4, 2, 3)), np.array([0, 2, 1, 1]))


NORMS = [None, "batchnorm", "layernorm"]


@pytest.mark.parametrize("reg", [0, 3.14])
@pytest.mark.parametrize("normalization", NORMS)
@pytest.mark.parametrize("keep", [1, 0.75])
def test_fully_connected_gradients(normalization, keep, reg):
    np.random.seed(8)
    X, y = normal((4, 3, 5)), RNG.integers(6, size=4)
    net = FullyConnectedNet([7, 5], 15, 6, keep, normalization, reg=reg, weight_scale=0.3, dtype=np.float64, seed=123)
    for name, value in net.params.items():
        value += 0.1 if name[0] == "b" else 0  # away from the kink at 0
    check_net(net, X, y)


def test_fully_connected_nets_parameters_and_modes():
    np.random.seed(9)
    net = FullyConnectedNet([20, 30], input_dim=12, num_classes=5, normalization="batchnorm", weight_scale=0.5)
    np.random.seed(9)
    assert np.array_equal(net.params["W1"], (0.5 * np.random.randn(12, 20)).astype(np.float32))
    names = {f"{kind}{i}" for i in (1, 2) for kind in ("W", "b", "gamma", "beta")} | {"W3", "b3"}
    assert set(net.params) == names and net.num_layers == 3
    assert all(value.dtype == np.float32 for value in net.params.values())
    X, y = normal((8, 3, 4)), RNG.integers(5, size=8)
    scores = net.loss(X)
    assert scores.shape == (8, 5) and scores.dtype == np.float32  # X is cast
    before = net.bn_params[0]["running_mean"].copy()
    net.loss(X, y)
    after = net.bn_params[0]["running_mean"].copy()
    assert not before.any() and after.any() and len(net.bn_params) == 2
    net.loss(X)
    assert np.array_equal(net.bn_params[0]["running_mean"], after)
    with pytest.raises(ValueError, match="normalization must be None, 'batchnorm' or 'layernorm', got 'group'"):
        FullyConnectedNet([3], normalization="group")


def test_dropout_of_nets():
    X, y = normal((5, 15)), RNG.integers(10, size=5)
    net = FullyConnectedNet([30], 15, dropout_keep_ratio=0.5, weight_scale=1.0, dtype=np.float64, seed=1)
    assert net.use_dropout and net.dropout_param == {"mode": "train", "p": 0.5, "seed": 1}
    assert net.loss(X, y)[0] == net.loss(X, y)[0]
    plain = FullyConnectedNet([30], 15, dtype=np.float64)
    plain.params = net.params
    assert not plain.use_dropout and plain.dropout_param == {}
    assert np.array_equal(net.loss(X), plain.loss(X)) and net.loss(X, y)[0] != plain.loss(X, y)[0]


def test_older_names_of_arguments(year):
    assert FullyConnectedNet([3], dropout=0.3).dropout_param["p"] == 0.3
    assert not FullyConnectedNet([3], dropout=1).use_dropout
    year(2016)
    net = FullyConnectedNet([3], 6, dropout=0.3, use_batchnorm=True, dtype=np.float64, seed=4)
    assert net.dropout_param["p"] == 0.3 and net.use_dropout and net.normalization == "batchnorm"
    assert not FullyConnectedNet([3], dropout=0).use_dropout and not FullyConnectedNet([3]).use_dropout
    X, y = normal((4, 6)), np.array([0, 1, 2, 3])
    year(2024)
    same = FullyConnectedNet([3], 6, dropout_keep_ratio=0.7, normalization="batchnorm", dtype=np.float64, seed=4)
    same.params = net.params
    kept = same.loss(X, y)[0]
    year(2016)
    assert net.loss(X, y)[0] == kept  # dropping 0.3 means keeping 0.7


@pytest.mark.parametrize("normalization", NORMS)
def test_fully_connected_nets_learn_small_data(normalization):
    np.random.seed(10)
    learns(FullyConnectedNet([30, 20], 192, 4, normalization=normalization, weight_scale=5e-2), rate=3e-3)


def test_nets_are_saved(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for make in (lambda: TwoLayerNet(3, 4, 2), lambda: FullyConnectedNet([4], 3, 2)):
        net, other = make(), make()
        assert other.load("net.npy") is False
        net.save("net.npy")
        assert other.load("net.npy") is True
        assert all(np.array_equal(other.params[name], net.params[name]) for name in net.params)
        (tmp_path / "cs231n" / "saved" / "net.npy").unlink()


# ---------------------------------------------------------------- 2015


def test_two_layer_convnet_gradients():
    np.random.seed(11)
    model = init_two_layer_convnet(0.1, 0.1, input_shape=(3, 6, 6), num_classes=4, num_filters=3, filter_size=3)
    X, y = normal((3, 3, 6, 6)), np.array([0, 3, 1])
    assert two_layer_convnet(X, model).shape == (3, 4)
    _, grads = two_layer_convnet(X, model, y, reg=0.4)
    for name, w in model.items():
        numerical = eval_numerical_gradient(lambda _: two_layer_convnet(X, model, y, reg=0.4)[0], w, verbose=False)
        np.testing.assert_allclose(grads[name], numerical, rtol=1e-5, atol=1e-8, err_msg=name)
    with pytest.raises(ValueError, match="filter_size must be odd, got 4"):
        init_two_layer_convnet(filter_size=4)


def test_two_layer_convnet_learns_small_data():
    data = images()
    np.random.seed(12)
    model = init_two_layer_convnet(1e-2, input_shape=(3, 8, 8), num_classes=4, num_filters=8, filter_size=3)
    arguments = data["X_train"], data["y_train"], data["X_val"], data["y_val"], model, two_layer_convnet
    best, losses, _, _ = ClassifierTrainer().train(
        *arguments, learning_rate=2e-2, momentum=0.9, num_epochs=20, batch_size=20, reg=1e-3
    )
    assert losses[-1] < 0.3 * losses[0]
    assert np.mean(two_layer_convnet(data["X_val"], best).argmax(axis=1) == data["y_val"]) >= 0.95
