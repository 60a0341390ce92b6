import numpy as np
import pytest
from gradients import check_gradients

from fastnet.layers import batched


def spread(shape, seed=0, step=0.05):
    """Distinct values, none within step / 2 of 0 or of each other: pooling and ReLU stay away from their kinks."""
    count = int(np.prod(shape))
    return (np.random.default_rng(seed).permutation(count).reshape(shape) - count // 2 + 0.5) * step


def check_layer(layer, x, training=True):
    """Compare a float64 layer's input and parameter gradients with central differences."""
    if not layer.built:
        layer.build(x.shape[1:], seed=1, dtype="float64")
    random = np.random.default_rng(2)
    parameters = list(layer.parameters(requires_grad=True))
    for parameter in parameters:
        parameter.value += random.normal(scale=0.1, size=parameter.shape)
    state = layer.rng_state()

    def run():
        layer.set_rng_state(state)
        return layer.forward(x, training)

    y, backward = run()
    assert y.dtype == np.float64 and y.shape == (len(x), *layer.output_shape)
    dy = random.normal(size=y.shape)
    layer.zero_grad()
    dx = backward(dy)
    arrays, gradients = [x, *(p.value for p in parameters)], [dx, *(p.grad.copy() for p in parameters)]
    check_gradients(lambda *_: run()[0], arrays, gradients, dy)


@pytest.fixture(name="spread")
def spread_fixture():
    return spread


@pytest.fixture(name="check_layer")
def check_layer_fixture():
    return check_layer


@pytest.fixture
def made(monkeypatch):
    """The plans that were made, a list that grows."""
    plans = []

    class Counted(batched.Plan):
        def __init__(self, *args):
            super().__init__(*args)
            plans.append(self)

    monkeypatch.setattr(batched, "Plan", Counted)
    return plans
