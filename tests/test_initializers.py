import functools

import numpy as np
import pytest

from fastnet import initializers
from fastnet.layers import Conv2d, Linear


@pytest.mark.parametrize(
    ("name", "std"),
    [
        ("kaiming", (2 / (40 * 9)) ** 0.5),
        ("xavier", (1 / (40 * 9)) ** 0.5),
        ("glorot", (2 / (40 * 9 + 60 * 9)) ** 0.5),
        ("normal", 0.01),
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
    with pytest.raises(ValueError, match="initializer must be one of .*'kaiming'.* got 'magic'"):
        initializers.resolve("magic")
    with pytest.raises(TypeError, match="a name or a function"):
        initializers.resolve(3)
    with pytest.raises(TypeError, match="not be reproducible"):
        initializers.generator(None)
    with pytest.raises(ValueError, match=r"returned shape \(2,\), the weight has \(4, 3\)"):
        Linear(4, initializer=lambda rng, shape: np.zeros(2)).build((3,))
    with pytest.raises(TypeError, match="dtype must be float32 or float64"):
        Linear(4).build((3,), dtype="float16")
