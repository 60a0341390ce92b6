import functools

import numpy as np
import pytest

from fastnet import initializers
from fastnet.layers import Conv2d, Linear


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
