"""Penalties, max norm, dropout's forms and fractional pooling against PyTorch, in float64."""

from __future__ import annotations

import math

import cases
import numpy as np
import pytest

import fastnet as fn
from fastnet.ops import philox
from fastnet.regularizers import L1, L2, ElasticNet, MaxNorm

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers

PENALTIES = {
    "l1": (L1(0.1), lambda w: 0.1 * w.abs().sum()),
    "l2": (L2(0.1), lambda w: 0.05 * w.square().sum()),
    "l2, the lectures' form": (L2(0.1, half=False), lambda w: 0.1 * w.square().sum()),
    "elastic net": (ElasticNet(0.2, 0.1), lambda w: 0.2 * w.abs().sum() + 0.1 * w.square().sum()),
}


@pytest.mark.parametrize("name", PENALTIES)
def test_penalties(name):
    penalty, formula = PENALTIES[name]
    p = fn.Parameter(cases.normal((7, 5, 3, 3), np.float64), "w")
    p.value[0, 0] = 0
    p.grad = np.zeros_like(p.value)
    w = torch.tensor(p.value, requires_grad=True)
    expected = formula(w)
    expected.backward()
    assert penalty.loss([p]) == pytest.approx(expected.item(), rel=1e-12)
    penalty.add_gradients([p])
    np.testing.assert_allclose(p.grad, w.grad.numpy(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("axis", [0, 1])
def test_max_norm_is_renorm(axis):
    """PyTorch divides by the norm + 1e-7."""
    p = fn.Parameter(cases.normal((7, 5, 3, 3), np.float64), "w")
    expected = torch.renorm(torch.from_numpy(p.value.copy()), 2, axis, 5.0).numpy()
    assert not np.array_equal(expected, p.value)
    MaxNorm(5.0, axis).project([p])
    np.testing.assert_allclose(p.value, expected, rtol=1e-7)


@pytest.mark.parametrize("name, shape", [("Dropout", (3, 40)), ("Dropout1d", (4, 9, 6)), ("Dropout2d", (4, 9, 6, 5))])
def test_which_elements_dropout_zeroes_together(name, shape):
    """Random numbers differ; the patterns and values that occur do not."""
    torch.manual_seed(0)
    ours, theirs = getattr(fn, name)(0.75, seed=1), getattr(torch.nn, name)(0.75)
    ours.build(shape[1:], dtype="float64")
    x = np.ones(shape)
    for _ in range(5):
        one, other = ours.forward(x, training=True)[0], theirs(torch.from_numpy(x)).numpy()
        for y in (np.asarray(one), other):
            assert set(np.unique(y)) == {0.0, 4.0}
            if name != "Dropout":
                assert (y == y[:, :, :1]).all()
    np.testing.assert_array_equal(ours(x), theirs.eval()(torch.from_numpy(x)).numpy())


@pytest.mark.parametrize(
    "shape, kernel, size",
    [
        ((3, 4, 17, 23), 2, (11, 9)),
        ((2, 3, 16, 16), (3, 2), (7, 13)),
        ((4, 2, 25, 25), 2, (24, 17)),
        ((2, 2, 9, 12), 3, (1, 1)),
        ((1, 5, 40, 33), 5, (13, 8)),
    ],
)
def test_fractional_max_pooling(shape, kernel, size):
    """PyTorch is given fastnet's numbers: (columns, rows) of each image, for all channels alike."""
    N, C, _, _ = shape
    x, dy = cases.normal(shape, np.float64), cases.normal((N, C, *size), np.float64, 1)
    rows = philox.uniform(5, 0, N, np.float64)
    columns = philox.uniform(5, math.ceil(N / 4) * 4, N, np.float64)
    samples = torch.from_numpy(np.stack([columns, rows], 1)[:, None].repeat(C, 1))
    given = torch.tensor(x, requires_grad=True)
    expected = torch.nn.FractionalMaxPool2d(kernel, output_size=size, _random_samples=samples)(given)
    expected.backward(torch.from_numpy(dy))
    y, backward = fn.functional.fractional_max_pool2d(x, kernel, size, seed=5)
    np.testing.assert_array_equal(y, expected.detach().numpy())
    np.testing.assert_array_equal(backward(dy), given.grad.numpy())


@pytest.mark.parametrize("name, given", [("FractionalMaxPool2d", {"kernel_size": 2, "output_size": 3})])
def test_layers_by_pytorchs_arguments(name, given):
    ratio = {"kernel_size": 2, "output_ratio": (0.5, 0.7)}
    x = cases.normal((2, 3, 9, 10), np.float64)
    for arguments in (given, ratio):
        ours, theirs = getattr(fn, name)(**arguments), getattr(torch.nn, name)(**arguments)
        ours.build(x.shape[1:], dtype="float64")
        assert ours(x).shape == tuple(theirs(torch.from_numpy(x)).shape)
