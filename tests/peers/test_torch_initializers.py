"""Initializers against torch.nn.init: the same gains, spreads and zeros."""

import functools

import numpy as np
import pytest

from fastnet import initializers

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers
SHAPE = (60, 40, 3, 3)


@pytest.mark.parametrize("name", ["linear", "sigmoid", "tanh", "relu", "selu", "leaky_relu"])
def test_gains(name):
    expected = torch.nn.init.calculate_gain(name, 0.2 if name == "leaky_relu" else None)
    assert initializers.gain(name, 0.2) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(
    ("name", "ours", "theirs"),
    [
        ("xavier_normal", {"gain": 5 / 3}, {"gain": 5 / 3}),
        ("xavier_uniform", {"gain": 5 / 3}, {"gain": 5 / 3}),
        ("kaiming_normal", {"mode": "fan_out"}, {"mode": "fan_out", "nonlinearity": "relu"}),
        ("kaiming_uniform", {"nonlinearity": "leaky_relu", "negative_slope": 0.3}, {"a": 0.3}),
        ("kaiming_uniform", {"nonlinearity": "selu"}, {"nonlinearity": "selu"}),
        ("orthogonal", {"gain": 2.0}, {"gain": 2.0}),
    ],
)
def test_spreads(name, ours, theirs):
    values = functools.partial(getattr(initializers, name), **ours)(np.random.default_rng(0), SHAPE)
    torch.manual_seed(0)
    expected = getattr(torch.nn.init, f"{name}_")(torch.empty(SHAPE), **theirs).numpy()
    assert values.std() / expected.std() == pytest.approx(1, abs=0.02)
    assert abs(values).max() / abs(expected).max() == pytest.approx(1, abs=0.01 if "uniform" in name else 0.25)


def test_orthogonal_rows_and_columns():
    for shape in ((30, 70), (70, 30)):
        values = initializers.orthogonal(np.random.default_rng(0), shape)
        expected = torch.nn.init.orthogonal_(torch.empty(shape, dtype=torch.float64)).numpy()
        for matrix, other in ((values @ values.T, expected @ expected.T), (values.T @ values, expected.T @ expected)):
            assert np.linalg.matrix_rank(matrix) == np.linalg.matrix_rank(other)
            assert np.trace(matrix) == pytest.approx(np.trace(other), abs=1e-10)


def test_sparse_columns():
    values = initializers.sparse_columns(np.random.default_rng(0), (21, 50), 0.3, std=0.5)
    expected = torch.nn.init.sparse_(torch.empty(21, 50), 0.3, std=0.5).numpy()
    np.testing.assert_array_equal((values == 0).sum(axis=0), (expected == 0).sum(axis=0))
    assert values.std() / expected.std() == pytest.approx(1, abs=0.1)
