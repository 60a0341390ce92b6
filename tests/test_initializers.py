import functools

import numpy as np
import pytest

from fastnet import initializers, models
from fastnet.layers import (
    BatchNorm1d,
    BatchNorm2d,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
    Sequential,
    Tanh,
    trace,
)
from fastnet.layers.preserved import preserved
from fastnet.optim import SGD


@pytest.mark.parametrize(
    ("name", "std"),
    [
        ("kaiming_normal", (2 / (40 * 9)) ** 0.5),
        ("kaiming_uniform", (2 / (40 * 9)) ** 0.5),
        ("xavier_normal", (2 / (40 * 9 + 60 * 9)) ** 0.5),
        ("xavier_uniform", (2 / (40 * 9 + 60 * 9)) ** 0.5),
        ("lecun_normal", (1 / (40 * 9)) ** 0.5),
        ("lecun_uniform", (1 / (40 * 9)) ** 0.5),
        ("normal", 0.01),
        ("uniform", 0.01 / 3**0.5),
    ],
)
def test_standard_deviations(name, std):
    shape = (60, 40, 3, 3)
    values = initializers.resolve(name)(np.random.default_rng(0), shape)
    assert values.shape == shape and values.dtype == np.float32
    count = values.size
    assert abs(values.std() / std - 1) < 5 / (2 * count) ** 0.5
    assert abs(values.mean()) < 5 * std / count**0.5
    np.testing.assert_array_equal(values, initializers.resolve(name)(np.random.default_rng(0), shape))


@pytest.mark.parametrize("name", ["kaiming_uniform", "xavier_uniform", "lecun_uniform", "uniform"])
def test_uniform_distributions_fill_their_interval(name):
    values = initializers.resolve(name)(np.random.default_rng(0), (60, 40, 3, 3))
    limit = 3**0.5 * values.std(dtype=np.float64)
    assert 0.99 * limit < values.max() < 1.01 * limit and -1.01 * limit < values.min() < -0.99 * limit
    counts, _ = np.histogram(values, 10)
    assert abs(counts / counts.mean() - 1).max() < 0.1


def test_the_default_draws_the_published_models():
    """The first weights of seed 0: models published by their seed must stay reproducible."""
    layer = Linear(2)
    layer.build((3,))
    expected = np.random.default_rng(0).standard_normal((2, 3), dtype=np.float32) * np.float32((2 / 3) ** 0.5)
    np.testing.assert_array_equal(layer.weight.value, expected)


@pytest.mark.parametrize(("mode", "fan"), [("fan_in", 360), ("fan_out", 540), ("fan_avg", 450)])
def test_variance_scaling(mode, fan):
    draw = functools.partial(initializers.variance_scaling, scale=3.0, mode=mode)
    values = draw(np.random.default_rng(0), (60, 40, 3, 3))
    np.testing.assert_array_equal(
        values, initializers.normal(np.random.default_rng(0), (60, 40, 3, 3), (3 / fan) ** 0.5)
    )


def test_constants():
    random = np.random.default_rng(0)
    assert (initializers.zeros(random, (2, 3)) == 0).all()
    assert (initializers.ones(random, (3,)) == 1).all()
    assert (initializers.constant(random, (2,), 2.5) == 2.5).all()
    assert random.bit_generator.state == np.random.default_rng(0).bit_generator.state


def test_fans():
    assert initializers.fans((60, 40, 3, 5)) == (600, 900)
    assert initializers.fans((7, 11)) == (11, 7)
    with pytest.raises(ValueError, match=r"at least 2 axes, got shape \(4,\)"):
        initializers.fans((4,))


def test_layers_take_names_and_functions():
    layer = Linear(200, initializer=functools.partial(initializers.normal, std=3.0))
    layer.build((100,))
    assert abs(layer.weight.value.std() / 3 - 1) < 0.05
    layer = Conv2d(4, 3, initializer="zeros")
    layer.build((2, 5, 5))
    assert not layer.weight.value.any()


@pytest.mark.parametrize("kind", [Linear, Conv2d, Conv1d, ConvTranspose2d, ConvTranspose1d])
def test_initial_biases(kind):
    constant = functools.partial(initializers.constant, value=0.01)
    sizes, shape = ((4,), (5,)) if kind is Linear else ((4, 3), (2, 9) if kind.__name__.endswith("1d") else (2, 9, 9))
    plain, active = kind(*sizes), kind(*sizes, bias_initializer=constant)
    plain.build(shape)
    active.build(shape)
    assert not plain.bias.value.any() and (active.bias.value == np.float32(0.01)).all()
    np.testing.assert_array_equal(plain.weight.value, active.weight.value)
    with pytest.raises(ValueError, match="initializer must be one of .* got 'magic'"):
        kind(*sizes, bias_initializer="magic")


@pytest.mark.parametrize("seed", [0, np.random.SeedSequence(5)])
def test_generator(seed):
    one, two = initializers.generator(seed), initializers.generator(seed)
    assert one.random() == two.random()
    assert initializers.generator(one) is one


def test_errors():
    with pytest.raises(ValueError, match="initializer must be one of .*'kaiming_normal'.* got 'magic'"):
        initializers.resolve("magic")
    with pytest.raises(ValueError, match="'xavier_normal', 'xavier_uniform'.*got 'xavier'"):
        initializers.resolve("xavier")
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="mode must be one of .*got 'fan_up'"):
        initializers.variance_scaling(rng, (2, 2), mode="fan_up")
    with pytest.raises(ValueError, match="distribution must be .*got 'cauchy'"):
        initializers.variance_scaling(rng, (2, 2), distribution="cauchy")
    with pytest.raises(TypeError, match="a name or a function"):
        initializers.resolve(3)
    with pytest.raises(TypeError, match="not be reproducible"):
        initializers.generator(None)
    with pytest.raises(ValueError, match=r"returned shape \(2,\), the weight has \(4, 3\)"):
        Linear(4, initializer=lambda rng, shape: np.zeros(2)).build((3,))
    with pytest.raises(TypeError, match="dtype must be float32 or float64"):
        Linear(4).build((3,), dtype="float16")


# ---------------------------------------------------------------- gains, matrices


def test_gains_and_fans_of_kaiming():
    assert initializers.gain("tanh") == 5 / 3 and initializers.gain("selu") == 0.75
    assert initializers.gain("relu") == 2**0.5 and initializers.gain("linear") == initializers.gain("sigmoid") == 1
    assert initializers.gain("leaky_relu", 0.2) == (2 / 1.04) ** 0.5
    draws = dict(mode="fan_out", nonlinearity="leaky_relu", negative_slope=0.2)
    values = initializers.kaiming_normal(np.random.default_rng(0), (60, 40, 3, 3), **draws)
    np.testing.assert_array_equal(
        values, initializers.normal(np.random.default_rng(0), (60, 40, 3, 3), (2 / 1.04 / 540) ** 0.5)
    )
    values = initializers.xavier_uniform(np.random.default_rng(0), (600, 400), gain=5 / 3)
    assert 0.999 < values.max() / (5 / 3 * (6 / 1000) ** 0.5) <= 1
    with pytest.raises(ValueError, match="nonlinearity must be one of .*'leaky_relu'.* got 'swish'"):
        initializers.gain("swish")


@pytest.mark.parametrize("shape", [(50, 50), (20, 70), (70, 20), (8, 3, 3, 3), (40, 3, 3, 3), (1, 5)])
def test_orthogonal_matrices(shape):
    values = initializers.orthogonal(np.random.default_rng(0), shape, gain=1.5)
    matrix = values.reshape(shape[0], -1) / 1.5
    small = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    assert values.shape == shape and abs(small - np.eye(len(small))).max() < 1e-12


def test_orthogonal_matrices_are_uniformly_distributed():
    """Each entry of a uniformly distributed orthogonal matrix has mean 0 and variance 1/n, the diagonal too."""
    rng = np.random.default_rng(0)
    draws = np.array([initializers.orthogonal(rng, (4, 4)) for _ in range(2000)])
    assert abs(draws.mean(axis=0)).max() < 5 * 0.5 / 2000**0.5
    assert abs(draws.var(axis=0) - 0.25).max() < 0.03


def test_random_walk_has_no_drift():
    """The mean of log |y|^2 - log |x|^2: psi functions for linear layers; for ReLU, sums over how many are active."""
    special = pytest.importorskip("scipy.special")
    for n in (10, 30, 100, 1000):
        g = np.exp(1 / (2 * n))
        assert abs(np.log(g**2 / n) + special.digamma(n / 2) + np.log(2)) < 1 / n**2  # of 1 / n that He's has
        k = np.arange(1, n + 1)
        log_odds = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1) - n * np.log(2)
        p = np.exp(log_odds) / np.exp(log_odds).sum()
        expected = (p * (special.digamma(k / 2) + np.log(2))).sum()
        g = initializers.random_walk(np.random.default_rng(0), (2000, n), "relu").std(dtype=float) * n**0.5
        assert abs(g / (2**0.5 * np.exp(1.2 / (n - 2.4))) - 1) < 0.02
        drift = np.log(2 / n) + 2 * 1.2 / (n - 2.4) + expected
        he = np.log(2 / n) + expected
        assert abs(drift) < 0.12 * abs(he), (n, drift, he)
    values = initializers.random_walk(np.random.default_rng(0), (3000, 20), "linear")
    assert abs(values.std() / (np.exp(1 / 40) / 20**0.5) - 1) < 0.02
    with pytest.raises(ValueError, match="nonlinearity must be 'relu' or 'linear', got 'tanh'"):
        initializers.random_walk(np.random.default_rng(0), (3, 3), "tanh")


def test_sparse():
    rng = np.random.default_rng(0)
    values = initializers.sparse(rng, (300, 4, 5, 5), connections=10, std=0.5)
    assert ((values != 0).reshape(300, -1).sum(axis=1) == 10).all()
    assert abs(values[values != 0].std() / 0.5 - 1) < 0.05
    used = (values != 0).reshape(300, -1).sum(axis=0)
    assert used.min() > 5 and used.max() < 70  # every input, 30 times on average
    assert (initializers.sparse(rng, (5, 7)) != 0).all()  # fewer inputs than connections
    values = initializers.sparse_columns(rng, (21, 50), 0.3)
    assert ((values == 0).sum(axis=0) == 7).all()  # ceil(0.3 * 21)
    assert (initializers.sparse_columns(rng, (5, 7), 1.0) == 0).all()
    with pytest.raises(ValueError, match=r"sparsity must be in \[0, 1\], got 1.5"):
        initializers.sparse_columns(rng, (5, 7), 1.5)
    with pytest.raises(ValueError, match="connections must be an integer between 1"):
        initializers.sparse(rng, (5, 7), 0)


# ---------------------------------------------------------------- whole models


def convnet(depth=3, activation=ReLU, **options):
    body = [layer for _ in range(depth) for layer in (Conv2d(6, 3, padding=1, **options), activation())]
    model = Sequential(*body, BatchNorm2d(), MaxPool2d(2), Flatten(), Linear(8), ReLU(), Linear(5))
    model.build((3, 8, 8), seed=1)
    return model


def images(n=64, dtype=np.float32):
    return (np.random.default_rng(7).standard_normal((n, 3, 8, 8)) * 3 + 1).astype(dtype)


def test_a_whole_model():
    model, before = convnet(), convnet().state_dict()
    arrays = {name: parameter.value for name, parameter in model.named_parameters()}
    names = initializers.initialize(model, "orthogonal", bias=0.01, seed=3)
    after = model.state_dict()
    assert set(names) == {name for name in before if not name.startswith("6.")} and len(names) == 10
    for name, value in after.items():
        if name.endswith("bias") and name in names:
            assert (value == np.float32(0.01)).all()
        else:
            assert np.array_equal(value, before[name]) == (name not in names)
    assert all(parameter.value is arrays[name] for name, parameter in model.named_parameters())
    again = convnet()
    initializers.initialize(again, "orthogonal", bias=0.01, seed=3)
    np.testing.assert_array_equal(again.state_dict()["9.weight"], after["9.weight"])
    initializers.initialize(model, bias="ones")
    assert (model.state_dict()["9.bias"] == 1).all()


def test_errors_of_whole_models():
    with pytest.raises(RuntimeError, match="initialize: the model must be built first"):
        initializers.initialize(Sequential(Linear(3)))
    model = Sequential(ReLU())
    model.build((4,))
    with pytest.raises(ValueError, match="lsuv: the model has no layer with a weight matrix"):
        initializers.lsuv(model, np.ones((2, 4), np.float32))
    with pytest.raises(ValueError, match="initializer must be one of"):
        initializers.initialize(convnet(), "magic")
    with pytest.raises(TypeError, match="bias, if not a name or a function, must be a finite number"):
        initializers.initialize(convnet(), bias=None)
    with pytest.raises(ValueError, match="the output of layer 0 has variance 0.0: is its input constant"):
        initializers.lsuv(convnet(), np.zeros((2, 3, 8, 8), np.float32))
    with pytest.raises(ValueError, match="6 of 6 channels of layer 0 do not vary"):
        initializers.data_dependent(convnet(), np.zeros((2, 3, 8, 8), np.float32))
    up = Sequential(ConvTranspose2d(4, 3))
    up.build((3, 8, 8))
    with pytest.raises(ValueError, match="ConvTranspose2d at 0 has a weight"):
        initializers.data_dependent(up, images())


def outputs(model, x, kinds=(Conv2d, Linear)):
    found = {}
    with trace(lambda name, phase, array: found.setdefault(name, np.array(array, np.float64))):
        model.forward(x, training=True)
    return {path: found[path] for path, layer in model.named_layers() if isinstance(layer, kinds)}


@pytest.mark.parametrize("activation", [ReLU, Tanh])
def test_lsuv(activation):
    model, x = convnet(8, activation), images()
    running = model.state_dict()["16.running_mean"].copy()
    found = initializers.lsuv(model, x, tolerance=0.01)
    np.testing.assert_array_equal(model.state_dict()["16.running_mean"], running)
    variances = {path: y.var() for path, y in outputs(model, x).items()}
    assert list(found) == list(variances) and len(found) == 10
    for path, variance in variances.items():
        assert abs(variance - 1) < 0.01 and abs(found[path] - variance) < 1e-5
    matrix = model.state_dict()["2.weight"].reshape(6, -1)
    gram = matrix @ matrix.T  # orthogonal up to the factor
    np.testing.assert_allclose(gram / gram[0, 0], np.eye(6), atol=1e-5)


def test_lsuv_keeps_given_weights():
    model, x = convnet(), images()
    before = model.state_dict()
    initializers.lsuv(model, x, weights=None)
    for path in ("0", "2", "4", "9", "11"):
        ratio = model.state_dict()[f"{path}.weight"] / before[f"{path}.weight"]
        np.testing.assert_allclose(ratio, ratio.flat[0], rtol=1e-5)


def test_data_dependent_within_layers():
    model, x = convnet(4), images(256)
    initializers.data_dependent(model, x, beta=0.5, balance=False)
    for y in outputs(model, x).values():
        axes = (0, *range(2, y.ndim))
        np.testing.assert_allclose(y.mean(axis=axes), 0.5, atol=2e-5)
        np.testing.assert_allclose(y.std(axis=axes), 1, rtol=2e-5)


def test_data_dependent_between_layers():
    """The rates come together, and the function of a piecewise linear network stays."""

    def net():
        model = Sequential(Conv2d(8, 3), ReLU(), Conv2d(16, 3), ReLU(), Flatten(), Linear(60), ReLU(), Linear(5))
        model.build((3, 8, 8), dtype="float64")
        return model

    plain, balanced, x = net(), net(), images(128, np.float64)
    assert initializers.data_dependent(plain, x, balance=False) == {}
    few = initializers.data_dependent(balanced, x, iterations=1)
    np.testing.assert_allclose(balanced(x), plain(x), rtol=1e-6, atol=1e-9)
    many = initializers.data_dependent(balanced, x, iterations=30)
    np.testing.assert_allclose(balanced(x), plain(x), rtol=1e-6, atol=1e-9)
    spread = [np.log(max(rates.values()) / min(rates.values())) for rates in (few, many)]
    assert spread[1] < 0.3 and spread[1] < spread[0] / 3, spread
    assert list(many) == ["0", "2", "5", "7"]


def test_models_are_preserved():
    model = Sequential(Linear(6), BatchNorm1d(), Dropout(0.5), Linear(3))
    model.build((4,))
    before, streams = model.state_dict(), model.rng_state()
    gradient = model.parameters()[0].grad = np.ones((6, 4), np.float32)
    with pytest.raises(KeyError), preserved(model):
        y, backward = model.forward(np.ones((3, 4), np.float32), training=True)
        backward(y)
        model.parameters()[0].value += 1
        raise KeyError
    assert model.parameters()[0].grad is gradient and model.parameters()[1].grad is None
    assert model.rng_state() == streams
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


# ---------------------------------------------------------------- Fixup


def test_fixup_scales_residual_branches():
    model = Sequential(
        Conv2d(6, 3, padding=1),
        Residual([Conv2d(6, 3, padding=1), ReLU(), Conv2d(6, 3, padding=1)]),
        Residual([Conv2d(6, 1), ReLU(), Conv2d(6, 3, padding=1), ReLU(), Conv2d(6, 1)]),
        *(Flatten(), Linear(200), Linear(5)),
    )
    model.build((3, 8, 8))
    factors = initializers.fixup(model, seed=4)
    expected = {"0": 1.0, "1.body.0": 2**-0.5, "1.body.2": 0.0, "2.body.0": 2**-0.25, "2.body.2": 2**-0.25}
    assert factors == pytest.approx({**expected, "2.body.4": 0.0, "4": 1.0, "5": 0.0})
    state = model.state_dict()
    for path, factor in factors.items():
        weight = state[f"{path}.weight"]
        he = (2 / initializers.fans(weight.shape)[0]) ** 0.5
        assert weight.std() == pytest.approx(factor * he, rel=6 / weight.size**0.5)
    assert not model(images()).any()  # all scores are 0, and each block is its shortcut
    with pytest.raises(ValueError, match="fixup: the model has no Residual with a weight layer"):
        initializers.fixup(convnet())


def test_a_deep_fixup_network_learns_without_normalization():
    """The rules keep a step's effect bounded at any depth: fixup_resnet56 learns at a rate of 0.1."""
    model = models.fixup_resnet56(4, (1, 8, 8))
    rng, y = np.random.default_rng(0), np.arange(64) % 4
    x = (rng.standard_normal((4, 1, 8, 8))[y] + 0.3 * rng.standard_normal((64, 1, 8, 8))).astype(np.float32)
    history = model.fit(x, y, 12, batch_size=16, optimizer=SGD(0.05, momentum=0.9), verbose=False)
    assert history.losses[0] == pytest.approx(np.log(4), abs=1e-6)
    assert history.history["accuracy"][-1] > 0.95
    assert any(abs(model.state_dict()[f"layer1.{n}.scale.weight"] - 1) > 1e-3 for n in range(9))  # scalars learn
