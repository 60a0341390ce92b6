import numpy as np
import pytest

EPS = 1e-6


def spread(shape, seed=0, step=0.05):
    """Distinct values, none within step / 2 of 0 or of each other: pooling and ReLU stay away from their kinks."""
    count = int(np.prod(shape))
    return (np.random.default_rng(seed).permutation(count).reshape(shape) - count // 2 + 0.5) * step


def numeric_gradient(function, array, dy):
    """d sum(dy * function()) / d array, by central differences in place."""
    gradient = np.empty(array.shape)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + EPS
        high = function()
        array[index] = kept - EPS
        low = function()
        array[index] = kept
        gradient[index] = ((high - low) * dy).sum() / (2 * EPS)
    return gradient


def check_gradients(layer, x, training=True, rtol=1e-5, atol=1e-7):
    """Compare a float64 layer's input and parameter gradients with central differences."""
    if not layer.built:
        layer.build(x.shape[1:], seed=1, dtype="float64")
    random = np.random.default_rng(2)
    for parameter in layer.parameters(trainable=True):
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
    gradients = {name: p.grad.copy() for name, p in layer.named_parameters().items() if p.trainable}
    assert dx.shape == x.shape
    expected = numeric_gradient(lambda: run()[0].copy(), x, dy)
    np.testing.assert_allclose(dx, expected, rtol=rtol, atol=atol * max(1, np.abs(expected).max()))
    for name, parameter in layer.named_parameters().items():
        if parameter.trainable:
            expected = numeric_gradient(lambda: run()[0].copy(), parameter.value, dy)
            limit = atol * max(1, np.abs(expected).max())
            np.testing.assert_allclose(gradients[name], expected, rtol=rtol, atol=limit, err_msg=name)


@pytest.fixture(name="spread")
def spread_fixture():
    return spread


@pytest.fixture(name="check_gradients")
def check_gradients_fixture():
    return check_gradients
